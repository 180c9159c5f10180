"""Initializers have the standard deviations of the papers."""
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


def initial_weights(name: str, seed: int = 0) -> torch.Tensor:
    return INITIALIZERS.find(name)(SLOT, rng.generator(seed, 'weights'))


@pytest.mark.parametrize(('name', 'std'), [
    ('glorot-normal', math.sqrt(2 / (FAN_IN + FAN_OUT))), ('kaiming-normal', math.sqrt(2 / FAN_IN)),
    ('kaiming-uniform', math.sqrt(2 / FAN_IN)), ('signed-constant', math.sqrt(2 / FAN_IN)),
    ('glorot-signed-constant', math.sqrt(2 / (FAN_IN + FAN_OUT)))])
def test_the_standard_deviation_equals_that_of_the_paper(name, std):
    weights = initial_weights(name)
    assert weights.shape == SLOT.shape
    assert weights.std().item() == pytest.approx(std, rel=0.02) and abs(weights.mean().item()) < std / 20


def test_uniform_weights_fill_the_range_up_to_their_bound():
    bound = math.sqrt(6 / FAN_IN)
    assert 0.99 * bound < initial_weights('kaiming-uniform').abs().max() <= bound


def test_uniform_weights_have_the_same_range_in_layers_of_all_sizes():
    weights = initial_weights('uniform')
    assert 0.99 < weights.abs().max() <= 1 and weights.std().item() == pytest.approx(1 / math.sqrt(3), rel=0.02)


def test_truncated_normal_has_std_0_02_before_it_is_cut_at_two_standard_deviations():
    weights = initial_weights('truncated-normal')
    # The variance of a normal distribution cut at ±2 is 1 - 4 φ(2) / (2 Φ(2) - 1) = 0.7737.
    assert weights.std().item() == pytest.approx(0.02 * math.sqrt(0.7737), rel=0.02)
    assert 0.0399 < weights.abs().max().item() <= 0.04


def test_constants_have_one_magnitude_and_signed_constants_two_signs():
    magnitude = torch.tensor(math.sqrt(2 / FAN_IN))
    assert torch.allclose(initial_weights('signed-constant').abs(), magnitude)
    assert 0.48 < (initial_weights('signed-constant') > 0).float().mean() < 0.52
    assert torch.allclose(initial_weights('unsigned-constant'), magnitude)


def test_glorot_signed_constant_has_the_signs_of_glorot_normal_and_one_magnitude():
    constants = initial_weights('glorot-signed-constant')
    assert torch.equal(constants.sign(), initial_weights('glorot-normal').sign())
    assert constants.abs().unique().tolist() == [pytest.approx(math.sqrt(2 / (FAN_IN + FAN_OUT)))]


@pytest.mark.parametrize('name', [
    'glorot-normal', 'kaiming-normal', 'kaiming-uniform', 'signed-constant', 'glorot-signed-constant',
    'truncated-normal', 'uniform'])
def test_random_initializers_depend_on_the_seed_only(name):
    assert torch.equal(initial_weights(name), initial_weights(name))
    assert not torch.equal(initial_weights(name), initial_weights(name, 1))


def test_a_recipe_may_use_any_name_of_an_initializer():
    settings = settings_class('lenet-300-100')(name='lenet-300-100', initializer='He_Normal')
    assert settings.initializer == 'kaiming-normal'
    network = Network.of(settings, (1, 28, 28), 10)
    weights = network.layout.unpack(network.initial_weights(0))
    assert weights['dense1.weight'].std().item() == pytest.approx(math.sqrt(2 / 784), rel=0.02)
    assert weights['dense1.bias'].abs().sum() == 0


def test_an_unknown_initializer_is_an_error_that_suggests_the_nearest_name():
    with pytest.raises(LthError, match="Unknown initializer 'glorot_norm', did you mean 'glorot-normal'"):
        settings_class('lenet-300-100')(name='lenet-300-100', initializer='glorot_norm')
