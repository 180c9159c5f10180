"""Mask criteria: the formulas of Zhou et al. 2019, row by row."""
import pytest
import torch

from lth import rng
from lth.pruning import masks
from lth.pruning.criteria import CRITERIA, CriterionContext

INITIAL, FINAL = torch.tensor([1., -2., 3., -4., 0.]), torch.tensor([-0.5, -5., 3.5, 0., 2.])


def context(count: int, seed: int = 0) -> CriterionContext:
    return CriterionContext(count, rng.generator(seed, 'criterion'))


def scores(name: str, count: int = 3) -> list[float]:
    values: list[float] = CRITERIA.find(name)(INITIAL, FINAL, context(count)).tolist()
    return values


@pytest.mark.parametrize(('name', 'expected'), [
    ('magnitude', [0.5, 5, 3.5, 0, 2]),
    ('small-final', [-0.5, -5, -3.5, 0, -2]),
    ('large-init', [1, 2, 3, 4, 0]),
    ('small-init', [-1, -2, -3, -4, 0]),
    ('magnitude-increase', [-0.5, 3, 0.5, -4, 2]),
    ('movement', [1.5, 3, 0.5, 4, 2]),
    ('large-final-same-sign', [0, 5, 3.5, 0, 0]),
    ('large-final-diff-sign', [0.5, 0, 0, 0, 0])])
def test_scores_of_each_criterion_equal_values_by_hand(name, expected):
    assert scores(name) == expected


def test_large_init_large_final_equals_values_by_hand():
    # To keep 2 of 5, each term prunes its 2 smallest: |w_f| below 2, |w_i| below 2. Both borders are 2, so α = 1.
    assert scores('large-init-large-final', 2) == [0.5, 2, 3, 0, 0]
    # To keep 1, each prunes 3: |w_f| below 3.5, |w_i| below 3, so α = 3 / 3.5.
    assert scores('large-init-large-final', 1) == pytest.approx([0.5 * 6 / 7, 2, 3, 0, 0])


def test_small_init_small_final_equals_values_by_hand():
    # To keep 3 of 5, each term prunes its largest: |w_f| above 3.5, |w_i| above 3, so α = 3 / 3.5.
    assert scores('small-init-small-final', 3) == pytest.approx([-1, -30 / 7, -3, -4, -12 / 7])


@pytest.mark.parametrize(('name', 'sign'), [('large-init-large-final', 1), ('small-init-small-final', -1)])
@pytest.mark.parametrize('count', [10, 500, 990])
def test_each_term_of_a_balanced_criterion_prunes_the_same_number(name, sign, count):
    random = torch.Generator().manual_seed(3)
    initial, final = torch.randn(1000, generator=random), 7 * torch.randn(1000, generator=random)
    values = CRITERIA.find(name)(initial, final, context(count))
    by_final = values.abs() != initial.abs()
    alpha = float((values[by_final] / final[by_final]).abs().median())
    border = values.sort().values[-count]
    alone = [int((sign * term < border * (1 - sign * 1e-5)).sum()) for term in (alpha * final.abs(), initial.abs())]
    assert abs(alone[0] - alone[1]) <= 1 and 0 < alone[0] <= 1000 - count
    assert int((values >= border).sum()) in (count, count + 1)


def test_if_one_term_is_constant_the_other_term_ranks_the_weights():
    initial, final = torch.tensor([1., -1., 1., -1.]), torch.tensor([1., 2., 3., 0.])
    values = CRITERIA.find('large-init-large-final')(initial, final, context(3))
    assert masks.keep_best(values[None], torch.ones(1, 4, dtype=torch.bool), 3, seeds=[0]).tolist() == [
        [True, True, True, False]]


def test_if_one_term_is_zero_for_most_weights_the_other_term_ranks_them():
    # Half of the weights start from 0, as after the mask-0 action toward-zero-all, and a quarter is pruned.
    zeros, spread = [0.] * 4 + [0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]

    def kept(name: str, initial: list[float], final: list[float], count: int) -> list[bool]:
        values = CRITERIA.find(name)(torch.tensor(initial), torch.tensor(final), context(count))
        mask = masks.keep_best(values[None], torch.ones(1, 8, dtype=torch.bool), count, seeds=[0])
        best: list[bool] = mask[0].tolist()
        return best
    for initial, final in ((zeros, spread), (spread, zeros)):
        assert all(kept('large-init-large-final', initial, final, 6)[4:])
        assert kept('small-init-small-final', initial, final, 2) == [True] * 2 + [False] * 6


def test_the_random_criterion_depends_only_on_the_seed():
    noise = CRITERIA.find('random')
    samples = [noise(INITIAL, FINAL, context(3, seed)).tolist() for seed in (0, 0, 1)]
    assert samples[0] == samples[1] != samples[2]
    assert samples[0] == noise(FINAL, INITIAL, context(3)).tolist() and len(set(samples[0])) == 5
