"""Shared by all tests: small tasks on random images, real data sets if present, and the command line."""
# First: it makes the imports below fast.
from tests.speed import pytest_collection, pytest_collection_modifyitems, pytest_unconfigure

import importlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest
import torch
from rich.console import ConsoleDimensions
from torch import nn
from typer.testing import CliRunner

from lth.cli import app, console
from lth.datasets import Dataset, Split
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.recipes.schema import DataSettings, TrainingSettings
from lth.system import worker_pool
from lth.system.pool_worker import JobEnd
from lth.training.engines import select
from lth.training.state import State
from lth.training.task import Engine, Task
from tests.fake_gpu import gpus

__all__ = ['gpus', 'pytest_collection', 'pytest_collection_modifyitems', 'pytest_unconfigure']

# cuBLAS reads it when it is first used in a process, and repeats its results only with it.
os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
CPU = select.select_engine('cpu')
select.configure_process(threads=1, device=CPU.device)
# The same examples in every run, however slow the machine is.
hypothesis.settings.register_profile('repeatable', deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile('repeatable')
_DATASETS = Path(os.environ.get('LTH_DATASETS', Path(__file__).parent.parent / 'datasets')).absolute()
SGD = {'name': 'sgd', 'learning_rate': 0.1, 'momentum': 0.9, 'weight_decay': 5e-4}
ADAM = {'name': 'adam', 'learning_rate': 1.2e-3}


class Result(NamedTuple):
    """Exit code, stdout and stderr of a command."""

    code: int
    out: str
    err: str


def random_dataset(shape: tuple[int, int, int] = (1, 8, 8), *, images: int = 48) -> Dataset:
    """Noise in 4 classes that differ in mean brightness, so that training lowers the loss. Training and test set are
    the same images.
    """

    random = torch.Generator().manual_seed(7)
    labels = torch.arange(images) % 4
    noise = torch.rand(images, *shape, generator=random) * 100
    split = Split((noise + 40 * labels.view(-1, 1, 1, 1)).to(torch.uint8), labels)
    return Dataset(split, split, (0.4,) * shape[0], (0.2,) * shape[0])


def make_task(model: str = 'lenet-300-100', *, seeds: tuple[int, ...] = (0,), shape: tuple[int, int, int] = (1, 8, 8),
              images: int = 48, engine: Engine = CPU, keep_out: tuple[str, ...] = (),
              data: dict[str, Any] | None = None, **training: Any) -> Task:
    """A task on `random_dataset` that trains in moments: batches of 8, 5 steps an epoch and 3 epochs by default."""

    network = Network.of(settings_class(model)(name=model), shape, 4, keep_out)
    settings = TrainingSettings.model_validate({'length': '3 epochs', 'batch_size': 8, 'optimizer': ADAM} | training)
    data_settings = DataSettings.model_validate({'name': 'random', 'validation': 8} | (data or {}))
    dataset = random_dataset(shape, images=images).to(engine.device)
    return Task(network, dataset, data_settings, settings, seeds, engine)


def initial_state(task: Task, dtype: torch.dtype = torch.float32) -> State:
    """Initial weights and buffers of every replicate of a task."""

    weights = torch.stack([task.network.initial_weights(seed) for seed in task.seeds]).to(task.engine.device, dtype)
    buffers = {}
    for name, buffer in task.network.initial_buffers().items():
        moved = buffer.to(task.engine.device, dtype if buffer.is_floating_point() else buffer.dtype)
        buffers[name] = moved.expand(len(weights), *buffer.shape).clone()
    return State(weights, buffers)


def full_mask(task: Task) -> torch.Tensor:
    """A mask under which all parameters train: (R, N) bool."""

    return torch.ones(len(task.seeds), task.network.layout.size, dtype=torch.bool, device=task.engine.device)


def mlp_task(task: Task, *widths: int, classes: int = 4, bias: bool = True) -> Task:
    """The task with a network of dense layers with these hidden widths."""

    sizes = [math.prod(task.data.shape), *widths, classes]
    layers: list[nn.Module] = [nn.Flatten()]
    torch.manual_seed(0)
    for inputs, outputs in zip(sizes, sizes[1:]):
        layers += [nn.Linear(inputs, outputs, bias=bias), nn.ReLU()]
    module = nn.Sequential(*layers[:-1]).eval()
    return replace(task, network=Network(module, Layout.of(module), task.data.shape, classes, task.network.settings))


@pytest.fixture
def lth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command of lth in this process, in an empty folder. Seeds train one after the other: another process takes
    seconds to start.
    """

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('COLUMNS', '200')
    monkeypatch.setattr(console.out, 'size', ConsoleDimensions(200, 50))
    monkeypatch.setattr(worker_pool, 'WorkerPool', PoolInThisProcess)
    monkeypatch.delenv('LTH_DATASETS', raising=False)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, [*arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)
    return run


class PoolInThisProcess:
    """A worker_pool.WorkerPool that does the jobs one after another in this process."""

    def __init__(self, work: Callable[..., None], _slots: int) -> None:
        self._work = work
        self._jobs: list[tuple[Any, tuple[Any, ...]]] = []

    def __class_getitem__(cls, _key: Any) -> type['PoolInThisProcess']:
        return cls

    def submit(self, key: Any, job: tuple[Any, ...], _name: str) -> None:
        self._jobs.append((key, job))

    def events(self) -> Iterator[tuple[Any, Any]]:
        while self._jobs:
            key, job = self._jobs.pop(0)
            sent: list[Any] = []
            end = JobEnd()
            try:
                self._work(*job, sent.append)
            except LthError as error:
                end = JobEnd(error)
            yield from ((key, message) for message in (*sent, end))

    def __enter__(self) -> 'PoolInThisProcess':
        return self

    def __exit__(self, *_error: object) -> None:
        return


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The folder of the real data sets; the test is skipped if the given file or folder is not in it."""

    def folder(files: str) -> Path:
        if not (_DATASETS / files).exists():
            pytest.skip(f'{files} is not in {_DATASETS}: put the data set there, or set $LTH_DATASETS to its folder')
        return _DATASETS
    return folder


@pytest.fixture
def interpreted_kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels run on the CPU, by Triton's interpreter. Skips the test if Triton is not installed."""

    pytest.importorskip('triton')
    from triton import language
    from triton.runtime import interpreter

    from lth.training.engines.cuda.kernels import convolutions, optimizers
    modules, convert = [optimizers, convolutions], interpreter._convert_float
    dot = interpreter.InterpreterBuilder.create_dot

    def convert_and_round(values, source, target, rounding):
        if target != language.bfloat16:
            return convert(values, source, target, rounding)
        return torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()

    def float_dot(builder, first, second, *others):
        pair = (builder.cast_impl(operand, language.float32) for operand in (first, second))
        return dot(builder, *pair, *others)

    with monkeypatch.context() as patch:
        patch.setenv('TRITON_INTERPRET', '1')
        # The interpreter multiplies the bits of bfloat16 numbers.
        patch.setattr(interpreter.InterpreterBuilder, 'create_dot', float_dot)
        # The compiler rounds to bfloat16, the interpreter truncates.
        patch.setattr(interpreter, '_convert_float', convert_and_round)
        # A call within a kernel would replace all functions of triton.language again: 3 ms.
        patch.setattr(interpreter.InterpretedFunction, '__call__', lambda self, *args: self.rewrite()(*args))
        for module in modules:
            importlib.reload(module)
        yield
    for module in modules:
        importlib.reload(module)
