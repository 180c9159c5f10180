"""Numbers of weights that layers keep: exact sums, limits, the published densities."""
from fractions import Fraction

import pytest
from torch import nn

from lth.errors import LthError
from lth.models.flat_parameters import Layout, Slot
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.pruning import masks
from lth.pruning.layer_densities import (
    LAYER_COUNTS, balanced, erk, published_smart_ratio, smart_ratio, smart_ratio_for, uniform)


def slots_of(*layers: nn.Module, keep_out: tuple[str, ...] = ()) -> tuple[Slot, ...]:
    return Layout.of(nn.Sequential(*layers), keep_out).prunable_slots


def dense(*widths: int, keep_out: tuple[str, ...] = ()) -> tuple[Slot, ...]:
    return slots_of(*(nn.Linear(*pair) for pair in zip(widths, widths[1:])), keep_out=keep_out)


def resnet20() -> tuple[Slot, ...]:
    exact = settings_class('resnet20')(name='resnet20', shortcut='identity', norm='plain')
    return Network.of(exact, (3, 32, 32), 10).layout.prunable_slots


@pytest.mark.parametrize('method', LAYER_COUNTS.names())
def test_every_method_keeps_exactly_the_count_and_between_one_and_all_weights_of_each_layer(method):
    slots = dense(20, 30, 7, 3, 2)  # 600, 210, 21, 6 weights
    total = sum(slot.size for slot in slots)
    for count in (5, 6, 7, 50, 333, 800, total - 5, total - 1, total):
        counts = LAYER_COUNTS.find(method)(slots, count)
        assert sum(counts) == count
        assert all(1 <= kept <= slot.size for kept, slot in zip(counts, slots, strict=True))


@pytest.mark.parametrize('method', ['uniform', 'erk', 'balanced'])
def test_one_weight_per_layer_is_the_minimum_and_fewer_are_refused(method):
    slots = dense(20, 30, 7, 3, 2)
    assert LAYER_COUNTS.find(method)(slots, 4) == (1, 1, 1, 1)
    with pytest.raises(LthError, match=r'3 weights are too few for 4 layers: one, such as 0.weight, .* 4 of the 837'):
        LAYER_COUNTS.find(method)(slots, 3)


def test_uniform_keeps_the_same_density_and_rounds_the_largest_remainders_up():
    slots = dense(10, 10, 5, 2)  # 100, 50, 10 weights
    assert uniform(slots, 80) == (50, 25, 5)
    # 51.875, 25.9375, 5.1875: two are missing.
    assert uniform(slots, 83) == (52, 26, 5)


def test_for_equal_remainders_earlier_layers_are_rounded_up():
    slots = dense(3, 3, 3, 3)
    assert uniform(slots, 13) == (5, 4, 4)
    assert uniform(slots, 14) == (5, 5, 4)


def test_erk_equals_the_formula_computed_by_hand():
    # 12·4·3·3 = 432 weights, sides 12 + 4 + 3 + 3 = 22; 8·10 = 80 weights, sides 18: densities ∝ 22/432 and 18/80.
    slots = slots_of(nn.Conv2d(4, 12, 3), nn.Linear(10, 8))
    assert erk(slots, 40) == (22, 18)
    assert erk(slots, 80) == (44, 36)
    # 18/40 of 250 would be 112.5, so the dense layer is full at 80 and the convolution has the rest.
    assert erk(slots, 250) == (170, 80)


def test_balanced_keeps_the_same_number_in_every_layer_and_all_weights_of_small_layers():
    slots = dense(10, 10, 5, 2)  # 100, 50, 10 weights
    assert balanced(slots, 24) == (8, 8, 8)
    assert balanced(slots, 60) == (25, 25, 10)
    assert balanced(slots, 140) == (80, 50, 10)


