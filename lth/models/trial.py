"""Try a user's module as it will be used, before anything is written: built twice, trained, measured, at real sizes.

The same weights and images pass through the module as torch uses it and through the network as lth does. Where both
differ, training would change another network than the one that is saved. To try something else, write a function and
call it in `try_network`.
"""
import dataclasses
import time
from typing import NamedTuple

import torch
from torch import Tensor

from lth import rng
from lth.errors import LthError
from lth.models.build import build_module, probe_module, require_logits
from lth.models.network import Network
from lth.models.trial_checks import require_equal, require_equal_gradient, require_no_state, require_same_tensors
from lth.models.trial_repetition import require_repeatable_import, require_repeatable_weights
from lth.models.trial_sample import IMAGES, Pass, Sample
from lth.models.trial_second_derivatives import try_second_derivatives
from lth.registry import user_code

# Batches of the real size are tried if they should take no longer. Later they fail with the same paragraph.
_SECONDS = 1.


class Use(NamedTuple):
    """How a recipe uses a network: images in a batch of training and of measuring, and whether gradients are
    differentiated again.
    """

    training_images: int = IMAGES
    measured_images: int = IMAGES
    second_derivatives: bool = False


def try_network(network: Network, use: Use) -> Network:
    """The network with what the trial shows: `noisy`, `unused`, notes, and contiguous weights if its code needs them.
    LthError, with the layer and the way out, if it cannot be used. Only code of users and plug-ins is tried; of
    others, a batch of one image.
    """

    if use.training_images == 1:
        module = build_module(network.settings, network.shape, network.classes, seed=0).train()
        probe_module(module, network.settings.name, network.shape, network.classes, images=1)
    if not network.has_user_code:
        return network
    require_repeatable_weights(network)
    sample = Sample(network)
    expected = sample.reference_pass()
    require_repeatable_import(network, sample, expected)
    try:
        network = _compared(network, sample, expected)
    except LthError as error:
        # Code with .view() needs features in torch's usual order, which convolutions return for such weights only.
        contiguous = dataclasses.replace(network, layout=network.layout.contiguous())
        try:
            network = _compared(contiguous, sample, expected)
        except LthError:
            raise error from None
    _try_real_sizes(network, sample, use)
    if use.second_derivatives:
        try_second_derivatives(network, sample)
    return network


def _compared(network: Network, sample: Sample, expected: tuple[Pass, Tensor]) -> Network:
    """The network with what a training step and a measurement show; LthError if they differ from those of torch."""

    training, measured = expected
    name, buffers = sample.name, sample.copy_of_buffers()
    weights = sample.weights_in(network.layout)
    module = network.bind(weights.clone(), buffers)
    places = {key: (id(parameter), parameter.data_ptr()) for key, parameter in module.named_parameters()}
    with user_code.guard(f'{name} in training mode'):
        found = sample.training_pass(module)
    require_same_tensors(module, places, name)
    require_equal(training.logits, found.logits, name, 'training')
    for key, gradient in training.gradients.items():
        require_equal_gradient(gradient, found.gradients[key], key, name)
    require_no_state(network, sample, weights)
    noisy = _measure(network, sample, weights, measured)
    unused = tuple(key for key, gradient in training.gradients.items() if gradient is None)
    return dataclasses.replace(
        network, noisy=noisy, unused=unused, notes=(*network.notes, *_notes(network, unused, noisy=noisy)))


def _notes(network: Network, unused: tuple[str, ...], *, noisy: bool) -> list[str]:
    name, notes = network.settings.name, []
    if unused:
        weights = [slot.name for slot in network.layout.prunable_slots if slot.name in unused]
        notes.append(f'{name}: training does not use {_listed(unused)}')
        if weights:
            notes[-1] += ('. They count as weights unless they are kept out of pruning: --set '
                          f'algorithm.keep_out={weights[0]}')
    if noisy:
        notes.append(f'{name} draws random numbers in evaluation mode too, as F.dropout does without '
                     'training=self.training. All measurements draw the same numbers')
    return notes


def _listed(names: tuple[str, ...]) -> str:
    return ', '.join(names[:3]) + (f' and {len(names) - 3} others' if len(names) > 3 else '')


def _measure(network: Network, sample: Sample, weights: Tensor, expected: Tensor) -> bool:
    """Whether evaluation mode uses random numbers; LthError if the logits are not those of the module."""

    with rng.seeded_globals(0), torch.inference_mode(), user_code.guard(f'{sample.name} in evaluation mode'):
        before = rng.globals_state()
        logits = network.logits(weights, sample.buffers, sample.images)
        noisy = before != rng.globals_state()
    for output in (expected, logits):
        require_logits(output, f'In evaluation mode {sample.name}', (IMAGES, network.classes))
    require_equal(expected, logits, sample.name, 'evaluation')
    return noisy


def _try_real_sizes(network: Network, sample: Sample, use: Use) -> None:
    """LthError if batches of the real size fail; not tried if they are slow."""

    weights = sample.weights_in(network.layout)
    module = network.bind(weights.clone(), sample.copy_of_buffers())
    start = time.perf_counter()
    sample.training_pass(module)
    seconds = (time.perf_counter() - start) / IMAGES
    if use.training_images > 1 and seconds * use.training_images < _SECONDS:
        with user_code.guard(f'{sample.name}, for a batch of {use.training_images} images of training,'):
            sample.training_pass(module, torch.zeros(use.training_images, *network.shape))
    if seconds * use.measured_images < _SECONDS:
        with torch.inference_mode(), rng.seeded_globals(0), user_code.guard(
                f'{sample.name}, for {use.measured_images} images of a measurement,'):
            logits = network.logits(weights, sample.buffers, torch.zeros(use.measured_images, *network.shape))
        require_logits(logits, f'In evaluation mode {sample.name}', (use.measured_images, network.classes))
