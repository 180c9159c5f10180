"""lth train-early-birds: tickets that are drawn before the training of the dense network ends."""
import json
from pathlib import Path

import pytest

import lth as python

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '6', '--seeds', '0-1', '--run', 'a')
COMMAND = ('train-early-birds', 'a', '--threshold', '0.4')


def test_early_tickets_are_compared_with_those_from_the_end_at_the_densities_of_the_search(lth):
    lth(*SEARCH, '--early-bird')
    emerged = json.loads(lth('early-bird', 'a', '--threshold', '0.4', '--json').out)['densities']
    searched = json.loads(lth('show', 'run', 'a', '--json').out)['rounds'][1:]
    result = lth(*COMMAND)
    assert result.code == 0, result.err
    assert result.out.count('the ticket is ') == 2 and '64.34% of the weights: drawn on average at' in result.out

    printed = json.loads(lth(*COMMAND, '--json').out)
    assert [row['kept'] for row in printed['rounds']] == [row['kept'] for row in searched]
    assert list(printed['controls']) == ['end']
    assert [one['drawn_at'] for one in printed['comparisons']] == [one['normalised_iterations'] for one in emerged]
    for one, early, end in zip(printed['comparisons'], printed['rounds'], printed['controls']['end'], strict=True):
        difference = early['test_accuracy_percent']['mean'] - end['test_accuracy_percent']['mean']
        assert one['difference_points']['mean'] == pytest.approx(difference)


def test_the_run_is_shown_with_its_control_and_counts_as_one_of_the_present_tickets(lth):
    lth(*SEARCH, '--early-bird')
    lth(*COMMAND)
    shown = lth('show', 'run', 'a-early-birds')
    assert 'end' in shown.out and 'other tickets' not in shown.out + shown.err
    assert json.loads(lth('show', 'run', 'a-early-birds', '--json').out)['rounds'][0]['round'] == 0


def normalised(lth, threshold: str) -> list[int | None]:
    """The early birds of the sparsest masks."""

    return json.loads(lth('early-bird', 'a', '--threshold', threshold, '--json').out)['densities'][-1][
        'normalised_iterations']


def test_densities_without_an_early_bird_in_all_seeds_are_left_out_with_a_note(lth):
    lth(*SEARCH, '--set', 'algorithm.early_bird=[0.9, 0.3]')
    distances = [row['final_distance']['mean'] for row in json.loads(lth('early-bird', 'a', '--json').out)['densities']]
    assert distances[0] > distances[1]
    threshold = next(str(value / 100) for value in range(1, 100) if None not in normalised(lth, str(value / 100)))
    result = lth(*COMMAND[:2], '--threshold', threshold, '--dry-run')
    assert result.code == 0 and 'not every seed has an early bird at 90.00% of the weights' in result.err
    assert not Path('runs/a-early-birds').exists()


@pytest.mark.parametrize(('search', 'options', 'says'), [
    ((), (), 'a did not compare masks while round 0 was trained. Search in another folder with'),
    (('--early-bird', '--copies', '2'), (), 'trains several copies of each network'),
    (('--early-bird',), ('--threshold', '0'), 'has no early bird in all seeds [0, 1]'),
    (('--early-bird',), ('--threshold', '1.5'), '--threshold')], ids=['unwatched', 'copies', 'none', 'threshold'])
def test_what_cannot_be_drawn_is_refused_before_anything_is_written(lth, search, options, says):
    assert lth(*SEARCH, *search).code == 0
    result = lth(*COMMAND[:2], *options)
    assert result.code == 2 and says in ' '.join(result.err.split())
    assert not list(Path('runs').glob('a-*'))


def test_a_path_of_a_sparse_round_is_refused(lth):
    lth(*SEARCH, '--early-bird')
    result = lth('train-early-birds', 'a/seed-1/round-02', *COMMAND[2:])
    assert result.code == 2 and 'The path names round 2, but masks are drawn' in ' '.join(result.err.split())


@pytest.mark.parametrize('file', ['ticket.safetensors', 'metrics.jsonl', 'round.json'])
def test_a_damaged_dense_round_is_refused(lth, file):
    lth(*SEARCH, '--early-bird')
    path = Path('runs/a/seed-1/round-00', file)
    path.write_bytes(path.read_bytes()[:-2])
    result = lth(*COMMAND)
    assert result.code == 2 and 'runs/a/seed-1/round-00' in result.err
    assert not list(Path('runs').glob('a-*/seed-*/round-*'))


def test_python_returns_the_run_and_its_comparisons(tmp_path):
    run = python.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=6, run=tmp_path / 'a',
                             settings={'algorithm.early_bird': 'levels'})
    result = python.train_early_birds(run, threshold=0.4)
    assert result.run.folder == tmp_path / 'a-early-birds' and list(result.run.controls) == ['end']
    emerged = python.early_bird(run, threshold=0.4).densities[0].normalised
    assert [row.iterations for row in result.rows] == [list(emerged)]
    with pytest.raises(python.LthError, match='threshold'):
        python.train_early_birds(run, threshold=2.)
