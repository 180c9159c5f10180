"""Gems on the command line: found, resumed, finetuned, measured."""
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lth import session
from lth.runs import Run
from tests.conftest import Result

GEM = ('find-gem', 'lenet-300-100', 'digits', '--sparsity', '5', '-e', '6', '--set', 'algorithm.freeze_every=2 epochs')


def counted(lth, *more: str) -> list[int]:
    result = lth('find-gem', 'resnet20', 'cifar10', '--dry-run', '--json', *more)
    assert result.code == 0, result.err
    return [row['kept'] for row in json.loads(result.out)['rounds']]


def test_a_dry_run_tells_the_exact_count_after_every_event_and_the_percent_kept_in_words(lth, tmp_path):
    counts = counted(lth, '--sparsity', '0.59')
    assert (len(counts), counts[0], counts[-1]) == (30, 268_336, 1_580)
    told = lth('find-gem', 'resnet20', 'cifar10', '--sparsity', '0.59', '--dry-run').err
    assert 'Keeps 0.5888% of 268,336 weights: 1,580, after 29 freeze events.' in ' '.join(told.split())
    assert not list(tmp_path.iterdir())


def test_percent_and_share_ask_for_the_same(lth):
    assert counted(lth, '--sparsity', '1.44') == counted(lth, '--density', '0.0144')


@pytest.mark.parametrize(('percent', 'says'), [
    ('3.72', ''), ('3', 'no published setting for 3%: took those of 3.72%, the nearest'),
    ('1', 'no published setting for 1%: took those of 1.44%, the nearest')])
def test_the_nearest_published_sparsity_is_taken_and_named(lth, percent, says):
    result = lth('find-gem', 'resnet20', 'cifar10', '--sparsity', percent, '--dry-run', '--json')
    assert says in result.err and ('Note' in result.err) == bool(says)


@pytest.mark.parametrize(('options', 'says'), [
    ((), 'Give either --sparsity'), (('--sparsity', '5', '--density', '0.05'), 'Give either --sparsity'),
    (('--sparsity', '0'), '--sparsity 0.0: the percent of the weights that are kept'),
    (('--sparsity', '101'), '--sparsity 101.0'), (('--density', '-0.1'), '--density -0.1'),
    (('--sparsity', '5', '-e', '5'), 'scores never freeze, as 5 epochs is not before the end of training, 5 epochs'),
    (('--sparsity', '5', '--set', 'algorithm.penalty=-1'), 'penalty: it should be greater than or equal to 0'),
    (('--sparsity', '5', '--set', 'algorithm.penlty=1'), "unknown key 'penlty', did you mean 'penalty'")])
def test_nonsense_is_refused_in_one_paragraph(lth, tmp_path, options, says):
    result = lth('find-gem', 'lenet-300-100', 'digits', *options)
    assert result.code == 2 and says in ' '.join(result.err.split())
    assert not list(tmp_path.iterdir())


def found(lth, name: str, *more: str) -> Result:
    result = lth(*GEM, '--run', name, *more)
    assert result.code == 0, result.err
    return result


def test_a_gem_is_saved_with_its_scores_finetuned_and_measured(lth):
    found(lth, 'gem', '--seeds', '0-1')
    gem = Path('runs/gem/seed-1/round-02')
    assert sorted(path.name for path in gem.iterdir()) == [
        'mask.safetensors', 'metrics.jsonl', 'optimizer.safetensors', 'scores.safetensors', 'ticket.safetensors',
        'trained.safetensors']
    mask, weights, trained = (load_file(gem / f'{name}.safetensors') for name in ('mask', 'ticket', 'trained'))
    assert all((trained[name] == weights[name]).all() and (weights[name][~mask[name]] == 0).all() for name in mask)
    sizes = {round(float(size), 4) for size in weights['dense1.weight'].abs().unique()}
    assert sizes == {0., round((2 / 64) ** 0.5, 4)}
    result = lth('finetune', 'gem', '-e', '20', '--json')
    assert result.code == 0, result.err
    table = json.loads(result.out)
    assert table['run'] == 'runs/gem-finetuned' and table['seeds'] == [0, 1] and len(table['rounds']) == 1
    after = load_file('runs/gem-finetuned/seed-1/round-00/trained.safetensors')
    assert all((after[name][~mask[name]] == 0).all() and (after[name] != weights[name]).any() for name in mask)
    before = json.loads(lth('evaluate', 'gem', '--json').out)['evaluations']
    assert table['rounds'][0]['test_accuracy']['mean'] > before[-1]['test_accuracy']
    assert before[-1]['test_accuracy'] == before[-1]['recorded']
    assert lth('evaluate', 'gem-finetuned').code == 0


