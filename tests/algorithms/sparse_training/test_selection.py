"""What is dropped and grown in one layer: exact numbers, random choices that are uniform and seeded."""
import hypothesis
import pytest
import torch
from hypothesis import strategies
from scipy import stats

from lth import rng
from lth.algorithms.sparse_training import selection
from lth.algorithms.sparse_training.selection import LayerEvent
from lth.models.flat_parameters import Slot


def layer_event(weights, active, *, seed=0, gradient=None):
    return LayerEvent(weights, active, gradient, rng.generator(seed, 'test'))


@pytest.mark.parametrize(('size', 'kept', 'count'), [(60, 6, 5), (60, 50, 5), (12, 2, 9)])
def test_random_growth_chooses_every_free_weight_equally_often_by_chi_squared(size, kept, count):
    mask = torch.zeros(size, dtype=torch.bool).index_fill(0, torch.arange(kept), True)
    counts, draws = torch.zeros(size), 4000
    for seed in range(draws):
        grown = selection.random(layer_event(torch.zeros(size), mask, seed=seed), mask, count)
        assert int(grown.sum()) == count and not (grown & mask).any()
        counts += grown
    free = counts[kept:].numpy()
    expected = draws * count / (size - kept)
    # Without replacement, the counts vary less than in a multinomial distribution.
    chi2 = float(((free - expected) ** 2 / expected).sum()) / (1 - count / (size - kept)) * (size - kept - 1) / (
        size - kept)
    assert 0.001 < stats.chi2.sf(chi2, size - kept - 1) < 0.999


def test_random_growth_depends_on_the_seed_only():
    mask = torch.zeros(1000, dtype=torch.bool)
    first, again, other = (selection.random(layer_event(torch.zeros(1000), mask, seed=seed), mask, 10)
                           for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


@hypothesis.given(strategies.integers(1, 40), strategies.data())
def test_drop_and_growth_are_exact_also_with_ties(size, data):
    values = strategies.lists(strategies.sampled_from([-2., -1., 0., 1., 2.]), min_size=size, max_size=size)
    weights, gradient = (torch.tensor(data.draw(values)) for _ in range(2))
    active = torch.tensor(data.draw(strategies.lists(strategies.booleans(), min_size=size, max_size=size)))
    count = data.draw(strategies.integers(0, max(0, int(active.sum()) - 1)))
    layer = layer_event(weights, active, gradient=gradient)
    kept = selection.smallest(layer, count)
    assert int(kept.sum()) == int(active.sum()) - count and not (kept & ~active).any()
    dropped = active & ~kept
    if dropped.any() and kept.any():
        assert weights[dropped].abs().max() <= weights[kept].abs().min()
    grown = selection.largest_gradient(layer, kept, count)
    assert int(grown.sum()) == count and not (grown & kept).any()
    rest = ~kept & ~grown
    if grown.any() and rest.any():
        assert gradient[grown].abs().min() >= gradient[rest].abs().max()


def test_pruning_of_the_whole_network_leaves_the_largest_weight_of_each_layer():
    slots = [Slot('a', (2, 2), 0, 'dense', prunable=True), Slot('b', (1, 2), 4, 'output', prunable=True)]
    weights = torch.tensor([5., 4., 3., 2., 0.1, 0.2])
    mask = torch.ones(6, dtype=torch.bool)
    kept = selection.largest_of_network(weights, mask, slots, 3, rng.generator(0, 'test'))
    assert kept.tolist() == [True, True, False, False, False, True]
    mask[5] = False
    kept = selection.largest_of_network(weights, mask, slots, 2, rng.generator(0, 'test'))
    assert kept.tolist() == [True, False, False, False, True, False]
