"""Mask-1 and mask-0 actions, on one layer of eight weights."""
import pytest
import torch

from lth import rng
from lth.pruning.mask_actions import MASK_ACTIONS, LayerSurvivors

START = [1., -2., 3., -4., 5., -6., 7., -8.]
# The second, fourth, sixth and seventh moved toward zero.
FINAL = [2., -1., 4., -3., 6., -5., 0.5, -9.]
KEPT = [True, True, True, True, False, False, False, False]
ANEW = [-10., -20., 30., 40., -50., 60., 70., 80.]


def change(seed: int = 0) -> LayerSurvivors:
    return LayerSurvivors(torch.tensor(START), torch.tensor(FINAL), torch.tensor(KEPT), lambda: torch.tensor(ANEW),
                          lambda: 0.25, rng.generator(seed, 'action'))


def kept(name: str, seed: int = 0) -> list[float]:
    found: list[float] = MASK_ACTIONS.mask_1.find(name)(change(seed))[torch.tensor(KEPT)].tolist()
    return found


def all_of(name: str) -> list[float]:
    found: list[float] = MASK_ACTIONS.mask_0.find(name)(change(), torch.tensor(START)).tolist()
    return found


@pytest.mark.parametrize(('name', 'expected'), [
    ('rewind', [1, -2, 3, -4]),
    ('reinitialize', [-10, -20, 30, 40]),
    ('reinitialize-keeping-sign', [10, -20, 30, -40]),
    ('constant-keeping-sign', [0.25, -0.25, 0.25, -0.25])])
def test_mask_1_actions_equal_values_by_hand(name, expected):
    assert kept(name) == expected


def test_reshuffle_keeps_the_values_of_the_kept_weights():
    drawn = [kept('reshuffle', seed) for seed in range(8)]
    assert all(sorted(one) == [-4, -2, 1, 3] for one in drawn) and len({tuple(one) for one in drawn}) > 3
    assert kept('reshuffle', 1) == drawn[1]


def test_reshuffle_keeping_sign_shuffles_each_sign_separately():
    drawn = {tuple(kept('reshuffle-keeping-sign', seed)) for seed in range(40)}
    assert drawn == {(one, low, other, high) for one, other in ((1, 3), (3, 1)) for low, high in ((-2, -4), (-4, -2))}


def test_constant_has_random_signs():
    drawn = [kept('constant', seed) for seed in range(8)]
    assert {abs(one) for row in drawn for one in row} == {0.25} and len({tuple(row) for row in drawn}) > 3


@pytest.mark.parametrize(('name', 'expected'), [
    ('zero', [1, -2, 3, -4, 0, 0, 0, 0]),
    ('freeze', [1, -2, 3, -4, 5, -6, 7, -8]),
    ('toward-zero', [1, -2, 3, -4, 5, 0, 0, -8]),
    ('toward-zero-all', [1, 0, 3, 0, 5, 0, 0, -8]),
    ('away-from-zero', [1, -2, 3, -4, 0, -6, 7, 0])])
def test_mask_0_actions_equal_values_by_hand(name, expected):
    assert all_of(name) == expected


def test_random_zero_sets_as_many_weights_to_zero_as_toward_zero():
    def pruned(seed: int) -> list[float]:
        found: list[float] = MASK_ACTIONS.mask_0.find('random-zero')(change(seed), torch.tensor(START)).tolist()
        assert found[:4] == START[:4]
        return found[4:]
    drawn = [pruned(seed) for seed in range(20)]
    assert all(row.count(0) == 2 and {*row} <= {0, *START[4:]} for row in drawn)
    assert len({tuple(row) for row in drawn}) > 3