def test_a_search_that_was_stopped_after_any_event_goes_on_byte_for_byte(lth, monkeypatch):
    found(lth, 'whole')
    save = Run.save

    def stopping(self, one, seeds):
        save(self, one, seeds)
        if one.number == 0:
            raise KeyboardInterrupt
    with monkeypatch.context() as patched:
        patched.setattr(session.Run, 'save', stopping)
        assert lth(*GEM, '--run', 'half').code == 130
    found(lth, 'half')
    for path in Path('runs/whole/seed-0').rglob('*.*'):
        if path.is_file():
            assert path.read_bytes() == (Path('runs/half/seed-0') / path.relative_to('runs/whole/seed-0')).read_bytes()


def test_a_ticket_is_finetuned_as_it_was_trained_when_it_was_found(lth):
    assert lth('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '2', '--run', 'ticket').code == 0
    result = lth('finetune', 'ticket/seed-0/round-01')
    assert result.code == 0, result.err
    ours, theirs = (load_file(f'runs/{run}/trained.safetensors') for run in (
        'ticket-finetuned-seed-0-round-01/seed-0/round-00', 'ticket/seed-0/round-01'))
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_what_cannot_be_finetuned_is_told(lth):
    assert 'is no run' in lth('finetune', 'nowhere').err
    found(lth, 'gem')
    assert 'has no round 7 of all seeds [0]' in ' '.join(lth('finetune', 'gem', '--round', '7').err.split())
    assert '--round 1: the run was given as its round 0' in lth('finetune', 'gem/seed-0/round-00', '--round', '1').err
    shutil.rmtree('runs/gem/seed-0/round-02')
    result = lth('finetune', 'gem', '-e', '1')
    assert result.code == 2 and 'is not complete: 2 of 3 rounds are there' in ' '.join(result.err.split())
    assert lth('finetune', 'gem', '-e', '1', '--round', '1').code == 0 and Path('runs/gem-finetuned-round-01').is_dir()


def test_a_ticket_that_starts_behind_the_end_of_its_training_is_refused(lth):
    rewound = ('-i', '1', '-e', '2', '--set', 'algorithm.rewind=1 epochs', '--run', 'late')
    assert lth('find-ticket', 'lenet-300-100', 'digits', *rewound).code == 0
    result = lth('finetune', 'late', '-e', '1')
    assert result.code == 2 and 'nothing would be trained' in ' '.join(result.err.split())


def test_epochs_of_a_search_are_those_of_its_finetuning_with_the_published_drops(lth):
    def finetuning(*more: str) -> dict:
        result = lth('find-gem', 'resnet20', 'cifar10', '--sparsity', '0.59', '--dry-run', '--json', *more)
        recipe: dict = json.loads(result.out)['recipe']['algorithm']['finetune']
        return recipe
    assert finetuning()['schedule']['milestones'] == ['80 epochs', '120 epochs']
    longer, other = finetuning('-e', '200'), finetuning('-e', '30')
    assert (longer['length'], longer['schedule']['milestones']) == ('200 epochs', ['100 epochs', '150 epochs'])
    assert (other['length'], other['schedule']['milestones']) == ('30 epochs', ['15 epochs', '20 epochs'])


def test_the_final_mask_of_a_neighbouring_sparsity_is_not_taken_over(lth):
    def mask(percent: str) -> str:
        result = lth('find-gem', 'resnet20', 'cifar10', '--sparsity', percent, '--dry-run', '--json')
        return str(json.loads(result.out)['recipe']['algorithm']['final_mask'])
    assert (mask('20'), mask('10')) == ('in-force', 'active')


@pytest.mark.parametrize('name', ['scores', 'optimizer'])
def test_a_search_whose_files_are_missing_is_not_continued(lth, name):
    found(lth, 'gem')
    shutil.rmtree('runs/gem/seed-0/round-02')
    Path(f'runs/gem/seed-0/round-01/{name}.safetensors').unlink()
    result = lth(*GEM, '--run', 'gem')
    assert result.code == 2 and f'{name}.safetensors' in result.err
    assert 'makes them again' in ' '.join(result.err.split())


def test_a_partial_recipe_lies_over_the_published_one(lth):
    Path('mine.yaml').write_text('algorithm: {penalty: 2.e-4}\n')
    result = lth(
        'find-gem', 'resnet20', 'cifar10', '--sparsity', '0.59', '--recipe', 'mine.yaml', '--dry-run', '--json')
    recipe = json.loads(result.out)['recipe']
    assert recipe['algorithm']['penalty'] == 2e-4 and recipe['training']['length'] == '150 epochs'
    assert recipe['source'].startswith('mine.yaml over Sreenivasan et al. 2022')
