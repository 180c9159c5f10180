"""Runs side by side: rounds of equal density, differences paired by seed, settings that differ."""
import re
import shutil
from pathlib import Path

import pytest
import scipy
import torch

import lth as package
from lth.analysis.comparison import RunComparison, compare_runs
from lth.analysis.statistics import compare_unpaired
from lth.analysis.summary_table import summary_rows
from lth.cli import console
from lth.errors import LthError
from lth.runs.run_path import RunPath
from lth.runs.stored_run import StoredRun

pytestmark = pytest.mark.xdist_group('comparison')


@pytest.fixture(name='runs', scope='module')
def _runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search of seeds 0 and 1 with a control, one of seeds 0 to 2 with smaller steps, and one of seed 7."""

    folder: Path = tmp_path_factory.mktemp('compared')
    pair = ('lenet-300-100', 'digits')
    package.find_ticket(*pair, rounds=2, epochs=1, seeds=(0, 1), run=folder / 'a', controls=['reinit'])
    package.find_ticket(*pair, rounds=3, epochs=1, seeds=(0, 1, 2), run=folder / 'b',
                        settings={'algorithm.scope': 'global', 'algorithm.rates': 0.106})
    package.find_ticket(*pair, rounds=0, epochs=2, seeds=7, run=folder / 'c')
    return folder


def compare(*folders: Path) -> RunComparison:
    return compare_runs([RunPath(folder) for folder in folders])


def accuracies(folder: Path, number: int) -> dict[int, float]:
    run = StoredRun.open(folder)
    return {result.seed: result.test_accuracy for result in summary_rows([run], run.seeds())[number].results}


def test_differences_are_paired_over_the_seeds_that_both_runs_have(runs):
    (dense, *_) = compare(runs / 'a', runs / 'b').levels
    first, other = accuracies(runs / 'a', 0), accuracies(runs / 'b', 0)
    (difference,) = dense.differences
    values = [other[seed] - first[seed] for seed in (0, 1)]
    assert difference.paired and difference.test_accuracy.difference.n == 2
    assert difference.test_accuracy.difference.mean == pytest.approx(sum(values) / 2)


def test_the_same_run_under_a_control_differs_in_pruned_rounds_only(runs):
    levels = compare(runs / 'a', runs / 'a-controls/reinit').levels
    assert [len(level.rounds) for level in levels] == [2, 2, 2] and None not in levels[2].rounds
    assert levels[0].differences[0].test_accuracy.difference.mean == 0
    expected = [accuracies(runs / name, 2) for name in ('a-controls/reinit', 'a')]
    assert levels[2].differences[0].test_accuracy.difference.mean == pytest.approx(
        sum(expected[0][seed] - expected[1][seed] for seed in (0, 1)) / 2)


def test_of_sparse_trainings_only_the_last_rounds_are_compared(tmp_path):
    for method, epochs in (('set', 2), ('gmp', 1)):
        package.train_sparse('lenet-300-100', 'digits', method=method, density=0.1, epochs=epochs, seeds=0,
                             run=tmp_path / method, settings={'algorithm.update_every': '10 iterations'})
    found = compare(tmp_path / 'set', tmp_path / 'gmp')
    (level,) = found.levels
    last = [one.rows[-1] for one in found.runs]
    assert list(level.rounds) == last and [len(one.rows) > 1 for one in found.runs] == [True, True]
    assert level.differences[0].test_accuracy.difference.mean == pytest.approx(
        last[1].test_accuracy.mean - last[0].test_accuracy.mean)


def test_rounds_are_compared_at_equal_densities(runs):
    levels = compare(runs / 'a', runs / 'b').levels
    numbers = [[row and row.number for row in level.rounds] for level in levels]
    # a keeps 100, 80.2, 64.3 percent, b 100, 89.4, 79.9, 71.5.
    assert numbers == [[0, 0], [None, 1], [1, 2], [None, 3], [2, None]]
    assert [level.differences[0] is None for level in levels] == [False, True, False, True, True]


def test_runs_without_a_common_seed_are_not_paired(runs):
    (dense, *_) = compare(runs / 'b', runs / 'c').levels
    (difference,) = dense.differences
    first, other = accuracies(runs / 'b', 0), accuracies(runs / 'c', 0)
    assert not difference.paired and difference.test_accuracy.p is None
    assert difference.test_accuracy.difference.mean == pytest.approx(other[7] - sum(first.values()) / 3)


def test_welchs_interval_of_the_difference_contains_0_exactly_if_its_p_is_at_least_5_percent():
    first, second = [0.91, 0.93, 0.92, 0.95], [0.90, 0.91, 0.89]
    found = compare_unpaired(first, second)
    expected = scipy.stats.ttest_ind(first, second, equal_var=False)
    assert found.difference.mean == pytest.approx(0.9275 - 0.9) and found.p == pytest.approx(expected.pvalue)
    assert found.difference.margin is not None
    assert (found.difference.mean > found.difference.margin) == (found.p < 0.05)
    assert compare_unpaired([0.5], second).difference.margin is None
    assert compare_unpaired([0.5, 0.5], [0.5, 0.5]) == ((0., 0., 2), 1.)


def test_settings_that_differ_are_listed_with_all_values(runs):
    compared = compare(runs / 'a', runs / 'b', runs / 'c')
    settings = {row.name: tuple(row.values) for row in compared.settings}
    assert settings['algorithm.rates'] == (None, 0.106, None) and settings['algorithm.rounds'] == (2, 3, 0)
    assert settings['training.length'] == ('1 epoch', '1 epoch', '2 epochs')
    assert 'training.batch_size' not in settings and 'source' not in settings


def test_runs_of_one_name_are_labeled_by_their_paths(runs):
    (runs / 'x').mkdir()
    shutil.copytree(runs / 'c', runs / 'x/c')
    labels = [one.label for one in compare(runs / 'a', runs / 'c', runs / 'x/c').runs]
    assert labels == ['a', str(runs / 'c'), str(runs / 'x/c')]


@pytest.mark.parametrize('paths, words', [
    ([RunPath(Path('a'))], 'One run cannot be compared'),
    ([RunPath(Path('a')), RunPath(Path('b'), 0, 1)], 'round 1 is a round'),
    ([RunPath(Path('a')), RunPath(Path('b')), RunPath(Path('a'))], 'a is given twice')])
def test_paths_that_cannot_be_compared_are_refused(runs, monkeypatch, paths, words):
    monkeypatch.chdir(runs)
    with pytest.raises(LthError, match=words):
        compare_runs(paths)


def test_runs_on_other_data_are_refused(lth, runs):
    text = (runs / 'c/recipe.yaml').read_text()
    Path('other').mkdir()
    Path('other/recipe.yaml').write_text(text.replace('name: digits', 'name: mnist'))
    result = lth('compare', str(runs / 'a'), 'other')
    assert result.code == 2 and 'no completed round' in result.err
    images, labels = torch.zeros(60, 1, 8, 8, dtype=torch.uint8), torch.arange(60) % 2
    package.find_ticket('lenet-300-100', (images, labels, images, labels), rounds=0, epochs=1, run='own',
                        settings={'data.validation': 10, 'training.batch_size': 10})
    result = lth('compare', str(runs / 'a'), 'own')
    assert result.code == 2 and 'so their accuracies cannot be compared' in result.err


def test_the_tables_have_both_runs_their_difference_and_the_settings(lth, runs):
    out = lth('compare', str(runs / 'a'), str(runs / 'b'), '--at', 'early-stop').out
    heading = next(line for line in out.splitlines() if 'b − a' in line)
    assert heading.split() == ['density', '%', 'a', 'b', 'b', '−', 'a', 'p']
    assert 'at the early stop' in out and 'Iteration of the early stop' in out and 'algorithm.scope' in out
    assert 'over the seeds that both runs have' in out and 'Not paired' not in out
    assert '*' in lth('compare', str(runs / 'b'), str(runs / 'c')).out


def test_tables_that_are_too_wide_have_a_row_for_each_run(lth, runs, monkeypatch):
    monkeypatch.setattr(console.out, '_width', 60)
    long = f'b{"x" * 50}'
    shutil.copytree(runs / 'b', long)
    out = lth('compare', str(runs / 'a'), long, '--at', 'early-stop').out
    first, other = [f'{100 * row.early_stop_accuracy.mean:.2f} ± ' for row in (
        compare(runs / 'a', runs / 'b').levels[0].rounds)]
    assert re.search(rf'\na\n +at 100.00% {first}', out) and re.search(rf'\n{long}\n +at 100.00% {other}', out), out
    assert re.search(rf'Difference to a\n{long}\n +at 100.00% .* \(p=', out), out
    assert re.search(rf'Settings that differ\na\n(.*\n)+{long}\n +.*scope global', out), out
