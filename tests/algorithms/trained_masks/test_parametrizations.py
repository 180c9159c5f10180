"""Parametrizations and their straight-through gradients, compared with autograd in float64."""
import math

import pytest
import torch

from lth.algorithms.trained_masks.parametrizations import Bernoulli, Multiplied, Rounded, Top
from lth.algorithms.trained_masks.regularizers import REGULARIZERS, Penalty, ReplicatePenalty
from tests.conftest import make_task

NONE = Penalty(0.)
RANDOM = torch.Generator().manual_seed(5)
FORMULAS = {
    'l2': lambda p, w: p ** 2, 'l1': lambda p, w: p.abs(), 'l1-l2': lambda p, w: p.abs() + p ** 2,
    'variance': lambda p, w: p ** 2 * (1 - p) ** 3, 'weighted-variance': lambda p, w: w ** 2 * p ** 2 * (1 - p) ** 3,
    'entropy': lambda p, w: -p * p.log() - (1 - p) * (1 - p).log()}


def drawn(rows: int = 2, count: int = 12, extra: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Frozen weights (R, N), scores (R, P) in [0, 1] and a gradient (R, N)."""

    weights = torch.randn(rows, count + extra, generator=RANDOM, dtype=torch.float64)
    scores = torch.rand(rows, count, generator=RANDOM, dtype=torch.float64)
    return weights, scores, torch.randn(rows, count + extra, generator=RANDOM, dtype=torch.float64)


@pytest.mark.parametrize('name', sorted(FORMULAS))
def test_a_regularizer_adds_the_gradient_of_its_formula(name):
    weights, scores, _ = drawn(extra=0)
    scores.requires_grad_()
    (0.3 * FORMULAS[name](scores, weights)).sum().backward()
    gradient, penalty = torch.ones_like(scores), Penalty(0.3, name, (2., 3.))
    penalty.add_gradient(scores.detach(), weights, gradient)
    gradient += penalty.decay * scores.detach()  # as the optimizer adds it
    assert torch.allclose(gradient, 1 + scores.grad, atol=1e-12)


@pytest.mark.parametrize('name', sorted(FORMULAS))
def test_a_penalty_of_each_replicate_adds_the_gradient_of_its_own_factor(name):
    weights, scores, _ = drawn(extra=0)
    scores.requires_grad_()
    factors = torch.linspace(0.1, 0.7, len(scores), dtype=torch.float64)[:, None]
    (factors * FORMULAS[name](scores, weights)).sum().backward()
    gradient, penalty = torch.ones_like(scores), ReplicatePenalty(factors, name, (2., 3.))
    penalty.add_gradient(scores.detach(), weights, gradient)
    assert torch.allclose(gradient, 1 + scores.grad, atol=1e-12) and penalty.decay == 0


@pytest.mark.parametrize('name', sorted(REGULARIZERS))
def test_a_regularizer_is_finite_at_the_ends_of_the_range(name):
    gradient = torch.zeros(1, 2)
    Penalty(0.3, name).add_gradient(torch.tensor([[0., 1.]]), torch.ones(1, 2), gradient)
    assert gradient.isfinite().all()


def test_rounded_scores_have_the_gradient_of_their_factor():
    weights, scores, gradient = drawn()
    rounded, out = Rounded(weights, NONE), torch.empty_like(scores)
    assert torch.equal(rounded.weights(scores, 0)[:, :12], torch.where(scores > 0.5, weights[:, :12], 0.))
    assert torch.equal(rounded.weights(scores, 0)[:, 12:], weights[:, 12:])
    rounded.gradient(scores, gradient[:, :12], out)
    assert torch.equal(out, gradient[:, :12] * weights[:, :12])
    rounded.project(scores.mul_(3).sub_(1))
    assert scores.min() == 0 and scores.max() == 1


def test_multiplied_scores_have_the_true_gradient():
    weights, scores, gradient = drawn()
    multiplied, out = Multiplied(weights, NONE), torch.empty_like(scores)
    leaf = scores.clone().requires_grad_()
    (torch.cat([weights[:, :12] * leaf, weights[:, 12:]], 1) * gradient).sum().backward()
    multiplied.gradient(scores, gradient[:, :12], out)
    assert torch.allclose(out, leaf.grad)
    assert torch.allclose(multiplied.weights(scores, 0)[:, :12], scores * weights[:, :12])


@pytest.mark.parametrize('smallest', [False, True])
def test_the_largest_absolute_scores_of_each_part_are_used_or_inverted_the_smallest(smallest):
    weights, scores, gradient = drawn()
    scores = scores - 0.5
    top, out = Top(weights, NONE, [(0, 5), (5, 12)], (2, 3), smallest), torch.empty_like(scores)
    for _ in range(3):
        effective = top.weights(scores, 0)
        for (start, stop), count in (((0, 5), 2), ((5, 12), 3)):
            for row in range(2):
                selected = scores[row, start:stop].abs().argsort(descending=not smallest)[:count]
                expected = torch.zeros(stop - start, dtype=torch.float64)
                expected[selected] = weights[row, start:stop][selected]
                assert torch.equal(effective[row, start:stop], expected)
        assert torch.equal(effective[:, 12:], weights[:, 12:])
        scores = scores + 0.01 * torch.randn(scores.shape, generator=RANDOM, dtype=torch.float64)
    top.gradient(scores, gradient[:, :12], out)
    assert torch.allclose(out, gradient[:, :12] * weights[:, :12] * scores.sign())


def test_the_threshold_is_exact_for_any_threshold_of_the_step_before():
    weights, scores = torch.randn(1, 5000, generator=RANDOM), torch.randn(1, 5000, generator=RANDOM)
    top = Top(weights, NONE, [(0, 5000)], (700,))
    for scale in (1., 1.001, 0.999, 3., 1e-6, 0., 1.):
        effective = top.weights(scores * scale, 0)
        assert int((effective != 0).sum()) == (700 if scale else 5000)  # all scores tie, so all are used


def test_a_mask_is_sampled_from_the_probabilities_for_each_step_and_seed():
    task = make_task()
    count, layout = task.network.layout.prunable_count, task.network.layout
    weights = torch.ones(2, layout.size)
    bernoulli = Bernoulli(weights, layout, (0, 1), False)
    scores = torch.full((2, count), math.log(3.))  # σ = 3/4
    first, second = (bernoulli.weights(scores, step)[:, :count] for step in (4, 5))
    assert first.mean().item() == pytest.approx(0.75, abs=0.01)
    assert not torch.equal(first, second) and not torch.equal(first[0], first[1])
    assert torch.equal(first, bernoulli.weights(scores, 4)[:, :count])
    alone = Bernoulli(weights[:1], layout, (1,), False).weights(scores[1:], 4)[:, :count]
    assert torch.equal(alone[0], first[1])


@pytest.mark.parametrize('rescale', [False, True])
def test_a_probability_has_a_gradient_through_the_sample_and_the_factor_of_its_layer(rescale):
    task = make_task()
    count, layout = task.network.layout.prunable_count, task.network.layout
    weights, scores, gradient = (torch.randn(1, size, generator=RANDOM) for size in (layout.size, count, layout.size))
    bernoulli, out = Bernoulli(weights, layout, (0,), rescale), torch.empty(1, count)
    effective = bernoulli.weights(scores, 3)
    bernoulli.gradient(scores, gradient[:, :count], out)
    for slot in layout.prunable_slots:
        part = slice(slot.start, slot.stop)
        ones = (effective[0, part] != 0).sum()
        factor = slot.size / ones if rescale else torch.tensor(1.)
        kept = effective[0, part] != 0
        assert torch.allclose(effective[0, part][kept], (weights[0, part] * factor)[kept])
        leaf = scores[0, part].clone().requires_grad_()
        # Straight through: the mask has the gradient of its probability. The factor depends on the mask too.
        mask = kept + leaf.sigmoid() - leaf.sigmoid().detach()
        factor = slot.size / mask.sum() if rescale else torch.tensor(1.)
        (mask * weights[0, part] * factor * gradient[0, part]).sum().backward()
        assert torch.allclose(out[0, part], leaf.grad, atol=1e-6)
