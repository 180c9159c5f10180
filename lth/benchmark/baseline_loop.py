"""The baseline of all speed measurements: an ordinary PyTorch loop, as in the repositories of papers.

A DataLoader of PIL images with torchvision's transforms (RandomCrop and RandomHorizontalFlip if the recipe has them,
ToTensor, Normalize), the default optimizer, and gradients multiplied by the mask.
"""
import copy
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lth.recipes.schema import Adam, AdamW
from lth.training.task import Task


class TransformedImages(Dataset[tuple[Any, int]]):
    """The training set as a data set of torchvision: transformed PIL images and their labels."""

    def __init__(self, task: Task) -> None:
        indices, images = task.splits[0][0], task.data.train.images
        assert isinstance(images, Tensor)
        self._images = images[indices].permute(0, 2, 3, 1).squeeze(-1).numpy()
        self._labels = task.data.train.labels[indices].tolist()
        self._transform = _transform(task)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), self._labels[index]


def baseline_loop(task: Task) -> Iterator[None]:
    """Train the dense network without end, one step for each item of this iterator."""

    device = task.engine.device
    module = copy.deepcopy(task.network.module).train().to(device)
    module.load_state_dict(task.network.layout.unpack(task.network.initial_weights(task.seeds[0])), strict=False)
    masks = {name: torch.ones_like(parameter) for name, parameter in module.named_parameters()}
    optimizer = _optimizer(module, task)
    loader = DataLoader(TransformedImages(task), task.training.batch_size, shuffle=True, drop_last=True)
    while True:
        for images, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(module(images.to(device)), labels.to(device)).backward()
            for name, parameter in module.named_parameters():
                assert parameter.grad is not None
                parameter.grad *= masks[name]
            optimizer.step()
            yield


def _transform(task: Task) -> Any:
    settings, size = task.data_settings, task.network.shape[1:]
    steps: list[Any] = []
    if settings.resized_crop:
        steps.append(transforms.RandomResizedCrop(size, (settings.resized_crop, 1)))
    elif settings.crop > 0 or task.data.shape[1:] != size:
        steps.append(transforms.RandomCrop(size, settings.crop))
    if settings.flip:
        steps.append(transforms.RandomHorizontalFlip())
    steps += [transforms.ToTensor(), transforms.Normalize(task.data.mean, task.data.std)]
    return transforms.Compose(steps)


def _optimizer(module: nn.Module, task: Task) -> torch.optim.Optimizer:
    settings = task.training.optimizer
    if isinstance(settings, Adam):
        return torch.optim.Adam(module.parameters(), settings.learning_rate)
    if isinstance(settings, AdamW):
        return torch.optim.AdamW(module.parameters(), settings.learning_rate)
    return torch.optim.SGD(
        module.parameters(), settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay)
