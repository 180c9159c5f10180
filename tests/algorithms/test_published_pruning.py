"""Whole searches against torch.nn.utils.prune and a rule written again; which images have an influence on them."""
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from lth.algorithms import ALGORITHMS
from lth.algorithms.imp import find_ticket
from lth.algorithms.imp_settings import Settings
from lth.datasets import Split
from lth.models.flat_parameters import Layout
from lth.pruning.tickets import Round, dense_ticket
from lth.recipes.schema import validate_section
from lth.training.task import Task
from tests.conftest import SGD, make_task

# Masks (P,) of rounds 1 to 5, given the trained weights (P,) of rounds 0 to 4.
Rule = Callable[[Layout, list[Tensor]], list[Tensor]]


def layer_by_layer(layout: Layout, trained: list[Tensor]) -> list[Tensor]:
    """Remove the ⌊n/5⌋ smallest of the n weights that remain in each layer, in numpy."""

    mask, found = np.ones(layout.prunable_count, dtype=bool), []
    for weights in trained:
        for slot in layout.prunable_slots:
            part = mask[slot.start:slot.stop]
            ranked = np.argsort(np.where(part, np.abs(weights[slot.start:slot.stop].numpy()), np.inf))
            part[ranked[:part.sum() // 5]] = False
        found.append(torch.from_numpy(mask.copy()))
    return found


def by_torch(layout: Layout, trained: list[Tensor], step: Callable[[list[nn.Module]], None]) -> list[Tensor]:
    """Masks that `step`, called in each round with the layers as modules, makes by torch.nn.utils.prune."""

    layers: list[nn.Module] = [nn.Linear(slot.size, 1, bias=False) for slot in layout.prunable_slots]
    found = []
    for number, weights in enumerate(trained):
        for layer, slot in zip(layers, layout.prunable_slots, strict=True):
            parameter = layer.weight_orig if number else layer.weight
            parameter.data = weights[None, slot.start:slot.stop].clone()
            if number:
                layer.weight = parameter.data * layer.weight_mask
        step(layers)
        found.append(torch.cat([layer.weight_mask[0] for layer in layers]).bool())
    return found


def torch_by_layer(layout: Layout, trained: list[Tensor]) -> list[Tensor]:
    def step(layers: list[nn.Module]) -> None:
        for layer in layers:
            prune.l1_unstructured(layer, 'weight', amount=remaining(layer) // 5)
    return by_torch(layout, trained, step)


def torch_globally(layout: Layout, trained: list[Tensor]) -> list[Tensor]:
    def step(layers: list[nn.Module]) -> None:
        prune.global_unstructured(
            [(layer, 'weight') for layer in layers], prune.L1Unstructured, amount=sum(map(remaining, layers)) // 5)
    return by_torch(layout, trained, step)


def remaining(layer: nn.Module) -> int:
    return int(layer.weight_mask.sum()) if hasattr(layer, 'weight_mask') else layer.weight.numel()


@pytest.mark.parametrize(('scope', 'rule'), [
    ('layer', layer_by_layer), ('layer', torch_by_layer), ('global', torch_globally)])
def test_five_rounds_of_magnitude_pruning_equal_the_rule_and_rewind_to_equal_bits(scope: str, rule: Rule):
    task = make_task('conv-2', shape=(3, 8, 8), optimizer=SGD, length='1 epochs')
    raw = {'name': 'magnitude', 'rounds': 5, 'rates': 0.2, 'scope': scope, 'rewind': '2 iterations'}
    rounds = list(find_ticket(task, Settings.model_validate(raw), ()))
    prunable, start = task.network.layout.prunable_count, rounds[0].ticket.weights[0]
    assert not torch.equal(start, dense_ticket(task).weights[0])
    expected = rule(task.network.layout, [found.trained.weights[0, :prunable] for found in rounds[:-1]])
    for found, mask in zip(rounds[1:], expected, strict=True):
        assert torch.equal(found.ticket.mask[0], mask)
        assert torch.equal(found.ticket.weights[0, :prunable], torch.where(mask, start[:prunable], 0.))
        assert torch.equal(found.ticket.weights[0, prunable:], start[prunable:])


FINETUNE = {'length': '1 epochs', 'batch_size': 8, 'optimizer': SGD}
SEARCHES = [
    {'name': 'magnitude', 'rounds': 2, 'rates': 0.2},
    {'name': 'gem-miner', 'density': 0.1, 'freeze_every': '1 epochs', 'finetune': FINETUNE},
    {'name': 'snip', 'density': 0.1}]


def last_round(task: Task, raw: dict[str, object]) -> Round:
    algorithm = ALGORITHMS.find(str(raw['name']))
    return list(algorithm.find(task, validate_section(algorithm.settings, raw, 'test'), ()))[-1]


def invert(task: Task, rows: Tensor) -> Task:
    """The task with inverted images in these rows of the training set; the test set is the same."""

    images = task.data.train.images.clone()
    images[rows] = 255 - images[rows]
    return replace(task, data=replace(task.data, train=Split(images, task.data.train.labels)))


@pytest.mark.parametrize('raw', SEARCHES, ids=lambda raw: raw['name'])
def test_no_search_is_trained_on_a_validation_image(raw):
    task = make_task(optimizer=SGD)
    training, validation = task.splits[0]
    expected = last_round(task, raw)
    found = last_round(invert(task, validation), raw)
    assert torch.equal(found.ticket.mask, expected.ticket.mask)
    assert torch.equal(found.trained.weights, expected.trained.weights)
    measured, other = found.trained.history[-1], expected.trained.history[-1]
    assert measured.test == other.test and measured.validation != other.validation
    # What this is compared with: training images have an influence.
    changed = last_round(invert(task, training[:8]), raw)
    assert not torch.equal(changed.ticket.mask, expected.ticket.mask)
