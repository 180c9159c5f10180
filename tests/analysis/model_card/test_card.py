"""The model card: what the Hub reads of it, what it says, and that the code in it works without lth."""
import importlib
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import lth as package
from lth.algorithms import ALGORITHMS
from lth.algorithms.sparse_training.methods import METHODS
from lth.analysis.model_card import loading
from lth.analysis.model_card.citations import PAPERS, SOFTWARE, cited_papers, cited_preprints
from lth.errors import LthError

ROOT = Path(__file__).parents[3]
# Prints the names of what the code in a card loaded, and uses its function.
CHECKS = '''
print(sorted(mask), sorted(ticket), len(trained))
import torch
model = torch.nn.Sequential()
model.dense1 = torch.nn.Linear(*reversed(ticket['dense1.weight'].shape))
hold_mask(model)
assert torch.equal(model.dense1.weight[~mask['dense1.weight']], ticket['dense1.weight'][~mask['dense1.weight']])
'''


@pytest.fixture(scope='module', name='base')
def _base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds with a control."""

    folder: Path = tmp_path_factory.mktemp('card') / 'a'
    package.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=1, seeds=(0, 1), controls=['reinit'], run=folder,
                        threads=1)
    return folder


@pytest.fixture(name='run')
def _run(base, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(base.with_name('a-controls'), 'runs/a-controls')
    return Path(shutil.copytree(base, 'runs/a'))


def written(run: Path, **options) -> str:
    return package.card(run, **options).file.read_text(encoding='utf-8')


def code_blocks(card: str) -> list[str]:
    return re.findall(r'```python\n(.*?)\n```', card, re.DOTALL)


@pytest.fixture(name='without_lth')
def _without_lth(monkeypatch, capsys) -> Callable[[Path, str], list[str]]:
    """Runs code in a folder, where no part of lth can be imported, and returns the lines that it prints."""

    def run(folder: Path, code: str) -> list[str]:
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            for name in [name for name in sys.modules if name.partition('.')[0] == 'lth']:
                patch.setitem(sys.modules, name, None)
            with pytest.raises(ImportError):
                importlib.import_module('lth')
            exec(code, {})  # pylint: disable=exec-used
        return capsys.readouterr().out.splitlines()
    return run


def test_the_metadata_have_the_documented_form_of_the_hub(run):
    _, header, _ = written(run, license='cc-by-4.0').split('---\n', 2)
    fields = yaml.safe_load(header)
    assert (fields['license'], fields['library_name'], fields['pipeline_tag']) == (
        'cc-by-4.0', 'lth', 'image-classification')
    assert {'lottery-ticket', 'lth', 'magnitude'} <= set(fields['tags'])
    ((result,),) = [entry['results'] for entry in fields['model-index']]
    assert result['task']['type'] == 'image-classification' and result['dataset']['name'] == 'digits'
    (metric,) = result['metrics']
    accuracies = [row.test_accuracy for row in package.open_run(run).table() if row.round == 1]
    assert metric['type'] == 'accuracy' and metric['value'] == pytest.approx(sum(accuracies) / 2, abs=1e-6)


def test_a_card_without_a_license_has_no_field_for_it_and_a_note_says_so(run):
    card = package.card(run)
    assert 'license:' not in card.file.read_text().split('---\n')[1]
    assert any('--license' in note for note in card.notes)
    with pytest.raises(LthError, match='not an identifier of a license'):
        package.card(run, license='My Own License')


def test_the_code_in_a_card_loads_the_round_without_lth(run, without_lth):
    count, shapes = without_lth(run, code_blocks(written(run))[0] + CHECKS)
    (row,) = [row for row in package.open_run(run).table() if (row.seed, row.round) == (0, 1)]
    assert count == f'{row.kept:,} of 50,200 weights are kept: {row.density:.2%}'
    assert "['dense1.weight', 'dense2.weight', 'output.weight']" in shapes and "'output.bias'" in shapes


def test_the_code_in_a_card_loads_the_run_with_lth(run, capsys):
    exec(code_blocks(written(run))[1], scope := {})  # pylint: disable=exec-used
    assert sum(parameter.numel() for parameter in scope['model'].parameters()) == 50_200 + 410
    assert len(capsys.readouterr().out.splitlines()) == 4


def test_the_answers_controls_and_figure_of_the_run_are_in_its_card(run):
    text = written(run)
    for sentence in package.open_run(run).answer().sentences:
        assert sentence.replace('runs/', '') in text
    assert 'Control reinit' in text and '![' in text and (run / 'README-accuracy.png').read_bytes()[:4] == b'\x89PNG'
    assert 'No sanity checks were run' in text and 'lth sanity-check a --round 1' in text


def test_the_verdicts_of_sanity_checks_are_in_the_card(run):
    package.sanity_check(run, checks=['shuffle-mask'], seeds=[0], epochs=1, threads=1)
    text = written(run)
    assert '* **shuffle-mask** undecided:' in text and 'No sanity checks were run' not in text


def test_a_card_and_its_figure_do_not_disturb_other_commands(lth, run):
    lth('card', 'a')
    assert 'nothing is damaged' in lth('repair', 'a').out
    assert lth('show', 'run', 'a').code == 0
    search = ('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '--run', 'a', '--threads', '1')
    assert lth(*search, '--seeds', '0-2').code == 0
    assert '3 seeds (0–2)' in written(run)


def test_o_names_another_file_and_what_is_no_file_for_a_card_is_refused(run, tmp_path):
    card = package.card(run, tmp_path / 'cards/mine.md')
    assert card.file == tmp_path / 'cards/mine.md' and card.figure == tmp_path / 'cards/mine-accuracy.png'
    assert not (run / 'README.md').exists()
    (tmp_path / 'folder.md').mkdir()
    for file, words in {'card.txt': 'End the name with .md', 'folder.md': 'is a folder',
                        str(run / 'seed-0/round-00/README.md'): 'is a round'}.items():
        with pytest.raises(LthError, match=words):
            package.card(run, file)
    with pytest.raises(LthError, match='is a part of a run'):
        package.card(run / 'seed-0')


def test_code_does_not_load_weights_that_keep_removed():
    def code(*names: str) -> str:
        return loading.code_without_lth(loading.LoadedRound('', 0, 1, [f'{name}.safetensors' for name in names]))
    assert all(word in code('mask', 'ticket', 'trained') for word in ('ticket = ', 'trained = ', 'def hold_mask'))
    assert 'trained = ' not in code('mask', 'ticket') and 'def hold_mask' in code('mask', 'ticket')
    assert not any(word in code('mask') for word in ('ticket', 'trained', 'hold_mask'))


def test_gems_and_sparse_trainings_have_cards_too(run):
    gem = package.find_gem('lenet-300-100', 'digits', density=0.5, epochs=2, run='gem', threads=1,
                           settings={'algorithm.freeze_every': '1 epochs'})
    sparse = package.train_sparse('lenet-300-100', 'digits', density=0.5, epochs=2, run='sparse', threads=1)
    text = written(gem.folder)
    assert 'rare gems of lenet-300-100' in text and 'sreenivasan2022rare' in text and 'rare-gem' in text
    text = written(sparse.folder)
    assert 'sparse networks of lenet-300-100' in text and 'evci2020rigging' in text


def test_late_rewinding_cites_its_paper(run):
    package.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=1, run='late', threads=1,
                        settings={'algorithm.rewind': '5 iterations'})
    assert 'frankle2019stabilizing' in written(Path('runs/late'))
    assert 'frankle2019stabilizing' not in written(run)


def test_every_paper_that_the_description_of_an_algorithm_cites_has_an_entry():
    texts = [ALGORITHMS.find(name).summary for name in ALGORITHMS.names()]
    texts += [METHODS.find(name).summary for name in METHODS.names()]
    cited = re.compile(r'[A-Z][a-z]+ (?:& [A-Z][a-z]+|et al\.) 20\d\d')
    known = {paper.cited for paper in PAPERS}
    assert {name for text in texts for name in cited.findall(text)} - known <= {'Tsayag & Lindenbaum 2026'}
    assert cited_preprints('the Fisher matrix (arXiv 2502.11450)') == ['2502.11450']
    assert [paper.key for paper in cited_papers('(Frankle & Carbin 2019)')] == ['frankle2019lottery']
    assert len({paper.key for paper in PAPERS}) == len(PAPERS)


def test_the_citation_of_lth_is_that_of_its_citation_file():
    file = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    entry = SOFTWARE.format(version=package.__version__)
    (author,) = file['authors']
    for value in (file['title'], author['name'], file['license'], str(file['version'])):
        assert value in entry
    assert re.search(r'@software\{lth,', entry)


def test_the_name_of_a_run_is_text_in_markdown_and_yaml(run):
    odd = run.with_name("a: '[b] | c")
    shutil.copytree(run, odd)
    text = written(odd)
    assert yaml.safe_load(text.split('---\n')[1])['model-index'][0]['name'] == odd.name


def test_the_tutorial_of_the_documents_uses_a_ticket_without_lth(base, tmp_path, without_lth):
    shutil.copytree(base, tmp_path / 'lenet-300-100-digits')
    text = (ROOT / 'docs/sharing.md').read_text(encoding='utf-8')
    lines = without_lth(tmp_path, '\n'.join(code_blocks(text)))
    (row,) = [row for row in package.open_run(base).table() if (row.seed, row.round) == (0, 1)]
    assert lines == [f'{row.kept:,} of 50,200 weights are kept: {row.density:.2%}',
                     f'{50_200 - row.kept:,} pruned weights are still 0']
