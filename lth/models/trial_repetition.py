"""Whether a user's module is the same each time that it is built, and each time that its file is imported."""
import contextlib

import torch
from torch import Tensor

from lth.errors import LthError
from lth.models.build import build_module, named_tensors
from lth.models.network import Network
from lth.models.trial_sample import Pass, Sample
from lth.registry import user_code, user_modules

_ADVICE = ('so a run could not be repeated. Draw random numbers from the global generators of torch, numpy or random, '
           'which lth seeds, or from a generator with a fixed seed')


def require_repeatable_weights(network: Network) -> None:
    """LthError if the module has other weights each time that it is built with one seed."""

    if name := _difference(_tensors(network), _tensors(network)):
        raise LthError(f'{network.settings.name}: {name} differs each time that the module is built with the same '
                       f'seed, {_ADVICE} that is created in the function.')


def require_repeatable_import(network: Network, sample: Sample, expected: tuple[Pass, Tensor]) -> None:
    """LthError if the module has other weights, or other logits for the same weights, each time that its file is
    imported. Only files that may draw random numbers are imported again, and not if they cannot be imported twice.
    """

    name = network.settings.name
    if not (user_code.names_code(name) and user_modules.may_draw_random_numbers()):
        return
    first, second = _passes(network, expected), None
    with contextlib.suppress(LthError), user_modules.second_import():
        second = _passes(network, sample.reference_pass())
    if second is not None and (differing := _difference(first, second)):
        raise LthError(f'{name}: {differing} differs each time that its file is imported, {_ADVICE}, such as '
                       'numpy.random.default_rng(0).')


def _tensors(network: Network) -> dict[str, Tensor]:
    """The parameters and buffers of a new module."""

    return dict(named_tensors(build_module(network.settings, network.shape, network.classes, seed=0)))


def _passes(network: Network, passes: tuple[Pass, Tensor]) -> dict[str, Tensor]:
    training, measured = passes
    return _tensors(network) | {'its output in training mode': training.logits, 'its output': measured}


def _difference(first: dict[str, Tensor], second: dict[str, Tensor]) -> str:
    """The name of the first tensor that has other values in the second dictionary; '' if there is none."""

    for name, tensor in first.items():
        other = second.get(name)
        if other is None or other.shape != tensor.shape or not torch.allclose(tensor, other, equal_nan=True):
            return name
    return ''
