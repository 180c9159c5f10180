"""The usual way, against which speed is measured: what a paper's repository does.

A DataLoader over PIL pictures, torchvision's ToTensor and Normalize (with RandomCrop and flip where the recipe has
them), the default optimizer, the gradient times the mask.
"""
import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lth.recipes.schema import Adam, AdamW
from lth.training.task import Task


class TransformedImages(Dataset[tuple[Any, int]]):
    """The training pictures as torchvision's data sets give them: a PIL picture, transformed, and its class."""

    def __init__(self, task: Task) -> None:
        from torchvision import transforms  # pylint: disable=import-outside-toplevel # 2 s that only the bench needs
        numbers, images = task.splits[0][0], task.data.train.images
        assert isinstance(images, Tensor)
        self._images = images[numbers].permute(0, 2, 3, 1).squeeze(-1).numpy()
        self._labels = task.data.train.labels[numbers].tolist()
        settings = task.data_settings
        shown = task.network.shape[1:]
        cropped = settings.crop > 0 or task.data.shape[1:] != shown
        steps: list[Any] = [transforms.RandomCrop(shown, settings.crop)] if cropped else []
        if settings.resized_crop:
            steps = [transforms.RandomResizedCrop(shown, (settings.resized_crop, 1))]
        steps += [transforms.RandomHorizontalFlip()] if settings.flip else []
        steps += [transforms.ToTensor(), transforms.Normalize(task.data.mean, task.data.std)]
        self._transform: Callable[[Any], Tensor] = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image  # pylint: disable=import-outside-toplevel # as above
        return self._transform(Image.fromarray(self._images[index])), self._labels[index]


def baseline_loop(task: Task) -> Iterator[None]:
    """Trains the dense network one step each time it is asked."""

    module = copy.deepcopy(task.network.module).train().to(task.engine.device)
    module.load_state_dict(task.network.layout.unpack(task.network.initial_weights(task.seeds[0])), strict=False)
    masks = {name: torch.ones_like(parameter) for name, parameter in module.named_parameters()}
    settings = task.training.optimizer
    if isinstance(settings, (Adam, AdamW)):
        kind = torch.optim.Adam if isinstance(settings, Adam) else torch.optim.AdamW
        optimizer: torch.optim.Optimizer = kind(module.parameters(), settings.learning_rate)
    else:
        optimizer = torch.optim.SGD(
            module.parameters(), settings.learning_rate, settings.momentum, weight_decay=settings.weight_decay)
    loader = DataLoader(TransformedImages(task), task.training.batch_size, shuffle=True, drop_last=True)
    while True:
        for images, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(module(images.to(task.engine.device)), labels.to(task.engine.device)).backward()
            for name, parameter in module.named_parameters():
                assert parameter.grad is not None
                parameter.grad *= masks[name]
            optimizer.step()
            yield
