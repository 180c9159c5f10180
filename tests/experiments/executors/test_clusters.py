"""Tasks on a cluster without a common file system: workers lose their nodes, end alone, or have another lth.

The cluster is in this process: a worker is a thread, a node that is lost a worker whose calls return no more.
"""
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lth.errors import LthError
from lth.experiments import align_plans
from lth.experiments.changes import Changes
from lth.experiments.derived_plans import control_plans
from lth.experiments.executors.clusters import session, worker
from lth.experiments.executors.clusters.cluster import Lost, WorkerShape
from lth.experiments.executors.clusters.node_checks import own_facts
from lth.experiments.executors.protocol import Ended, Task
from lth.experiments.plan import Plan
from lth.experiments.provenance import inputs
from lth.experiments.reporter import SilentReporter
from lth.experiments.resolve import ticket_plan
from lth.experiments.run_target import RunTarget, select_engine
from lth.experiments.runner import run_plan
from lth.registry import code_fingerprints, trust, user_modules
from lth.runs.folder import Run
from lth.runs.run_path import parse_run_path
from lth.system import files, signals, yaml_text

NET = '''
import widths
from torch import nn


def make(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, widths.WIDTH), nn.ReLU(), nn.Linear(widths.WIDTH, classes))
'''


class ClusterInThisProcess:
    """A Cluster of threads. `change` gets the method and the result of each call, and returns the result instead."""

    def __init__(self, places: int, change: Callable[[Any, str, Any], Any]) -> None:
        self.places = places
        self.started: list[WorkerShape] = []
        self.workers: list[worker.Worker] = []
        self._change = change
        self._calls = ThreadPoolExecutor()

    def capacity(self, _shape: WorkerShape) -> int:
        return self.places

    def start_worker(self, shape: WorkerShape) -> worker.Worker:
        self.started.append(shape)
        self.workers.append(worker.Worker())
        return self.workers[-1]

    def call(self, handle: worker.Worker, method: str, *arguments: Any) -> Future[Any]:
        def call() -> Any:
            result = own_facts() if method == 'facts' else getattr(handle, method)(*arguments)
            return self._change(handle, method, result)
        return self._calls.submit(call)

    def completed(self, calls: Sequence[Future[Any]], seconds: float) -> list[Future[Any]]:
        end = time.monotonic() + seconds
        while not any(call.done() for call in calls) and time.monotonic() < end:
            time.sleep(0.005)
        return [call for call in calls if call.done()]

    def result(self, call: Future[Any]) -> Any:
        return call.result()

    def kill(self, handle: worker.Worker) -> None:
        """Its threads cannot be ended, but nothing holds them up."""

        handle.clean()
        handle._space.release(1000)
        handle._messages.put(worker.Message('ended'))

    def wait_for_threads(self) -> None:
        """Training restores settings of the process when it ends, such as the current folder, which is of all tests."""

        for handle in self.workers:
            handle._training.shutdown()


def unchanged(_handle: Any, _method: str, result: Any) -> Any:
    return result


class Trained(NamedTuple):
    """A complete run of two seeds, trained here, and what it was made with."""

    folder: Path
    plan: Plan
    inputs: dict[str, Any]


@pytest.fixture(scope='module')
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp('trained') / 'run'
    plan = ticket_plan('lenet-300-100', 'digits', Changes(1, {'algorithm.rounds': 2}))
    target = RunTarget(folder, folder.parent, in_process=True)
    run_plan(plan, target, (0, 1), SilentReporter())
    return Trained(folder, plan, inputs(plan, plan.load(folder.parent, select_engine(plan, target).device)))


@pytest.fixture
def run(trained: Trained) -> Path:
    return trained.folder


@pytest.fixture
def task(trained: Trained, tmp_path: Path) -> Task:
    """A task that trains the same two seeds in a folder that has only the recipe."""

    target = RunTarget(tmp_path / 'remote', tmp_path)
    target.folder.mkdir()
    shutil.copy(trained.folder / 'recipe.yaml', target.folder)
    return Task(trained.plan.recipe.dump(), target, (0, 1), trained.inputs, 'seeds 0, 1')


