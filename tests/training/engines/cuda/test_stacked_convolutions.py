"""Convolutions of all replicates in one kernel equal torch's, and networks that use them equal the eager engine's."""
from dataclasses import replace
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, vmap

from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.training.engines.backward import make_backward
from lth.training.engines.batches import Batches
from lth.training.engines.cuda import stacked_convolutions
from lth.training.engines.cuda.branches import aligned_rows
from lth.training.engines.cuda.compilation import compiled
from lth.training.engines.cuda.captured_step import CapturedStep
from lth.training.engines.cuda.fused_optimizer import make_fused_optimizer
from lth.training.engines.cuda.stacked_convolutions import convolution
from lth.training.engines.cuda.stacked_layers import StackedBatchNorm2d, make_stacked_layers, stacked_class
from lth.training.engines.cuda.stacked_pass import make_stacked_pass, stacked_forward
from lth.training.engines.step import StepParts
from lth.training.state import State
from tests.conftest import CPU, SGD, initial_state, make_task

pytestmark = pytest.mark.usefixtures('interpreted_kernels')

# Channels, outputs, kernel size, stride and image size: every kind of layer of a ResNet-20, and odd sizes.
LAYERS = [(3, 16, 3, 1, 6), (16, 32, 3, 2, 6), (32, 64, 1, 2, 4), (64, 64, 3, 1, 2), (7, 6, 3, 2, 5)]
OTHERS = [(16, 16, 3, 1, 6), (16, 32, 1, 2, 6), (32, 32, 3, 1, 4), (32, 64, 3, 2, 4), (5, 20, 1, 1, 5)]


def assert_close(result, expected, tolerance):
    assert (result - expected).norm() <= tolerance * expected.norm()


@pytest.mark.parametrize(('channels', 'units', 'size', 'stride', 'side'), [
    *LAYERS, *(pytest.param(*layer, marks=pytest.mark.slow) for layer in OTHERS)])
