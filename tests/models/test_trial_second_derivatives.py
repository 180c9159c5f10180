"""Functions whose second derivatives torch would leave out without an error are refused where they are needed."""
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lth.errors import LthError
from lth.models.network import Network
from lth.models.objects import register_model
from lth.models.registry import settings_class
from lth.models.trial import Use, try_network

SHAPE = (1, 8, 8)
Function = torch.autograd.Function


class Square(Function):  # pylint: disable=abstract-method,arguments-differ # as torch documents it
    """x² of a saved input: right twice."""

    @staticmethod
    def forward(ctx, features):
        ctx.save_for_backward(features)
        return features ** 2

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient


class Detached(Square):  # pylint: disable=abstract-method
    """x² whose gradient leaves the graph."""

    @staticmethod
    def backward(ctx, gradient):
        return (2 * ctx.saved_tensors[0] * gradient).detach()


class DetachedInputs(Square):  # pylint: disable=abstract-method
    """x² whose gradient depends on the incoming gradient, but not on x."""

    @staticmethod
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0].detach() * gradient


class Sigmoid(Function):  # pylint: disable=abstract-method,arguments-differ
    """A sigmoid whose result is kept in an attribute, without its graph."""

    @staticmethod
    def forward(ctx, features):
        ctx.result = torch.sigmoid(features)
        return ctx.result.clone()

    @staticmethod
    def backward(ctx, gradient):
        return ctx.result * (1 - ctx.result) * gradient


class Sign(Function):  # pylint: disable=abstract-method,arguments-differ
    """A straight-through estimator."""

    @staticmethod
    def forward(_ctx, features):
        return features.sign()

    @staticmethod
    def backward(_ctx, gradient):
        return gradient.clone()


class AddLoss(Function):  # pylint: disable=abstract-method,arguments-differ
    """The features, and a constant gradient for a penalty."""

    @staticmethod
    def forward(_ctx, features, _penalty):
        return features.clone()

    @staticmethod
    def backward(_ctx, gradient):
        return gradient, torch.ones(())


class Single(Square):  # pylint: disable=abstract-method
    """x² for single precision only."""

    @staticmethod
    def forward(ctx, features):
        assert features.dtype == torch.float32
        return Square.forward(ctx, features)


def tried(*functions, convolution=False, **use):
    def factory(shape, classes):
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.conv = nn.Conv2d(1, 4, 3, padding=1) if convolution else nn.Identity()
                self.first = nn.Linear(math.prod(shape) * (4 if convolution else 1), 16)
                self.norm, self.second = nn.BatchNorm1d(16), nn.Linear(16, classes)

            def forward(self, images):
                features = F.dropout(self.norm(self.first(self.conv(images).relu().flatten(1))), 0.2, self.training)
                for function in functions:
                    features = function.apply(*([features, features.norm()] if function is AddLoss else [features]))
                return self.second(features)
        return Net()
    name = register_model(factory)
    return try_network(Network.of(settings_class(name)(name=name), SHAPE, 4), Use(8, 16)._replace(**use))


@pytest.mark.parametrize('convolution', [False, True])
@pytest.mark.parametrize('function', [Square, Sign, AddLoss, Single])
def test_functions_with_second_derivatives_are_accepted(function, convolution):
    assert tried(function, convolution=convolution, second_derivatives=True).notes == ()


@pytest.mark.parametrize(('functions', 'says'), [
    ([Detached], r'is incomplete: the backward of its function Detached \(.*test_trial_second_deriva.*py, line \d+\)'),
    ([Square, Detached, Square], 'is incomplete: the backward of its function Detached'),
    ([DetachedInputs], 'is not the one that difference quotients give. .* function DetachedInputs'),
    ([Sigmoid], 'is not the one that difference quotients give. .* function Sigmoid')])
def test_functions_whose_second_derivatives_are_incomplete_are_refused(functions, says):
    assert tried(*functions).notes == ()
    with pytest.raises(LthError, match=says):
        tried(*functions, second_derivatives=True)