def test_smart_ratio_keeps_the_published_count_of_resnet20():
    counts = published_smart_ratio(resnet20(), 0.0059)
    assert sum(counts) == 1_574
    assert counts[-1] == 192  # 0.3 of 640
    # By the formula with L = 20, in floating point.
    sizes = [432] + [2304] * 6 + [4608] + [9216] * 5 + [18432] + [36864] * 5
    shares = [(20 - layer + 1) ** 2 + (20 - layer + 1) for layer in range(1, 20)]
    scale = (0.0059 * 268_336 - 192) / sum(share * size for share, size in zip(shares, sizes))
    assert list(counts[:-1]) == [int(scale * share * size) for share, size in zip(shares, sizes)]


def test_smart_ratio_with_exact_count_differs_from_the_published_counts_by_less_than_one_weight_per_layer():
    exact, published = smart_ratio(resnet20(), 1_583), published_smart_ratio(resnet20(), 0.0059)
    assert sum(exact) == 1_583
    assert {count - rounded for count, rounded in zip(exact, published)} == {0, 1}


def test_smart_ratio_with_decay_2_falls_with_the_square_of_the_depth():
    slots = dense(10, 10, 10, 10, 10)
    # 20 / 1, 12 / 4, 6 / 9: their sum is 71/3, and there are 71 weights in addition to the classifier's 30.
    assert published_smart_ratio(slots, 101 / 400, decay=2) == (60, 9, 2, 30)
    assert published_smart_ratio(slots, 106 / 400, decay=0) == (40, 24, 12, 30)


def test_smart_ratio_of_vgg_falls_with_the_square_of_the_depth():
    slots = dense(10, 10, 10, 10, 10)
    assert smart_ratio_for('vgg16')(slots, 101) == smart_ratio_for('torchvision:vgg19_bn')(slots, 101) == (60, 9, 2, 30)
    assert smart_ratio_for('resnet20')(slots, 106) == smart_ratio(slots, 106) == (40, 24, 12, 30)


def test_smart_ratio_passes_the_excess_of_full_layers_on_to_the_next_layers():
    slots = dense(10, 10, 10, 10, 1)  # three of 100 weights, a classifier of 10
    # 190 in addition to the classifier's 3, as 20 to 12 to 6.
    assert smart_ratio(slots, 193) == (100, 60, 30, 3)
    # 209 would be 110, 66 and 33: the second layer gets the 10. Of 247 it cannot take all: the third gets the rest.
    assert smart_ratio(slots, 212) == (100, 76, 33, 3)
    assert smart_ratio(slots, 250) == (100, 100, 47, 3)
    assert smart_ratio(slots, 310) == (100, 100, 100, 10)


def test_smart_ratio_without_a_prunable_classifier_distributes_all_weights_over_the_other_layers():
    assert smart_ratio(dense(10, 10, 10, 10, 1, keep_out=('output',)), 20) == (12, 6, 2)


def test_smart_ratio_refuses_a_count_that_the_classifier_alone_uses_up():
    slots = dense(10, 10, 10, 10, 10)
    with pytest.raises(LthError, match=r'keeps 30 of the 100 weights of the classifier, 3.weight, .* 32 in total are '
                                       r'too few. Keep at least 33 of the 400, a density of 0.083;'):
        smart_ratio(slots, 32)
    assert smart_ratio(slots, 33) == (1, 1, 1, 30)
    assert masks.floor_share(400, 0.083) == 33


def test_an_unknown_method_is_an_error_that_suggests_the_nearest_name():
    message = "Unknown method to distribute weights over layers 'unifrom', did you mean 'uniform'"
    with pytest.raises(LthError, match=message):
        LAYER_COUNTS.find('unifrom')


def test_counts_do_not_depend_on_floating_point():
    slots = resnet20()
    for count in (1_583, 268_335):
        parts = [Fraction(slot.size * count, 268_336) for slot in slots]
        assert all(abs(kept - part) < 1 for kept, part in zip(uniform(slots, count), parts, strict=True))
