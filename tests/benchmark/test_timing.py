"""Benchmarks on the data set digits, which needs no download."""
import json
import multiprocessing.connection
import os
import threading
from types import SimpleNamespace

import pytest
import torch

from lth.benchmark import contenders, timing
from lth.benchmark.baseline_loop import TransformedImages
from lth.benchmark.contenders import Contender
from lth.benchmark.timing import _step_time
from lth.benchmark.trainers import EngineTrainer, random_ticket
from lth.experiments.changes import Changes
from lth.experiments.resolve import ticket_plan
from tests.conftest import make_task

MEASURED = {'density_percent', 'replicates', 'seeds', 'threads', 'ms_per_step', 'over_baseline', 'over_expert',
            'over_eager', 'over_one_seed', 'spread_percent', 'peak_mib'}
BENCH = 'bench', 'lenet-300-100', 'digits', '--device', 'cpu', '--turns', '2', '--json'


@pytest.fixture
def short_turns(monkeypatch):
    """Contenders work in threads of this process, which start at once, and for 0.02 s in a turn."""

    def start_thread(work, *arguments):
        # The caller closes the pipe that it passes to a process.
        pipe = multiprocessing.connection.Connection(os.dup(arguments[-1].fileno()))
        threading.Thread(target=work, args=(*arguments[:-1], pipe), daemon=True).start()
        return SimpleNamespace(kill=lambda: None, join=lambda: None)

    monkeypatch.setattr(timing.processes, 'start_process', start_thread)
    monkeypatch.setattr(timing, '_TURN_SECONDS', 0.02)
    monkeypatch.setattr(torch.backends.cudnn, 'benchmark', torch.backends.cudnn.benchmark)  # the expert's loop sets it


def bench_rows(lth, *options):
    """The rows of `lth bench` for LeNet-300-100."""

    return json.loads(lth(*BENCH, *options).out)['rows']


@pytest.mark.usefixtures('short_turns')
def test_bench_times_loops_and_engines_in_turns(lth):
    rows = bench_rows(lth, '--algorithm', 'gem-miner')
    assert [row['engine'] for row in rows] == ['baseline', 'expert', 'eager', 'sparse', 'eager, gem-miner']
    assert all(MEASURED <= row.keys() for row in rows)
    assert rows[0]['over_baseline'] == rows[1]['over_expert'] == 1
    assert all(row['ms_per_step'] > 0 and row['peak_mib'] > 50 and row['threads'] == 1 for row in rows)


@pytest.mark.usefixtures('short_turns')
def test_bench_with_densities_times_the_engines_at_each(lth, monkeypatch):
    monkeypatch.setattr('lth.benchmark.sparselab_loop.find_spec', lambda _name: None)
    rows = bench_rows(lth, '--densities', '0.5,0.02')
    assert [(row['engine'], row['density_percent']) for row in rows] == [
        ('baseline', 100), ('expert', 100), ('eager', 50), ('sparse', 50), ('eager', 2), ('sparse', 2)]
    assert [row['over_eager'] is None for row in rows] == [True, True, True, False, True, False]
    assert all(row['ms_per_step'] > 0 and row['over_baseline'] > 0 and row['over_expert'] > 0 for row in rows)


@pytest.mark.usefixtures('short_turns')
def test_bench_study_estimates_a_whole_search_from_some_densities(lth):
    short = '--set', 'algorithm.rounds=2', '--set', 'training.length=2 epochs'
    study = json.loads(lth(*BENCH, '--study', *short).out)
    assert (study['rounds'], study['steps'], study['real_seconds']) == (3, 3 * 2 * 21, None)
    rows = study['rows']
    assert [row['engine'] for row in rows] == ['baseline', 'expert', 'auto', 'auto', 'auto']
    assert [study['baseline_seconds'], study['expert_seconds']] == pytest.approx(
        [row['ms_per_step'] * study['steps'] / 1000 for row in rows[:2]])
    assert study['estimated_seconds'] == pytest.approx(sum(row['ms_per_step'] for row in rows[2:]) * 42 / 1000)


# A process of torch starts in 5 s.
@pytest.mark.long
@pytest.mark.timeout(300)
def test_bench_with_seeds_times_them_as_processes_and_as_threads(lth):
    rows = bench_rows(lth, '--seeds', '2', '--densities', '0.1')
    assert [(row['engine'], row['seeds']) for row in rows if row['engine'] != 'sparselab'] == [
        ('baseline', 1), ('expert', 1), ('eager', 1), ('sparse', 1), ('eager, 2 processes', 2), ('eager, 2 threads', 2),
        ('sparse, 2 processes', 2), ('sparse, 2 threads', 2)]
    assert [row['over_one_seed'] is not None for row in rows] == [row['seeds'] == 2 for row in rows]
    assert all(0 < row['over_one_seed'] < 4 for row in rows if row['over_one_seed'])


