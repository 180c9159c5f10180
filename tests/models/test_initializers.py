"""Initial weights, against the formulas."""
import math

import pytest
import torch

from lth import rng
from lth.errors import LthError
from lth.models.flat_parameters import Slot
from lth.models.initializers import INITIALIZERS
from lth.models.network import Network
from lth.models.registry import settings_class

SLOT = Slot('conv.weight', (64, 32, 3, 3), 0, 'convolution', True)
FAN_IN, FAN_OUT = 32 * 9, 64 * 9


def drawn(name: str, seed: int = 0) -> torch.Tensor:
    return INITIALIZERS.find(name)(SLOT, rng.generator(seed, 'weights'))


@pytest.mark.parametrize(('name', 'std'), [
    ('glorot-normal', math.sqrt(2 / (FAN_IN + FAN_OUT))), ('kaiming-normal', math.sqrt(2 / FAN_IN)),
    ('kaiming-uniform', math.sqrt(2 / FAN_IN)), ('signed-constant', math.sqrt(2 / FAN_IN)),
    ('glorot-signed-constant', math.sqrt(2 / (FAN_IN + FAN_OUT)))])
def test_the_spread_is_that_of_the_paper(name, std):
    weights = drawn(name)
    assert weights.shape == SLOT.shape
    assert weights.std().item() == pytest.approx(std, rel=0.02) and abs(weights.mean().item()) < std / 20


def test_uniform_weights_reach_their_bound_and_stay_within():
    bound = math.sqrt(6 / FAN_IN)
    assert 0.99 * bound < drawn('kaiming-uniform').abs().max() <= bound


def test_constants_have_one_size_and_only_the_signed_ones_two_signs():
    size = math.sqrt(2 / FAN_IN)
    assert torch.allclose(drawn('signed-constant').abs(), torch.tensor(size))
    assert 0.48 < (drawn('signed-constant') > 0).float().mean() < 0.52
    assert torch.allclose(drawn('unsigned-constant'), torch.tensor(size))


def test_the_constants_of_supermasks_are_gaussian_weights_without_their_sizes():
    constants = drawn('glorot-signed-constant')
    assert torch.equal(constants.sign(), drawn('glorot-normal').sign())
    assert constants.abs().unique().tolist() == [pytest.approx(math.sqrt(2 / (FAN_IN + FAN_OUT)))]


@pytest.mark.parametrize('name', [
    'glorot-normal', 'kaiming-normal', 'kaiming-uniform', 'signed-constant', 'glorot-signed-constant'])
def test_the_seed_decides_the_draw(name):
    assert torch.equal(drawn(name), drawn(name)) and not torch.equal(drawn(name), drawn(name, 1))


def test_a_recipe_chooses_among_them_under_any_of_their_names():
    settings = settings_class('lenet-300-100')(name='lenet-300-100', initializer='He_Normal')
    assert settings.initializer == 'kaiming-normal'
    network = Network.of(settings, (1, 28, 28), 10)
    weights = network.layout.unpack(network.initial_weights(0))
    assert weights['dense1.weight'].std().item() == pytest.approx(math.sqrt(2 / 784), rel=0.02)
    assert weights['dense1.bias'].abs().sum() == 0


def test_an_unknown_one_is_told_with_the_nearest():
    with pytest.raises(LthError, match="Unknown initializer 'glorot_norm', did you mean 'glorot-normal'"):
        settings_class('lenet-300-100')(name='lenet-300-100', initializer='glorot_norm')
