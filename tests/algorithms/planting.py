"""A planted ticket: a network in which only a known small set of weights carries the signal."""
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from lth.datasets import Dataset, Split
from lth.models import settings_of
from lth.network import Network
from lth.task import Task
from tests.conftest import task_of


def flat(_shape: tuple[int, int, int], classes: int) -> nn.Module:
    """One dense layer for 64 pixels."""

    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))


def planted(**training: Any) -> tuple[Task, torch.Tensor]:
    """A dense layer over 8×8 pixels in which the weight of one pixel for each of four classes carries the signal, and
    where: bool (4, 64).
    """

    labels = torch.arange(400) % 4
    images = torch.randint(0, 256, (400, 1, 8, 8), generator=torch.Generator().manual_seed(3))
    for label in range(4):
        images[labels == label, 0, 0, 2 * label] = 255
        images[labels != label, 0, 0, 2 * label] = 0
    split = Split(images.to(torch.uint8), labels)
    signal = torch.zeros(4, 64, dtype=torch.bool)
    signal[torch.arange(4), torch.arange(4) * 2] = True
    name = 'tests.algorithms.planting:flat'
    network = Network.of(settings_of(name)(name=name, initializer='unsigned-constant'), (1, 8, 8), 4)
    task = task_of(pictures=400, **training)
    return replace(task, network=network, data=Dataset(split, split, (0.5,), (0.3,))), signal