@pytest.mark.parametrize(('model', 'compiler', 'expected'), [
    ('lenet-300-100', None, {'eager': [1, 4, 16, 64], 'cuda-graph': [1, 4, 16, 64],
                             'cuda-graph, compiled': [1, 4, 16, 64]}),
    ('resnet20', None, {'eager': [1], 'cuda-graph': [1, 8], 'cuda-graph, compiled': [1, 8],
                        'cuda-graph, compiled, stacked': [8]}),
    ('resnet20', 'no compiler', {'eager': [1], 'cuda-graph': [1, 8]})])
def test_contenders_on_a_gpu_are_captured_compiled_and_train_together(gpus, monkeypatch, model, compiler, expected):
    gpus.install(1)
    monkeypatch.setattr(contenders, 'compiler_obstacle', lambda _device: compiler)
    plan = ticket_plan(model, 'cifar10', Changes(), device='cuda')
    rows = contenders.contenders('cuda', plan)
    assert [row.engine for row in rows[:2]] == ['baseline', 'expert'] and {row.device for row in rows} == {'cuda:0'}
    assert {name: [row.replicates for row in rows if row.engine == name] for name in expected} == expected
    assert {row.engine for row in rows[2:]} == expected.keys()


@pytest.mark.parametrize('shares', ['', '0', '1.5', '0.5;0.2', 'a'])
def test_a_wrong_density_is_an_error(lth, shares):
    result = lth('bench', 'lenet-300-100', 'digits', '--densities', shares or ' ')
    assert result.code == 2 and 'is not a list of densities' in result.err


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_bench_study_with_run_times_a_whole_search_and_leaves_no_files(lth, tmp_path):
    short = '--set', 'algorithm.rounds=2', '--set', 'training.length=2 epochs'
    study = json.loads(lth(*BENCH, '--study', '--run', *short).out)
    assert study['real_seconds'] > 0 and not list(tmp_path.iterdir())


def test_a_random_ticket_keeps_its_share_of_each_layer_exactly():
    task = make_task()
    ticket = random_ticket(task, 0.13)
    kept = [int(part.sum()) for part in task.network.layout.unpack(ticket.mask).values()]
    assert kept == [round(0.13 * slot.size) for slot in task.network.layout.prunable_slots]
    assert torch.equal(ticket.weights[:, :task.network.layout.prunable_count] != 0, ticket.mask)


def test_the_baseline_trains_on_the_same_normalized_images_as_lth():
    task = make_task(data={'normalization': 'standardize'})
    image, label = TransformedImages(task)[3]
    index = task.splits[0][0][3]
    expected = (task.data.train.images[index] / 255 - 0.4) / 0.2
    assert torch.allclose(image, expected, atol=1e-6) and label == task.data.train.labels[index]


def test_bench_times_the_selection_of_masks_without_images(lth):
    rows = json.loads(lth('bench', 'resnet20', 'cifar10', '--masks', '--turns', '2', '--json').out)['rows']
    assert [(row['scores'], row['weights']) for row in rows] == [('distinct', 267_696), ('all equal', 267_696)]
    assert all(row['seconds'] > 0 for row in rows)


@pytest.mark.usefixtures('short_turns')
def test_bench_with_edge_popup_also_times_the_training_of_scores(lth):
    assert [row['engine'] for row in bench_rows(lth, '--algorithm', 'edge-popup')][3:] == [
        'sparse', 'eager, edge-popup']


@pytest.mark.parametrize('name', ['supermask', 'snip'])
def test_bench_refuses_an_algorithm_that_declares_no_benchmark_step(lth, name):
    result = lth('bench', 'lenet-300-100', 'digits', '--algorithm', name)
    assert result.code == 2 and f'{name} cannot be timed. Give one of edge-popup, gem-miner' in ' '.join(
        result.err.split())


def test_speed_ups_are_medians_of_ratios_within_a_turn_for_each_seed():
    timed = [Contender('baseline', 'cpu'), Contender('expert', 'cpu'), Contender('eager', 'cpu'),
             Contender('sparse', 'cpu'), Contender('sparse', 'cpu', seeds=2, workers='threads')]
    times = [[8., 16., 8.], [5., 4., 4.], [4., 8., 4.], [1., 2., 2.], [2., 2., 2.]]
    rows = [_step_time(timed, index, 1, times, memory=100.) for index in range(5)]
    assert [row.ratio for row in rows] == [1, 2, 2, 8, 8]
    assert [row.over_expert for row in rows] == [0.5, 1, 1, 2, 4]
    assert [row.over_eager for row in rows] == [None, None, None, 4, None]
    assert [row.over_one for row in rows] == [None, None, None, None, 2]
    assert (rows[2].ms_per_step, rows[2].spread, rows[4].engine) == (4, 0.5, 'sparse, 2 threads')


def test_an_engine_trainer_starts_again_before_the_training_would_end():
    task = make_task(length='10 iterations')
    trainer = EngineTrainer(task, Contender('eager', 'cpu'))
    stops = []
    for steps in (6, 4, 3):
        trainer(steps)
        stops.append(trainer._stop)
    assert stops == [6, 10, 3]
