"""The loop of an expert: what a good engineer writes by hand to train one network fast.

Images stay on the device as uint8 tensors. A batch is gathered by index, cropped, flipped and normalized there.
Convolutions run in channels_last, everything in the recipe's precision. The optimizer is fused, and weights are
multiplied by their mask after its step. On a GPU, torch.compile captures both passes as CUDA graphs. No step waits for
the device. On a CPU nothing is compiled: that takes a minute or more, and saves at most 7% of a step.
"""
import copy
import itertools
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lth.datasets import sampling
from lth.recipes.schema import Adam, AdamW
from lth.training.engines.cuda.compilation import compiler_obstacle
from lth.training.task import Task

# Turns images and labels of a batch into the mean loss.
_Loss = Callable[[Tensor, Tensor], Tensor]


def expert_loop(task: Task) -> Iterator[None]:
    """Train the dense network without end, one step for each item of this iterator."""

    module = _module(task)
    weights: list[Tensor] = [parameter for parameter in module.parameters() if parameter.dim() > 1]
    return train_steps(task, module, [torch.ones_like(weight) for weight in weights], weights)


def train_steps(task: Task, module: nn.Module, masks: list[Tensor], weights: list[Tensor]) -> Iterator[None]:
    """Train a module without end, and multiply these weights by their masks after every step. Sets precision and
    autotuning of this process.
    """

    optimizer, mean_loss = _optimizer(module, task), _mean_loss(module, task)
    for images, labels in _batches(task):
        mean_loss(images, labels).backward()
        optimizer.step()
        if weights:
            with torch.no_grad():
                torch._foreach_mul_(weights, masks)  # pylint: disable=protected-access # it has no public name
        optimizer.zero_grad(set_to_none=True)
        yield


def _module(task: Task) -> nn.Module:
    """The network on the device, with the initial weights of the first seed."""

    module = copy.deepcopy(task.network.module).train()
    module.load_state_dict(task.network.layout.unpack(task.network.initial_weights(task.seeds[0])), strict=False)
    return module.to(task.engine.device).to(memory_format=torch.channels_last)


def _optimizer(module: nn.Module, task: Task) -> torch.optim.Optimizer:
    settings = task.training.optimizer
    if isinstance(settings, (Adam, AdamW)):
        kind = torch.optim.Adam if isinstance(settings, Adam) else torch.optim.AdamW
        return kind(module.parameters(), settings.learning_rate, settings.betas, settings.epsilon,
                    settings.weight_decay, fused=True)
    return torch.optim.SGD(module.parameters(), settings.learning_rate, settings.momentum,
                           weight_decay=settings.weight_decay, nesterov=settings.nesterov, fused=True)


def _mean_loss(module: nn.Module, task: Task) -> _Loss:
    """The forward pass in the recipe's precision."""

    device, precision = task.engine.device, task.training.precision
    torch.set_float32_matmul_precision('high' if precision == 'tf32' else 'highest')
    torch.backends.cudnn.allow_tf32 = precision == 'tf32'
    torch.backends.cudnn.benchmark = True

    def uncompiled(images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(module(images), labels)
    compiled = torch.compile(uncompiled, mode='reduce-overhead', dynamic=False) if _compiles(device) else uncompiled

    def mean_loss(images: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == 'bf16'):
            loss: Tensor = compiled(images, labels)
            return loss
    return mean_loss


def _batches(task: Task) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of all epochs: images (B, C, H, W) and labels (B,)."""

    device, batch, settings = task.engine.device, task.training.batch_size, task.data_settings
    train, indices, size = task.data.train, task.splits[0][0], task.network.shape[1:]
    assert isinstance(train.images, Tensor)
    images, labels = train.images[indices].to(device), train.labels[indices].to(device)
    mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (task.data.mean, task.data.std))
    margin = task.data.shape[1] - size[0] + 2 * settings.crop

    def uncompiled(rows: Tensor, boxes: Tensor, flipped: Tensor) -> Tensor:
        part = images[rows]
        if settings.moves:
            part = sampling.augment(part, boxes[rows], flipped[rows], padding=settings.crop, size=size)
        return sampling.normalize(part, settings, mean, std).contiguous(memory_format=torch.channels_last)
    # Without CUDA graphs, which would copy all images into memory of their own.
    prepare = torch.compile(uncompiled, dynamic=False) if _compiles(device) else uncompiled
    for epoch in itertools.count():
        boxes = sampling.crop_boxes(len(labels), settings, 0, epoch, margin=margin).to(device)
        flipped = sampling.flips(len(labels), settings, 0, epoch).to(device)
        order = torch.randperm(len(labels), device=device)
        for rows in order.split(batch)[:task.steps_per_epoch]:
            yield prepare(rows, boxes, flipped), labels[rows]


def _compiles(device: torch.device) -> bool:
    """Whether to use torch.compile: on a GPU, if this machine has what it needs."""

    return device.type == 'cuda' and compiler_obstacle(device) is None
