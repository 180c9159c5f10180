"""Exact selection of weights."""
from fractions import Fraction

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from lth.pruning import masks


def all_kept(count: int, rows: int = 1) -> torch.Tensor:
    return torch.ones(rows, count, dtype=torch.bool)


@pytest.mark.parametrize(('count', 'rate', 'left'), [
    (100, 0.2, 80), (10, 0.29, 8), (100, 0.29, 71), (7, 0.1, 7), (30, 0.1, 27), (1000, 0.7, 300)])
def test_floor_of_rate_times_count_is_pruned_in_exact_decimal_arithmetic(count, rate, left):
    assert masks.remaining_count(count, rate) == left


def test_remaining_counts_agree_with_rational_arithmetic():
    wrong = [(count, percent) for count in range(0, 400, 7) for percent in range(1, 100)
             if masks.remaining_count(count, percent / 100) != count - (Fraction(percent, 100) * count).__floor__()]
    assert not wrong


def test_the_best_scores_are_kept():
    mask = masks.keep_best(torch.tensor([[3., 1., 2., 5.]]), all_kept(4), 2, seeds=[0])
    assert mask.tolist() == [[True, False, False, True]]


@pytest.mark.parametrize('count', [0, 1, 17, 999, 1000])
def test_the_count_is_exact_even_when_all_scores_tie(count):
    mask = masks.keep_best(torch.zeros(2, 1000), all_kept(1000, 2), count, seeds=[0, 1])
    assert mask.sum(1).tolist() == [count, count]


def test_ties_are_broken_by_seed_and_salt_and_by_nothing_else():
    scores = torch.zeros(1, 200)
    draw = {(seed, salt): masks.keep_best(scores, all_kept(200), 100, seeds=[seed], salt=salt)
            for seed, salt in [(0, 0), (1, 0), (0, 1)]}
    assert torch.equal(draw[0, 0], masks.keep_best(scores, all_kept(200), 100, seeds=[0], salt=0))
    assert not torch.equal(draw[0, 0], draw[1, 0])
    assert not torch.equal(draw[0, 0], draw[0, 1])


def test_ties_at_the_threshold_do_not_affect_larger_scores():
    scores = torch.tensor([[9., 5., 5., 5., 1.]])
    mask = masks.keep_best(scores, all_kept(5), 3, seeds=[4])
    assert mask[0, 0] and not mask[0, 4] and mask[0, 1:4].sum() == 2


def test_a_pruned_weight_is_never_revived():
    before = torch.tensor([[True, False, True, True]])
    mask = masks.keep_best(torch.tensor([[1., 9., 2., 3.]]), before, 2, seeds=[0])
    assert mask.tolist() == [[False, False, True, True]]


def test_more_than_the_remaining_weights_cannot_be_kept():
    with pytest.raises(ValueError, match='cannot keep 3 of 2'):
        masks.keep_best(torch.ones(1, 3), torch.tensor([[True, True, False]]), 3, seeds=[0])


def test_a_score_that_is_not_a_number_is_refused():
    with pytest.raises(ValueError, match='not a number'):
        masks.keep_best(torch.tensor([[1., float('nan')]]), all_kept(2), 1, seeds=[0])


def test_masks_equal_those_of_torch_prune_without_ties():
    layer = nn.Linear(40, 30)
    scores = layer.weight.detach().abs().reshape(1, -1).clone()
    prune.l1_unstructured(layer, 'weight', amount=500)
    mask = masks.keep_best(scores, all_kept(1200), 700, seeds=[0])
    assert torch.equal(mask.view(30, 40), layer.weight_mask.bool())


def test_global_masks_equal_those_of_torch_prune_round_after_round():
    layers = [nn.Linear(30, 20), nn.Linear(20, 10)]
    scores = torch.cat([layer.weight.detach().abs().flatten() for layer in layers])[None].clone()
    mask = all_kept(800)
    for amount, count in ((160, 640), (128, 512)):
        prune.global_unstructured([(layer, 'weight') for layer in layers], prune.L1Unstructured, amount=amount)
        mask = masks.keep_best(scores, mask, count, seeds=[0])
        expected = torch.cat([layer.weight_mask.flatten() for layer in layers])
        assert torch.equal(mask[0], expected.bool())


@pytest.mark.parametrize(('count', 'share', 'part'), [
    (1000, 0.29, 290), (268_336, 0.0059, 1_583), (7, 1.0, 7), (3, 0.3, 0)])
def test_a_share_is_rounded_down_from_the_decimal_number_as_written(count, share, part):
    assert masks.floor_share(count, share) == part


def test_the_smallest_sufficient_share_has_two_digits_and_is_sufficient():
    for count, wanted in [(49_600, 3), (268_336, 20), (10, 1), (1000, 10), (400, 33), (7, 7)]:
        share = next(masks.sufficient_shares(count, wanted))
        below = share - 10.0 ** (int(f'{share:.1e}'.split('e')[1]) - 1)
        assert float(f'{share:.1e}') == share
        assert masks.floor_share(count, share) >= wanted > masks.floor_share(count, float(f'{below:.3g}'))


def test_a_random_mask_keeps_the_exact_count_of_every_layer():
    mask = masks.random_mask([100, 7, 40], [30, 7, 1], seeds=[0, 1])
    assert [part.sum(1).tolist() for part in mask.split([100, 7, 40], 1)] == [[30, 30], [7, 7], [1, 1]]


def test_a_random_mask_depends_on_seed_and_layer():
    mask = masks.random_mask([100, 100], [50, 50], seeds=[3, 4])
    assert torch.equal(mask[1:], masks.random_mask([100, 100], [50, 50], seeds=[4]))
    assert not torch.equal(mask[0], mask[1])
    assert not torch.equal(mask[0, :100], mask[0, 100:])


def test_a_random_mask_prefers_no_position():
    frequencies = masks.random_mask([10], [5], seeds=range(2000)).sum(0)
    assert (frequencies - 1000).abs().max() < 5 * (2000 * 0.25) ** 0.5


def test_applying_a_mask_sets_pruned_weights_to_zero_and_no_others():
    weights = torch.tensor([[1., -2., 3., 4.]])
    assert masks.apply_mask(torch.tensor([[True, False]]), weights).tolist() == [[1., 0., 3., 4.]]
