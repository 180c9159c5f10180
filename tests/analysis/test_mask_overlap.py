"""The weights that two masks have in common."""
import pytest
import torch

from lth.analysis.mask_overlap import mask_overlap


def test_mask_overlap_is_intersection_over_union_and_its_value_for_random_masks():
    mask, other = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    assert mask_overlap(mask, other) == pytest.approx((1 / 3, 0.25 / 0.75))


def test_masks_that_keep_nothing_overlap_completely():
    assert mask_overlap(torch.zeros(4, dtype=torch.bool), torch.zeros(4, dtype=torch.bool)) == (1., 0.)
