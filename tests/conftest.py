"""What tests share: small tasks on made-up pictures, real data sets where they are at hand, and the command line."""
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from lth.cli import app
from lth.datasets import Dataset, Split
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.recipes.schema import DataSettings, TrainingSettings
from lth.training.engines import select
from lth.training.task import Engine, State, Task

CPU = select.select_engine('cpu')
select.configure_process(threads=1, device=CPU.device)
SGD = {'name': 'sgd', 'learning_rate': 0.1, 'momentum': 0.9, 'weight_decay': 5e-4}
ADAM = {'name': 'adam', 'learning_rate': 1.2e-3}


class Result(NamedTuple):
    """What a command gave back."""

    code: int
    out: str
    err: str


def made_up(shape: tuple[int, int, int] = (1, 8, 8), pictures: int = 48) -> Dataset:
    """Noise in which the mean brightness tells the class, so that a loss can fall."""

    random = torch.Generator().manual_seed(7)
    labels = torch.arange(pictures) % 4
    images = (torch.rand(pictures, *shape, generator=random) * 100 + 40 * labels.view(-1, 1, 1, 1)).to(torch.uint8)
    split = Split(images, labels)
    return Dataset(split, split, (0.4,) * shape[0], (0.2,) * shape[0])


def task_of(model: str = 'lenet-300-100', *, seeds: tuple[int, ...] = (0,), shape: tuple[int, int, int] = (1, 8, 8),
            pictures: int = 48, engine: Engine = CPU, keep_out: tuple[str, ...] = (),
            data: dict[str, Any] | None = None, **training: Any) -> Task:
    """A task that takes a moment: 4 classes, batches of 8, 5 steps an epoch unless said otherwise."""

    exact = settings_class(model)
    network = Network.of(exact(name=model), shape, 4, keep_out)
    settings = TrainingSettings.model_validate({'length': '3 epochs', 'batch_size': 8, 'optimizer': ADAM} | training)
    options = DataSettings.model_validate({'name': 'made-up', 'validation': 8} | (data or {}))
    return Task(network, made_up(shape, pictures).to(engine.device), options, settings, seeds, engine)


def start_of(task: Task, dtype: torch.dtype = torch.float32) -> State:
    """The fresh state of a task."""

    weights = torch.stack([task.network.initial_weights(seed) for seed in task.seeds]).to(task.engine.device, dtype)
    buffers = {}
    for name, buffer in task.network.initial_buffers().items():
        one = buffer.to(task.engine.device, dtype if buffer.is_floating_point() else buffer.dtype)
        buffers[name] = one.expand(len(weights), *buffer.shape).clone()
    return State(weights, buffers)


def everything(task: Task) -> torch.Tensor:
    """A mask under which all of the vector trains."""

    return torch.ones(len(task.seeds), task.network.layout.size, dtype=torch.bool, device=task.engine.device)


@pytest.fixture
def lth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs a command in an empty folder."""

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('COLUMNS', '200')
    monkeypatch.delenv('LTH_DATASETS', raising=False)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, [*arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)
    return run


@pytest.fixture
def real_data() -> Callable[[str], Path]:
    """The folder of real data sets, or a skip that says what is missing."""

    def folder(files: str) -> Path:
        place = Path(os.environ.get('LTH_DATASETS', Path(__file__).parent.parent / 'datasets'))
        if not (place / files).exists():
            pytest.skip(f'{files} is not in {place}: put the data set there, or name its folder in $LTH_DATASETS')
        return place
    return folder


def chained(task: Task, *widths: int, classes: int = 4, bias: bool = True) -> Task:
    """The task with a network of dense layers of these widths."""

    sizes = [math.prod(task.data.shape), *widths, classes]
    layers: list[nn.Module] = [nn.Flatten()]
    torch.manual_seed(0)
    for inputs, units in zip(sizes, sizes[1:]):
        layers += [nn.Linear(inputs, units, bias=bias), nn.ReLU()]
    module = nn.Sequential(*layers[:-1]).eval()
    return replace(task, network=Network(module, Layout.of(module), task.data.shape, classes, task.network.settings))
