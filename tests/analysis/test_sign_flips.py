"""lth show run --signs: the share of kept weights whose sign training changes."""
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import lth as package
from lth.analysis.figures import FIGURES
from lth.analysis.plotting import figure_set
from lth.analysis.plotting.series import NoData
from lth.analysis.sign_flips import sign_flips, sign_report
from lth.errors import LthError
from lth.experiments.open_run import open_run
from lth.runs.run_path import RunPath, parse_run_path
from lth.runs.stored_run import StoredRun
from lth.runs.stored_tensors import KeptWeights


@pytest.fixture(name='trained', scope='module')
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with three rounds of two seeds, which tests that change it copy."""

    folder: Path = tmp_path_factory.mktemp('signs') / 'run'
    package.find_ticket('lenet-300-100', 'digits', rounds=2, epochs=2, seeds=range(2), run=folder)
    return folder


def layer(name: str, start: list[float], trained: list[float]) -> KeptWeights:
    return KeptWeights(name, torch.tensor(start), torch.tensor(trained))


def test_shares_of_all_weights_layers_and_deciles_by_hand():
    first = layer('a', [-0.1, 0.2, -0.3, 0.4, -0.5], [0.1, -0.1, -0.1, 0.1, -0.1])
    second = layer('b', [0.6, -0.7, 0.8, -0.9, 1.0], [0.1, -0.1, 0.1, -0.1, -0.1])
    flips = sign_flips([first, second])
    assert flips.share == pytest.approx(0.3)
    assert flips.layers == pytest.approx({'a': 0.4, 'b': 0.2})
    assert flips.deciles == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]


def test_a_weight_of_0_has_a_sign_of_its_own():
    assert sign_flips([layer('a', [0., 0., 1., -1.], [0., 2., 0., -3.])]).share == 0.5


def test_layers_and_tenths_without_weights_have_no_share():
    flips = sign_flips([layer('a', [], []), layer('b', [1., -2.], [1., 2.])])
    assert flips.layers == {'a': None, 'b': 0.5}
    assert [share for share in flips.deciles if share is not None] == [0, 1]
    assert sign_flips([layer('a', [], [])]).share is None


def test_the_report_equals_shares_computed_from_the_files(trained):
    report = sign_report(StoredRun.open(trained), [0, 1])
    assert [row.round for row in report.rows] == [0, 1, 2] and not report.notes
    shares, first_layer = [], []
    for seed in (0, 1):
        mask, start, end = (load_file(trained / f'seed-{seed}/round-01/{name}.safetensors')
                            for name in ('mask', 'ticket', 'trained'))
        flips = {name: ((start[name] * end[name]) < 0)[kept] for name, kept in mask.items()}
        shares.append(float(torch.cat(list(flips.values())).double().mean()))
        first_layer.append(float(flips['dense1.weight'].double().mean()))
    row = report.rows[1]
    assert row.share is not None and row.share.mean == pytest.approx(sum(shares) / 2) and row.share.n == 2
    assert row.share.margin > 0 and list(row.layers) == ['dense1.weight', 'dense2.weight', 'output.weight']
    assert row.layers['dense1.weight'].mean == pytest.approx(sum(first_layer) / 2)
    assert sum(decile.mean for decile in row.deciles) / 10 == pytest.approx(row.share.mean, abs=1e-4)


def test_a_path_names_a_seed_or_a_round(trained):
    everything = package.sign_flips(trained)
    (one,) = package.sign_flips(trained / 'seed-1/round-02').rows
    seed = package.sign_flips(trained / 'seed-1').rows
    assert one == seed[2] and one.share.n == 1 and one.share.margin is None and len(everything.rows) == 3


def test_thinned_rounds_are_named(lth, trained):
    shutil.copytree(trained, 'runs/a')
    _, stored = open_run(RunPath(Path('runs/a')))
    stored.thin(0, 1, 'tickets')
    output = json.loads(lth('show', 'run', 'a', '--signs', '--json').out)
    assert output['rounds'][1]['flipped_percent']['n'] == 1 and output['rounds'][2]['flipped_percent']['n'] == 2
    (note,) = output['notes']
    assert 'the option --keep removed the trained weights of round 1 (seed 0), whose signs' in note
    assert 'removed the trained weights of round 1' in ' '.join(lth('show', 'run', 'a', '--signs').err.split())
    result = lth('show', 'run', 'a/seed-0/round-01', '--signs')
    assert result.code == 2 and 'Rounds 0, 2 still have them.' in ' '.join(result.err.split())


def test_what_has_no_signs_is_refused(lth, trained):
    shutil.copytree(trained, 'runs/a')
    result = lth('show', 'run', 'a', '--signs', '--margin', '1')
    assert result.code == 2 and '--signs cannot be combined with --margin' in ' '.join(result.err.split())
    result = lth('show', 'recipe', 'lenet-300-100-mnist', '--signs')
    assert result.code == 2 and '--signs belongs to `lth show run`' in ' '.join(result.err.split())


def test_a_search_for_gems_has_no_signs_to_compare(tmp_path):
    gem = package.find_gem('lenet-300-100', 'digits', density=0.5, epochs=2, run=tmp_path / 'gem',
                           settings={'algorithm.freeze_every': '1 epochs'})
    with pytest.raises(LthError, match='has no signs to compare'):
        package.sign_flips(gem)
    request = figure_set.FigureRequest(figure_set.open_runs([parse_run_path(str(gem.folder))]))
    assert isinstance(FIGURES.find('sign-flips')(request), NoData)


def test_the_figure_shows_the_shares_in_percent(trained):
    report = package.sign_flips(trained)
    request = figure_set.FigureRequest(figure_set.open_runs([parse_run_path(str(trained))]), [0, 2])
    rounds, deciles, layers = FIGURES.find('sign-flips')(request).panels
    assert [one.y for one in rounds.series[0].points] == pytest.approx([100 * row.share.mean for row in report.rows])
    assert [series.label for series in deciles.series] == ['round 0, 100%', 'round 2, 64.3%']
    assert [one.y for one in deciles.series[1].points] == pytest.approx(
        [100 * decile.mean for decile in report.rows[2].deciles])
    assert [one.x for one in layers.series[0].points] == [1, 2, 3]
