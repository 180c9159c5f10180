"""Mask-1 and mask-0 actions, on one layer of eight weights."""
import pytest
import torch

from lth import rng
from lth.pruning.mask_actions import MASK_ACTIONS, LayerSurvivors

START = [1., -2., 3., -4., 5., -6., 7., -8.]
# The second, fourth, sixth and seventh moved toward zero.
FINAL = [2., -1., 4., -3., 6., -5., 0.5, -9.]
KEPT = [True, True, True, True, False, False, False, False]
REINITIALIZED = [-10., -20., 30., 40., -50., 60., 70., 80.]


def layer(seed: int = 0) -> LayerSurvivors:
    return LayerSurvivors(torch.tensor(START), torch.tensor(FINAL), torch.tensor(KEPT),
                          lambda: torch.tensor(REINITIALIZED), lambda: 0.25, rng.generator(seed, 'action'))


def kept(name: str, seed: int = 0) -> list[float]:
    values: list[float] = MASK_ACTIONS.mask_1.find(name)(layer(seed))[torch.tensor(KEPT)].tolist()
    return values


def after_mask_0(name: str) -> list[float]:
    values: list[float] = MASK_ACTIONS.mask_0.find(name)(layer(), torch.tensor(START)).tolist()
    return values


@pytest.mark.parametrize(('name', 'expected'), [
    ('rewind', [1, -2, 3, -4]),
    ('reinitialize', [-10, -20, 30, 40]),
    ('reinitialize-keeping-sign', [10, -20, 30, -40]),
    ('constant-keeping-sign', [0.25, -0.25, 0.25, -0.25])])
def test_mask_1_actions_equal_values_by_hand(name, expected):
    assert kept(name) == expected


def test_reshuffle_keeps_the_values_of_the_kept_weights():
    samples = [kept('reshuffle', seed) for seed in range(8)]
    assert all(sorted(row) == [-4, -2, 1, 3] for row in samples) and len({tuple(row) for row in samples}) > 3
    assert kept('reshuffle', 1) == samples[1]


def test_reshuffle_keeping_sign_shuffles_each_sign_separately():
    samples = {tuple(kept('reshuffle-keeping-sign', seed)) for seed in range(40)}
    assert samples == {(1, -2, 3, -4), (1, -4, 3, -2), (3, -2, 1, -4), (3, -4, 1, -2)}


def test_constant_has_random_signs():
    samples = [kept('constant', seed) for seed in range(8)]
    assert {abs(value) for row in samples for value in row} == {0.25} and len({tuple(row) for row in samples}) > 3


@pytest.mark.parametrize(('name', 'expected'), [
    ('zero', [1, -2, 3, -4, 0, 0, 0, 0]),
    ('freeze', [1, -2, 3, -4, 5, -6, 7, -8]),
    ('toward-zero', [1, -2, 3, -4, 5, 0, 0, -8]),
    ('toward-zero-all', [1, 0, 3, 0, 5, 0, 0, -8]),
    ('away-from-zero', [1, -2, 3, -4, 0, -6, 7, 0])])
def test_mask_0_actions_equal_values_by_hand(name, expected):
    assert after_mask_0(name) == expected


def test_random_zero_sets_as_many_weights_to_zero_as_toward_zero():
    def pruned(seed: int) -> list[float]:
        values: list[float] = MASK_ACTIONS.mask_0.find('random-zero')(layer(seed), torch.tensor(START)).tolist()
        assert values[:4] == START[:4]
        return values[4:]
    samples = [pruned(seed) for seed in range(20)]
    assert all(row.count(0) == 2 and {*row} <= {0, *START[4:]} for row in samples)
    assert len({tuple(row) for row in samples}) > 3
