"""Whole searches against the published rules, written again with torch's autograd and torch.optim.SGD: 40 steps.

With signed constant weights, inputs of ReLUs are often exactly 0, and rounding decides which gradient they have. So the
factors of the weights must be exactly 0 and 1: with p + s - s instead of p + (s - s), scores differ by up to 0.0006
after 40 steps, also in float64.
"""
import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.func import functional_call

from lth import rng
from lth.algorithms.trained_masks.initial_scores import sample_scores
from lth.datasets import sampling
from lth.pruning.tickets import dense_ticket
from lth.training.task import Task
from tests.algorithms.trained_masks.test_gem_miner import mined, mining
from tests.algorithms.trained_masks.test_trained_masks import find_rounds


def batches(task: Task) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of 8 epochs of 5 steps, in the order of seed 0."""

    for epoch in range(8):
        for rows in sampling.epoch_order(task.splits[0][0], 0, epoch).view(5, 8):
            images = sampling.normalize(
                task.data.train.images[rows], task.data_settings, torch.zeros(1), torch.ones(1))
            yield images, task.data.train.labels[rows]


def train(task: Task, scores: Tensor, factor: Callable[[Tensor], Tensor], after: Callable[[int], None]) -> None:
    """Train scores by SGD with momentum; `factor` maps them to the factors of the weights, `after` follows a step."""

    layout, weights, count = task.network.layout, dense_ticket(task).weights[0], len(scores)
    optimizer = torch.optim.SGD([scores], lr=0.1, momentum=0.9)
    for step, (images, labels) in enumerate(batches(task), 1):
        optimizer.zero_grad()
        effective = torch.cat([weights[:count] * factor(scores), weights[count:]])
        loss = F.cross_entropy(functional_call(task.network.module, layout.unpack(effective), (images,)), labels)
        loss.backward()
        optimizer.step()
        after(step)


def largest(values: Tensor, count: int) -> Tensor:
    return torch.zeros_like(values).scatter_(0, values.topk(count).indices, 1.)


def straight_through(used: Tensor, scores: Tensor) -> Tensor:
    """`used` in the forward pass; the gradient of `scores` in the backward pass."""

    return used.detach() + (scores - scores.detach())


def test_edge_popup_trains_the_scores_of_the_published_rule():
    task = mining()
    found = find_rounds(task, 'edge-popup', save_every='8 epochs')[-1]
    slots = task.network.layout.prunable_slots
    kept = [int(mask.sum()) for mask in found.ticket.mask[0].split([slot.size for slot in slots])]
    random = rng.generator(0, 'scores')
    scores = torch.cat([torch.empty(slot.size).uniform_(-1, 1, generator=random) / slot.shape[1] ** 0.5
                        for slot in slots]).requires_grad_()

    def used(values: Tensor) -> Tensor:
        parts = values.abs().split([slot.size for slot in slots])
        return torch.cat([largest(part.detach(), count) for part, count in zip(parts, kept)])
    train(task, scores, lambda values: straight_through(used(values), values.abs()), lambda step: None)
    assert torch.allclose(found.search.scores[0], scores.detach(), rtol=0, atol=1e-7)
    assert torch.equal(found.ticket.mask[0], used(scores).bool())


def test_gem_miner_trains_and_freezes_the_scores_of_the_published_rule():
    task = mining()
    found = mined(task, penalty=0.)
    count = task.network.layout.prunable_count
    scores = sample_scores('uniform', count, rng.generator(0, 'scores')).requires_grad_()
    active = torch.ones(count)

    def freeze(step: int) -> None:
        with torch.no_grad():
            scores.clamp_(0, 1)
            if step in (10, 20, 30):
                remaining = int(active.sum())
                kept = remaining - math.ceil((1 - 0.1 ** (1 / 3)) * remaining)
                active.copy_(largest(torch.where(active > 0, scores, -1.), kept))
            scores.mul_(active)
    train(task, scores, lambda values: active * straight_through((values > 0.5).float(), values), freeze)
    assert torch.allclose(found[-1].search.scores[0], scores.detach(), rtol=0, atol=1e-7)
    assert torch.equal(found[-1].ticket.mask[0], active.bool())