@pytest.fixture(autouse=True)
def restored_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a worker changes in its process is restored. No module of an earlier test is sent to it."""

    monkeypatch.setattr(code_fingerprints, '_contents', {})
    folder, trusted, path = os.getcwd(), trust.current(), list(sys.path)
    yield
    os.chdir(folder)
    trust.set_current(trusted)
    sys.path[:] = path
    user_modules.forget()


def events_of(task: Task, change: Callable[[Any, str, Any], Any] = unchanged, *, places: int = 1) -> list[Any]:
    cluster = ClusterInThisProcess(places, change)
    opened = session.ClusterSession(cluster, task.target, patience=0.3)
    try:
        opened.submit(task)
        return [event for _, event in opened.events()]
    finally:
        opened.close()
        cluster.wait_for_threads()


def rounds(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob('seed-*/**/*') if path.is_file()}


def test_rounds_of_workers_equal_those_of_a_local_run(run, task):
    events = events_of(task)

    assert events[-1] == Ended() and sum(getattr(event, 'saved', False) for event in events) == 3
    assert rounds(task.target.folder) == rounds(run) and len(rounds(run)) > 20


def test_a_task_whose_node_is_lost_continues_on_another_one_from_the_last_round(run, task):
    lost: list[Any] = []

    def lose_after_a_round(handle: Any, method: str, result: Any) -> Any:
        saved = method == 'next_messages' and any(message.folders for message in result)
        if handle in lost or (lost == [] and (task.target.folder / 'seed-1/round-00').exists() and saved):
            lost.append(handle)
            return Lost(node=True, reason='its node has died')
        return result
    events = events_of(task, lose_after_a_round)

    assert len(set(lost)) == 1 and events[-1] == Ended()
    assert [event for event in events if isinstance(event, str)] == [
        f'Note: the node {own_facts().host} was lost. seeds 0, 1 resumes on another one.']
    assert rounds(task.target.folder) == rounds(run)


def test_a_task_that_loses_every_node_before_it_saves_anything_ends_with_an_error(task):
    events = events_of(task, lambda _, method, result: result if method == 'facts' else Lost(True, 'died'))

    assert 'were lost before a round or checkpoint was saved' in str(events[-1].error)


def test_a_worker_that_ends_alone_is_the_error_of_its_task(task):
    events = events_of(task, lambda _, method, result: Lost(False, 'SYSTEM_ERROR') if method == 'start' else result)

    assert 'seeds 0, 1' in str(events[-1].error) and 'probably memory ran out' in str(events[-1].error)
    assert events[-1].error.exit_code == 3


@pytest.mark.parametrize('change, words', [
    ({'version': '0.0.7'}, ('lth 0.0.7', 'this machine has lth')), ({'version': None}, ('no package lth',)),
    ({'sources': 'abc'}, ('other source files', 'abc'))])
def test_a_node_with_another_lth_is_refused_and_both_versions_are_named(task, change, words):
    with pytest.raises(LthError) as error:
        events_of(task, lambda _, method, result: result._replace(**change) if method == 'facts' else result)

    assert all(word in str(error.value) for word in words) and not rounds(task.target.folder)


def test_another_torch_is_noted(task):
    events = events_of(task, lambda _, method, result: (
        result._replace(torch='1.0', host='node7') if method == 'facts' else result))

    assert events[0].startswith('Note: node7 has torch 1.0, this machine') and events[-1] == Ended()


def test_a_round_that_was_damaged_on_the_way_ends_the_task(task):
    def damage(_handle: Any, method: str, result: Any) -> Any:
        if method == 'next_messages':
            for message in result:
                for folder in message.folders:
                    folder.files['mask.safetensors'] += b'x'
        return result
    events = events_of(task, damage)

    assert 'is damaged or was changed' in str(events[-1].error) and not rounds(task.target.folder)


def test_an_error_on_another_machine_names_the_node_and_the_paths_of_the_run(task):
    expected = task.expected | {'images': 'others'}
    other = Task(task.recipe, task.target, task.seeds, expected, task.name)
    events = events_of(other, lambda _, method, result: (
        result._replace(host='node7') if method == 'facts' else result))

    assert 'other images' in str(events[-1].error) and 'on node7, a node of the cluster' in str(events[-1].error)


def test_a_task_that_no_node_is_large_enough_for_waits_and_then_ends(task):
    events = events_of(task, places=0)

    assert events[0].startswith('Note: no node of the cluster has 1 free cores') and len(events) == 2
    assert events[-1].error.exit_code == 3 and '--threads' in str(events[-1].error)


def test_a_stopped_session_saves_checkpoints_from_which_the_next_one_continues(run, task, monkeypatch):
    def stop(_handle: Any, method: str, result: Any) -> Any:
        if method == 'next_messages' and (task.target.folder / 'seed-0/round-00').exists():
            monkeypatch.setattr(signals.state, 'number', 15)
        return result
    with pytest.raises(signals.Interrupted):
        events_of(task, stop)
    monkeypatch.setattr(signals.state, 'number', None)
    monkeypatch.setattr(signals.state, 'on_writing', int)
    before = sorted(path.name for path in (task.target.folder / 'seed-0').iterdir())

    events = events_of(task)

    assert 'round-00' in before and 'round-02' not in before and events[-1] == Ended()
    assert rounds(task.target.folder) == rounds(run)


def test_models_given_as_objects_are_refused(task):
    inside = replace(task, target=replace(task.target, in_process=True))

    with pytest.raises(LthError, match='Python objects'):
        events_of(inside)


def test_code_of_the_user_is_sent_to_nodes_that_do_not_have_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('widths.py').write_text('WIDTH = 8\n', encoding='utf-8')
    Path('net.py').write_text(NET, encoding='utf-8')
    trust.add('net.py:make')
    target = RunTarget(tmp_path / 'remote', tmp_path)
    plan = ticket_plan('net.py:make', 'digits', Changes(1, {'algorithm.rounds': 1}))
    target.folder.mkdir()
    files.write(target.folder / 'recipe.yaml', yaml_text.dump_yaml(plan.recipe.dump()).encode())
    expected = inputs(plan, plan.load(tmp_path, select_engine(plan, target).device))
    Path('widths.py').write_text('WIDTH = 9\n', encoding='utf-8')
    Path('net.py').unlink()
    start = worker.Worker.start

    def start_in_new_process(self: worker.Worker, order: Any) -> None:
        user_modules.forget()
        start(self, order)
    monkeypatch.setattr(worker.Worker, 'start', start_in_new_process)

    events = events_of(Task(plan.recipe.dump(), target, (0,), expected, 'seed 0'))

    assert events[-1] == Ended() and (target.folder / 'seed-0/round-01').is_dir()
    assert not Path('net.py').exists()


def test_rounds_of_the_source_are_sent_with_a_control(trained, tmp_path):
    target = RunTarget(tmp_path / 'remote', tmp_path)
    plan = control_plans(['reinit'], trained.plan, trained.folder)['reinit'][0]
    raw = plan.recipe.dump()
    raw['algorithm']['source'] = os.path.relpath(trained.folder, target.folder)
    target.folder.mkdir()
    files.write(target.folder / 'recipe.yaml', yaml_text.dump_yaml(raw).encode())

    events = events_of(Task(raw, target, (1,), trained.inputs, 'seed 1'))

    assert events[-1] == Ended() and (target.folder / 'seed-1/round-02').is_dir()
    record = Run(target.folder, raw, plan.network).record(1, 2)
    assert record.source == trained.plan.run(trained.folder).record(1, 2).ticket


def test_rounds_of_the_seed_with_the_masks_are_sent_with_an_alignment(trained, tmp_path):
    target = RunTarget(tmp_path / 'remote', tmp_path)
    source = align_plans.open_aligned(parse_run_path(trained.folder), [2])
    plan = align_plans.align_plans(source, target.folder).aligned
    target.folder.mkdir()
    files.write(target.folder / 'recipe.yaml', yaml_text.dump_yaml(plan.recipe.dump()).encode())
    local = run_plan(plan, replace(target, folder=tmp_path / 'local'), (1,), SilentReporter())

    events = events_of(Task(plan.recipe.dump(), target, (1,), trained.inputs, 'seed 1'))

    assert events[-1] == Ended()
    assert rounds(target.folder) == rounds(local.folder) and len(rounds(target.folder)) > 3
