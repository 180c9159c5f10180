"""Which engine trains what, which seeds train together, and kernels that are compiled ahead (torch.cuda is faked)."""
import threading
import time

import pytest
import torch

from lth.errors import LthError
from lth.training.engines import select
from lth.training.engines.cuda.memory_estimate import replicate_bytes
from lth.training.engines.select import CudaGraph, Eager, SparseCpu, select_engine
from tests.conftest import CPU, initial_state, make_task


@pytest.mark.parametrize(('choice', 'obstacle', 'kind', 'name'), [
    ('auto', None, SparseCpu, 'eager or sparse'), ('sparse', None, SparseCpu, 'sparse'),
    ('eager', None, Eager, 'eager'), ('auto', 'it is too wide', Eager, 'eager')])
def test_a_cpu_has_the_sparse_engine_unless_something_prevents_it(choice, obstacle, kind, name):
    engine = select_engine('cpu', choice=choice, obstacle=obstacle)
    assert type(engine) is kind and engine.name == name and engine.device == torch.device('cpu')


def test_without_knowledge_of_the_recipe_a_cpu_has_the_eager_engine():
    assert type(select_engine('cpu')) is Eager


@pytest.mark.parametrize(('choice', 'capturable', 'kind'), [
    ('auto', True, CudaGraph), ('auto', False, Eager), ('eager', True, Eager)])
def test_a_gpu_captures_steps_that_need_nothing_from_the_host(gpus, choice, capturable, kind):
    gpus.install(1)
    engine = select_engine('cuda', choice=choice, capturable=capturable, obstacle=None)
    assert type(engine) is kind and engine.device == torch.device('cuda', 0)


@pytest.mark.parametrize(('device', 'obstacle', 'reason'), [
    ('cpu', 'it is too wide', 'it is too wide'), ('cuda', None, 'it runs on the CPU')])
def test_the_sparse_engine_where_it_cannot_train_is_an_error_with_the_reason(gpus, device, obstacle, reason):
    gpus.install(1)
    with pytest.raises(LthError, match=f'The sparse engine cannot train this recipe: {reason}. Use --engine auto.'):
        select_engine(device, choice='sparse', obstacle=obstacle)


def group_sizes(engine, task, seeds):
    """How many seeds of a task train together, one number for each group; every seed is in one group."""

    groups = select.replicate_groups(engine, task.network, task.training, seeds)
    assert [seed for group in groups for seed in group] == list(seeds)
    return [len(group) for group in groups]


def test_seeds_train_together_on_a_gpu_and_alone_on_a_cpu(gpus):
    gpus.install(1)
    lenet, resnet = make_task(), make_task('resnet20', shape=(3, 8, 8))
    graph = CudaGraph(torch.device('cuda', 0))
    assert group_sizes(graph, lenet, range(130)) == [64, 64, 2]
    assert group_sizes(graph, resnet, range(10)) == [8, 2]
    assert group_sizes(CPU, lenet, [0, 1]) == group_sizes(CudaGraph(torch.device('cpu')), lenet, [0, 1]) == [1, 1]


def test_no_more_seeds_train_together_than_fit_into_memory_but_always_one(gpus):
    task, graph = make_task(), CudaGraph(torch.device('cuda', 0))
    size = replicate_bytes(task.network, task.training)
    gpus.install(1, free=10 * size)
    assert group_sizes(graph, task, range(20)) == [8, 8, 4]
    gpus.install(1, free=size // 2)
    assert group_sizes(graph, task, range(3)) == [1, 1, 1]


def compile_messages(monkeypatch, engine, *, kept, batch=8, seconds=0.):
    """The messages of compile_ahead for LeNet when compiling takes some seconds, and how often it compiled."""

    messages, compiled = [], []
    monkeypatch.setattr(select, '_SECONDS_UNTIL_MESSAGE', 0.1 if seconds else 60.)
    monkeypatch.setattr(select, 'compile_kernels', lambda: compiled.append(time.sleep(seconds)))
    task = make_task(engine=engine, batch_size=batch)
    select.compile_ahead(task, initial_state(task), kept, messages.append)
    return messages, len(compiled)


def test_kernels_are_compiled_ahead_only_for_rounds_that_the_sparse_engine_trains(monkeypatch):
    sparse, count = select_engine('cpu', obstacle=None), make_task().network.layout.prunable_count
    assert compile_messages(monkeypatch, CPU, kept=[count // 10]) == ([], 0)
    assert compile_messages(monkeypatch, sparse, kept=[count]) == ([], 0)
    assert compile_messages(monkeypatch, sparse, kept=[count], batch=60) == ([], 1)
    assert compile_messages(monkeypatch, sparse, kept=[count, count // 10]) == ([], 1)


def test_compiling_that_takes_long_is_reported_once(monkeypatch):
    sparse = select_engine('cpu', choice='sparse', obstacle=None)
    (message,), compiled = compile_messages(monkeypatch, sparse, kept=[100], seconds=0.5)
    assert message.startswith('Compiling the sparse engine') and compiled == 1


def test_a_failed_compilation_is_raised_and_reports_nothing_later(monkeypatch):
    messages, before = [], threading.enumerate()
    monkeypatch.setattr(select, '_SECONDS_UNTIL_MESSAGE', 60.)
    monkeypatch.setattr(select, 'compile_kernels', lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        task = make_task(engine=select_engine('cpu', choice='sparse', obstacle=None))
        select.compile_ahead(task, initial_state(task), [100], messages.append)
    started = [thread for thread in threading.enumerate() if thread not in before]
    assert not messages and all(timer.finished.is_set() for timer in started if isinstance(timer, threading.Timer))
