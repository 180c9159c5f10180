"""Instability analysis: copies of one ticket trained apart, and the error on the line between them."""
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from lth import rng
from lth.analysis import mode_connectivity
from lth.analysis.mode_connectivity import compare_copies, train_copies
from lth.analysis.pair_files import CopyPair, PairErrors
from lth.datasets import sampling
from lth.experiments import runner
from lth.experiments.changes import Changes
from lth.experiments.reporter import SilentReporter
from lth.experiments.resolve import ticket_plan
from lth.experiments.run_target import RunTarget
from lth.pruning.tickets import Ticket, dense_ticket, train_ticket
from lth.system import processes, worker_pool
from lth.system.worker_pool import WorkerPool
from lth.training.engines.metrics import reestimate_batch_norm
from lth.training.loop import accuracy
from lth.training.state import State
from lth.training.task import Task
from tests.conftest import initial_state, make_task
from tests.printed_json import printed_json

QUICK = ('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '2')


def measure_pair(task, ticket, pair):
    """What the two copies of one pair differ in."""

    copies, = train_copies([pair], [task], [ticket])
    return compare_copies(task, pair, *copies)


def make_pair(**fields: int) -> CopyPair:
    """A pair of copies of round 0 of seed 0 that differs from these defaults."""

    return CopyPair(**{'seed': 0, 'round': 0, 'iteration': 0, 'pair': 0, 'points': 5} | fields)


def copies(task: Task, ticket: Ticket, pair: int = 0) -> list[State]:
    """The states of both copies after training."""

    seeds = [rng.derive_seed(0, 'copy', pair, number) for number in range(2)]
    return [train_ticket(replace(task, seeds=(seed,), split_seeds=task.seeds), ticket) for seed in seeds]


@pytest.mark.parametrize(('errors', 'barrier'), [
    ([0.1, 0.5, 0.3], 0.3), ([0.2, 0.1, 0.2], 0.0), ([0.1, 0.2, 0.4], 0.15)])
def test_the_barrier_is_the_highest_error_minus_the_mean_of_both_ends(errors, barrier):
    assert PairErrors(errors, 0, 0, 0).barrier == pytest.approx(barrier)


def test_copies_train_on_the_training_set_of_their_seed_in_another_order():
    task = make_task(seeds=(3,))
    copy = replace(task, seeds=(99,), split_seeds=(3,))
    (training, validation), (copy_training, copy_validation) = task.splits[0], copy.splits[0]
    assert torch.equal(training, copy_training) and torch.equal(validation, copy_validation)
    assert not torch.equal(sampling.epoch_order(training, 3, 0), sampling.epoch_order(training, 99, 0))
    start = dense_ticket(task)
    assert not torch.equal(train_ticket(task, start).weights, train_ticket(copy, start).weights)


def test_errors_are_measured_on_the_line_between_the_copies():
    task, ticket = make_task(), dense_ticket(make_task())
    ends = copies(task, ticket)
    result = measure_pair(task, ticket, make_pair(points=3))
    middle = replace(ends[0], weights=(ends[0].weights + ends[1].weights) / 2)
    expected = [1 - accuracy(task, state)[0] for state in (ends[0], middle, ends[1])]
    assert result.errors == pytest.approx(expected)
    kept = [end.weights[:, :task.network.layout.prunable_count].double() for end in ends]
    assert result.distance == pytest.approx(float((kept[0] - kept[1]).square().sum().sqrt()))
    cosine = float(F.cosine_similarity(*kept))
    assert result.angle == pytest.approx(math.degrees(math.acos(cosine))) and 0 < result.angle < 90
    assert result.signs == pytest.approx(float((kept[0].sign() == kept[1].sign()).double().mean()))


def test_only_kept_weights_are_compared():
    task = make_task()
    dense = dense_ticket(task)
    mask = torch.rand(dense.mask.shape, generator=torch.Generator().manual_seed(1)) < 0.3
    weights = dense.weights.clone()
    weights[:, :mask.shape[1]] *= mask
    ticket = replace(dense, mask=mask, weights=weights)
    first, second = (end.weights[:, :mask.shape[1]][mask] for end in copies(task, ticket))
    equal = first.sign() == second.sign()
    assert measure_pair(task, ticket, make_pair()).signs == pytest.approx(float(equal.float().mean()))
    assert not equal.all()


def test_each_pair_has_its_own_data_orders():
    task, ticket = make_task(), dense_ticket(make_task())
    pairs = [measure_pair(task, ticket, make_pair(pair=pair)) for pair in (0, 0, 1)]
    assert pairs[0] == pairs[1] != pairs[2]


def test_copies_that_train_apart_later_end_closer_to_each_other():
    task, ticket = make_task(), dense_ticket(make_task())
    distances = [measure_pair(task, ticket, make_pair(iteration=iteration)).distance for iteration in (0, 7, 14)]
    assert distances[0] > distances[1] > distances[2] > 0


def test_batchnorm_statistics_are_estimated_again_from_the_training_images():
    task = make_task('resnet20', shape=(3, 8, 8), seeds=(0, 1))
    state = initial_state(task)
    wrong = {name: torch.full_like(buffer, 7) for name, buffer in state.buffers.items()}
    state_after = reestimate_batch_norm(task, replace(state, buffers=wrong))
    assert state_after.buffers['stem.1.running_mean'].shape == (2, 16)
    for replicate, (training, _) in enumerate(task.splits):
        images = task.data.train.images[training].float() / 255
        stem = task.network.layout.unpack(state.weights[replicate])['stem.0.weight']
        activations = F.conv2d(images, stem, padding=1)
        mean, variance = activations.mean((0, 2, 3)), activations.var((0, 2, 3))
        assert torch.allclose(state_after.buffers['stem.1.running_mean'][replicate], mean, atol=1e-5)
        assert torch.allclose(state_after.buffers['stem.1.running_var'][replicate], variance, atol=1e-5)
    assert torch.equal(wrong['stem.1.running_mean'], torch.full((2, 16), 7.))
    assert torch.equal(state_after.weights, state.weights)


def test_a_network_without_batchnorm_is_not_changed():
    task = make_task()
    state = initial_state(task)
    assert reestimate_batch_norm(task, state) is state


@pytest.fixture(name='two_seeds', scope='module')
def train_two_seeds(tmp_path_factory) -> Path:
    """A folder with a run, trained once for all tests, which copy it."""

    folder = tmp_path_factory.mktemp('two-seeds')
    plan = ticket_plan('lenet-300-100', 'digits', Changes(epochs=2, options={'algorithm.rounds': 2}))
    target = RunTarget(folder / 'lenet-300-100-digits', folder, 'cpu')
    for seed in (0, 1):
        runner.run_plan(plan, target, [seed], SilentReporter())
    return folder


@pytest.fixture(autouse=True)
def measure_in_this_process(monkeypatch):
    """Other processes take seconds to start."""

    monkeypatch.setattr(processes, 'available_slots', lambda _threads: 1)


@pytest.fixture(name='run_of_two_seeds')
def copy_run_of_two_seeds(lth, two_seeds) -> None:  # pylint: disable=unused-argument # for its current folder
    shutil.copytree(two_seeds, 'runs')


def measure(lth, *options: str) -> dict:
    return printed_json(lth, 'stability', 'lenet-300-100-digits', '--points', '3', *options)


@pytest.mark.usefixtures('run_of_two_seeds')
def test_stability_measures_every_seed_round_and_iteration(lth):
    output = measure(lth, '--rounds', '0-1', '--part-at', '0,20', '--pairs', '2')
    pairs = [(pair['seed'], pair['round'], pair['iteration'], pair['pair']) for pair in output['pairs']]
    assert pairs == [(seed, number, iteration, pair) for seed in (0, 1) for number in (0, 1)
                     for iteration in (0, 20) for pair in (0, 1)]
    assert all(len(pair['errors_percent']) == 3 and pair['distance'] > 0 for pair in output['pairs'])
    shown = lth('stability', 'lenet-300-100-digits', '--points', '3').out
    rows = [line.split()[0] for line in shown.splitlines() if line[1:2].isdigit()]
    assert 'Two copies trained in different orders' in shown and rows == ['0', '2']


@pytest.mark.usefixtures('run_of_two_seeds')
def test_mask_overlaps_between_seeds_and_between_rounds(lth):
    overlaps = measure(lth, '--rounds', '0,1')['overlaps']
    shared = {(tuple(overlap['seeds']), tuple(overlap['rounds'])): overlap for overlap in overlaps}
    assert set(shared) == {((0, 1), (0, 0)), ((0, 1), (1, 1)), ((0, 0), (0, 1)), ((1, 1), (0, 1))}
    assert shared[(0, 1), (0, 0)]['shared_percent'] == 100
    # A mask is a subset of the mask of the round before.
    assert shared[(0, 0), (0, 1)]['shared_percent'] == pytest.approx(100 * 40_260 / 50_200)
    assert shared[(0, 1), (1, 1)]['by_chance_percent'] == pytest.approx(80.2 / (2 - 0.802), abs=0.1)


@pytest.mark.usefixtures('run_of_two_seeds')
def test_only_missing_pairs_are_measured_again_with_equal_results(lth):
    output = measure(lth)
    files = sorted(Path('runs/lenet-300-100-digits-stability').iterdir())
    contents, times = [path.read_bytes() for path in files], [path.stat().st_mtime_ns for path in files]
    assert len(files) == 4
    files[2].unlink()
    assert measure(lth) == output and [path.read_bytes() for path in files] == contents
    assert [path.stat().st_mtime_ns == time for path, time in zip(files, times)] == [True, True, False, True]


@pytest.mark.slow
@pytest.mark.usefixtures('run_of_two_seeds')
def test_pairs_measured_in_parallel_equal_pairs_measured_in_one_process(lth, monkeypatch):
    output, folder = measure(lth, '--rounds', '0'), Path('runs/lenet-300-100-digits-stability')
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    monkeypatch.setattr(worker_pool, 'WorkerPool', WorkerPool)  # the fixture lth replaces it
    monkeypatch.setattr(processes, 'available_slots', lambda _threads: 2)
    monkeypatch.setattr(mode_connectivity, 'train_copies', None)  # calling it in this process would fail
    assert measure(lth, '--rounds', '0') == output and len(contents) == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == contents


@pytest.mark.usefixtures('run_of_two_seeds')
def test_an_interrupted_pair_is_measured_again_with_an_equal_result(lth, monkeypatch):
    output, folder = measure(lth), Path('runs/lenet-300-100-digits-stability')
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    shutil.rmtree(folder)
    points = iter(range(5))

    def interrupted_accuracy(*arguments):
        if next(points) == 4:  # the second point of the second pair
            raise KeyboardInterrupt
        return accuracy(*arguments)
    with monkeypatch.context() as patched:
        patched.setattr(mode_connectivity, 'accuracy', interrupted_accuracy)
        assert lth('stability', 'lenet-300-100-digits', '--points', '3').code == 130
    assert len(list(folder.iterdir())) == 1
    assert measure(lth) == output and {path.name: path.read_bytes() for path in folder.iterdir()} == contents


@pytest.mark.usefixtures('run_of_two_seeds')
def test_a_measurement_of_another_ticket_is_refused(lth):
    measure(lth)
    path, other = sorted(Path('runs/lenet-300-100-digits-stability').iterdir())[:2]
    path.write_bytes(other.read_bytes())
    result = lth('stability', 'lenet-300-100-digits', '--points', '3')
    assert result.code == 2 and 'was measured on another ticket' in ' '.join(result.err.split())


def test_copies_train_with_the_settings_of_their_round(lth):
    for seed in ('0', '1'):
        assert lth(*QUICK, '--seeds', seed, '--retrain', 'fine-tuning', '--set', 'training.schedule={name: multistep, '
                   'milestones: [1 epochs], factor: 1.0e-06}').code == 0
    distances = {pair['round']: pair['distance'] for pair in measure(lth, '--rounds', '0,1')['pairs']}
    assert 0 < distances[1] < distances[0] / 1000


@pytest.mark.usefixtures('run_of_two_seeds')
def test_stability_of_a_finetuned_run_names_the_run_to_give(lth):
    assert lth('finetune', 'lenet-300-100-digits/seed-0', '-e', '1').code == 0
    result = lth('stability', 'lenet-300-100-digits-finetuned-seed-0-round-02')
    assert result.code == 2
    message = 'trains a ticket that another run found. Give that run, runs/lenet-300-100-digits.'
    assert message in ' '.join(result.err.split())


@pytest.mark.usefixtures('run_of_two_seeds')
def test_measurements_of_the_current_folder_are_saved_next_to_it(lth, tmp_path, monkeypatch):
    monkeypatch.chdir('runs/lenet-300-100-digits')
    assert lth('stability', '.', '--points', '3', '--rounds', '0').code == 0
    assert len(list((tmp_path / 'runs/lenet-300-100-digits-stability').iterdir())) == 2


def test_copies_cannot_train_apart_before_their_ticket_starts(lth):
    lth('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '--seeds', '0-1', '--set',
        'algorithm.rewind=5 iterations', '--run', 'late')
    result = lth('stability', 'late', '--part-at', '0')
    message = '--part-at: iteration 0 is outside round 0, which trains from iteration 5 to 21.'
    assert result.code == 2 and message in ' '.join(result.err.split())


@pytest.mark.parametrize(('options', 'message'), [
    (('lenet-300-100-digits/seed-0',), 'stability compares the seeds of a run. Give'),
    (('lenet-300-100-digits', '--rounds', '7'), 'has no round 7 of all seeds [0, 1]; its rounds are 0 to 2'),
    (('lenet-300-100-digits', '--rounds', 'one'), "--rounds: 'one' is not a list of numbers"),
    (('lenet-300-100-digits', '--part-at', '42'), 'iteration 42 is outside round 0'),
    (('alone',), 'alone has 1 seed and 3 rounds that all seeds have, but stability compares at least 2 of each. '
                 'Resume the search with more seeds, such as --seeds 0-2.'),
    (('dense',), 'dense has 2 seeds and 1 round that all seeds have, but stability compares at least 2 of each. '
                 'Resume the search with at least one pruning (-i).')])
@pytest.mark.usefixtures('run_of_two_seeds')
def test_a_run_without_enough_seeds_or_rounds_for_stability_is_refused(lth, options, message):
    shutil.copytree('runs/lenet-300-100-digits', 'runs/alone', ignore=shutil.ignore_patterns('seed-1'))
    shutil.copytree('runs/lenet-300-100-digits', 'runs/dense', ignore=shutil.ignore_patterns('round-01', 'round-02'))
    result = lth('stability', *options)
    assert result.code == 2 and message in ' '.join(result.err.split())
    assert not list(Path('runs').glob('*-stability'))