def test_outputs_and_gradients_equal_those_of_torch(channels, units, size, stride, side):
    torch.manual_seed(0)
    images = torch.randn(2, 3, channels, side, side, requires_grad=True)
    weights = torch.randn(2, units, channels, size, size, requires_grad=True)
    expected = torch.stack([F.conv2d(*pair, stride=stride, padding=size // 2) for pair in zip(images, weights)])
    result, deltas = convolution(images, weights, stride), torch.randn_like(expected)
    assert_close(result, expected, 1e-5)
    for ours, theirs in zip(torch.autograd.grad(result, (images, weights), deltas),
                            torch.autograd.grad(expected, (images, weights), deltas)):
        assert_close(ours, theirs, 1e-5)


def test_sums_over_many_positions_are_split_into_parts(monkeypatch):
    monkeypatch.setattr(stacked_convolutions.convolution_kernels, '_PROGRAMS', 6)
    torch.manual_seed(0)
    images, weights = torch.randn(2, 3, 4, 12, 12), torch.randn(2, 5, 4, 1, 1, requires_grad=True)
    expected = torch.stack([F.conv2d(*pair) for pair in zip(images, weights)])
    deltas = torch.randn_like(expected)
    (gradient,) = torch.autograd.grad(convolution(images, weights, 1), weights, deltas)
    assert_close(gradient, torch.autograd.grad(expected, weights, deltas)[0], 1e-5)


def test_bfloat16_operands_are_added_in_float32():
    torch.manual_seed(0)
    images, weights = torch.randn(1, 1, 64, 3, 3).bfloat16(), torch.randn(1, 4, 64, 3, 3).bfloat16()
    expected = F.conv2d(images[0].float(), weights[0].float(), padding=1)
    assert torch.equal(convolution(images, weights, 1)[0], expected.bfloat16())


def test_compilers_are_told_the_shapes_and_strides_of_results():
    images, weights, deltas = torch.randn(2, 3, 4, 5, 6), torch.randn(2, 7, 4, 3, 3), torch.randn(2, 3, 7, 3, 3)
    for operator, arguments in [
            (convolution, (images, weights, 2)), (stacked_convolutions.input_gradient, (deltas, weights, 5, 6, 2)),
            (stacked_convolutions.weight_gradient, (deltas, images, 3, 2))]:
        result = operator(*arguments)
        told = operator(*(tensor.to('meta') for tensor in arguments[:2]), *arguments[2:])
        assert (told.shape, told.stride(), told.dtype) == (result.shape, result.stride(), result.dtype)


@pytest.mark.parametrize(('layer', 'expected'), [
    (nn.Conv2d(3, 64, 3, padding=1), True), (nn.Conv2d(16, 32, 1, 2, bias=False), True),
    (nn.Conv2d(3, 65, 3, padding=1), False), (nn.Conv2d(3, 8, 3), False), (nn.Conv2d(3, 8, 5, padding=2), False),
    (nn.Conv2d(8, 8, 3, padding=1, groups=2), False), (nn.Conv2d(8, 8, 3, padding=1, padding_mode='circular'), False),
    (nn.Conv2d(8, 8, 3, padding='same'), False), (nn.Conv2d(8, 8, 3, 3, padding=1), False), (nn.Linear(3, 3), False)])
def test_only_some_convolutions_are_replaced(layer, expected):
    assert (stacked_class(layer) is not None) == expected
    replaced = make_stacked_layers(nn.Sequential(layer))
    assert (type(replaced[0]) is not type(layer)) == expected
    assert type(layer) in (nn.Conv2d, nn.Linear)


@pytest.mark.parametrize('options', [{}, {'affine': False}, {'track_running_stats': False, 'momentum': 0.3}])
def test_replaced_batch_norm_equals_that_of_torch(options):
    torch.manual_seed(0)
    layer, images = nn.BatchNorm2d(3, **options), torch.randn(4, 3, 2, 2, requires_grad=True)
    replaced = make_stacked_layers(layer)
    assert isinstance(replaced, StackedBatchNorm2d)
    result, expected, deltas = replaced(images), layer(images), torch.randn(4, 3, 2, 2)
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(*(torch.autograd.grad(value, images, deltas)[0] for value in (result, expected)))
    for name in ('running_mean', 'running_var'):
        torch.testing.assert_close(getattr(replaced, name), getattr(layer, name))


def test_a_replaced_layer_computes_the_same_with_and_without_vmap():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, 2, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 1))
    stacked, images = make_stacked_layers(module), torch.randn(2, 2, 3, 5, 5)
    parameters = {name: torch.stack([tensor, tensor + 0.1]).detach() for name, tensor in module.named_parameters()}
    torch.testing.assert_close(stacked(images[0]), module(images[0]))
    expected = [functional_call(module, {name: tensor[row] for name, tensor in parameters.items()}, (images[row],))
                for row in range(2)]
    result = vmap(lambda named, batch: functional_call(stacked, named, (batch,)))(parameters, images)
    torch.testing.assert_close(result, torch.stack(expected))


def test_a_replaced_layer_obeys_autocast():
    layer, images = make_stacked_layers(nn.Conv2d(3, 4, 1)), torch.randn(1, 3, 2, 2)
    with torch.autocast('cpu', torch.bfloat16):
        assert layer(images).dtype == torch.bfloat16


class Residual(nn.Module):
    """One residual block with a projection, and all other kinds of layers of a ResNet."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(8, 12, 3, 2, padding=1), nn.BatchNorm2d(12))
        self.shortcut = nn.Conv2d(8, 12, 1, 2, bias=False)
        self.classifier = nn.Linear(12, 4)

    def forward(self, images):
        features = self.stem(images)
        return self.classifier(F.relu(self.body(features) + self.shortcut(features)).mean((2, 3)))


def check_stacked_pass(task, state, run_forward=stacked_forward):
    """Assert that a stacked pass and the eager engine's, for each replicate, compute the same."""

    columns = torch.arange(2)
    batches = Batches(task, torch.float32)
    batches.start_epoch(0)
    weights, buffers = aligned_rows(state.weights), {name: tensor.clone() for name, tensor in state.buffers.items()}
    stacked = make_stacked_pass(task.network, weights, buffers, batches, run_forward=run_forward)
    losses, correct = stacked.run(columns)
    expected, statistics = state.weights.clone(), {name: tensor.clone() for name, tensor in state.buffers.items()}
    results = make_backward(task.network, expected, statistics, batches).run(columns)
    torch.testing.assert_close(losses, results[0], rtol=1e-4, atol=0)
    assert torch.equal(correct, results[1])
    slots = task.network.layout.slots
    gradients = torch.zeros_like(expected)
    for slot, parameter in zip(slots, stacked.parameters, strict=True):
        slot.view(gradients).copy_(parameter.grad)
    for row in range(2):
        assert_close(gradients[row], expected.grad[row], 1e-4)
    for name, tensor in statistics.items():
        torch.testing.assert_close(buffers[name], tensor)
    # The optimizer reads these gradients where they are.
    assert all(slot.view(gradients)[0].stride() == parameter.grad[0].stride()
               for slot, parameter in zip(slots, stacked.parameters) if slot.kind == 'convolution')


def residual_weights(layout, seed):
    torch.manual_seed(seed)
    return layout.pack({name: parameter.detach() for name, parameter in Residual().named_parameters()})


def residual_task():
    task = make_task('resnet20', seeds=(0, 1), shape=(3, 6, 6), data={'crop': 1, 'flip': True}, batch_size=2)
    module = Residual().eval()
    network = Network(module, Layout.of(module), task.data.shape, 4, task.network.settings)
    buffers = {name: torch.stack([buffer] * 2) for name, buffer in module.named_buffers()}
    weights = torch.stack([residual_weights(network.layout, seed) for seed in task.seeds])
    return replace(task, network=network), State(weights, buffers)


def test_a_stacked_residual_network_has_the_losses_gradients_and_statistics_of_every_replicate():
    check_stacked_pass(*residual_task())


@pytest.mark.slow
def test_a_stacked_network_can_be_compiled():
    check_stacked_pass(*residual_task(), compiled(stacked_forward, 'aot_eager'))


@pytest.mark.slow
def test_a_stacked_resnet20_has_the_losses_gradients_and_statistics_of_every_replicate():
    task = make_task('resnet20', seeds=(0, 1), shape=(3, 8, 8), data={'crop': 1, 'flip': True}, batch_size=2)
    check_stacked_pass(task, initial_state(task))


@pytest.mark.parametrize(('precision', 'tolerance'), [('fp32', 1e-5), ('bf16', 1e-2)])
def test_a_stacked_step_trains_every_replicate_as_the_eager_engine_does(precision, tolerance):
    task = make_task('resnet20', seeds=(0, 1), shape=(3, 4, 4), optimizer=SGD, batch_size=4, precision=precision)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 1, 2, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 4)).eval()
    network = Network(module, Layout.of(module), task.data.shape, 4, task.network.settings)
    task = replace(task, network=network)
    weights = torch.randn(2, network.layout.size, generator=torch.Generator().manual_seed(0)) * 0.3
    state = State(weights, {name: torch.stack([buffer] * 2) for name, buffer in module.named_buffers()})
    trainable = torch.rand(weights.shape, generator=torch.Generator().manual_seed(1)) < 0.7
    low_precision = torch.bfloat16 if precision == 'bf16' else None
    step = CapturedStep(task, state, parts=StepParts(
        partial(make_stacked_pass, low_precision=low_precision), make_fused_optimizer, aligned_rows))
    result, = step.run(state, trainable=trainable, stops=[3])
    for row in range(2):
        part = slice(row, row + 1)
        start = State(weights[part], {name: tensor[part] for name, tensor in state.buffers.items()})
        expected, = CPU.run(replace(task, seeds=task.seeds[part]), start, trainable=trainable[part], stops=[3])
        torch.testing.assert_close(result.state.weights[part], expected.state.weights, rtol=0, atol=tolerance)
        for name, tensor in expected.state.buffers.items():
            torch.testing.assert_close(result.state.buffers[name][part], tensor, rtol=0, atol=tolerance)
    assert torch.equal(result.state.weights[~trainable], weights[~trainable])
