"""A user's module is tried as it will be used, before anything is written."""
import math
import random
import threading
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lth.errors import LthError
from lth.models.network import Network
from lth.models.objects import register_model
from lth.models.registry import settings_class
from lth.models.trial import Use, try_network

SHAPE = (1, 8, 8)


class Net(nn.Module):
    """Two dense layers."""

    def __init__(self, shape, classes):
        super().__init__()
        self.first, self.second = nn.Linear(math.prod(shape), 16), nn.Linear(16, classes)

    def forward(self, images):
        return self.second(F.relu(self.first(images.flatten(1))))


def net_with(**methods: Callable[..., object]) -> type[Net]:
    """A subclass with other methods; `change` is called after the constructor."""

    def __init__(self, shape, classes):
        Net.__init__(self, shape, classes)
        methods.get('change', lambda _net: None)(self)
    return type('Changed', (Net,), {'__init__': __init__, **methods})


def tried(factory: Callable[..., nn.Module], **use: int) -> Network:
    name = register_model(factory)
    return try_network(Network.of(settings_class(name)(name=name), SHAPE, 4), Use(8, 16)._replace(**use))


def own_weights(net: Network) -> Tensor:
    return net.initial_weights(0)


def test_an_ordinary_module_is_accepted_without_notes():
    net = tried(Net)
    assert (net.notes, net.unused, net.noisy, net.layout.slots[0].channels_last) == ((), (), False, True)


def eval_tuple(net, images):
    return Net.forward(net, images) if net.training else (Net.forward(net, images), images)


def eval_classes(net, images):
    return Net.forward(net, images) if net.training else Net.forward(net, images).argmax(1)


def at_most_ten(net, images):
    assert len(images) <= 10, 'too many'
    return Net.forward(net, images)


def count_passes(net, images):
    net.passes = getattr(net, 'passes', 0) + 1
    return Net.forward(net, images)


def keep_mean(net, images):
    hidden = net.first(images.flatten(1))
    net.mean = 0.9 * net.mean + 0.1 * hidden.detach().mean(0)
    return net.second(F.relu(hidden - net.mean))


def replace_data(net, images):
    net.first.weight.data = torch.renorm(net.first.weight.data, p=2, dim=0, maxnorm=1.)
    return Net.forward(net, images)


def replace_parameter(net, images):
    net.first.weight = nn.Parameter(net.first.weight.detach().clamp(-.05, .05))
    return Net.forward(net, images)


def read_list(net, images):
    return net.second(F.relu(F.linear(images.flatten(1), net.weights[0], net.first.bias)))


def own_generator(net, images):
    return Net.forward(net, images + torch.rand(images.shape, generator=net.generator))


@pytest.mark.parametrize(('factory', 'says'), [
    (net_with(forward=eval_tuple), r'In evaluation mode object:\S+ returns tuple for 4 images'),
    (net_with(forward=eval_classes), r'In evaluation mode object:\S+ returns shape \(4,\) for 4 images'),
    (net_with(forward=at_most_ten), r'for 16 images of a measurement, raised AssertionError: too many.*test_trial'),
    (net_with(forward=count_passes), "forward changes the attribute 'passes' of the module"),
    (net_with(forward=keep_mean, change=lambda net: setattr(net, 'mean', torch.zeros(16))),
     "forward changes the attribute 'mean' of the module"),
    (net_with(forward=own_generator, change=lambda net: setattr(net, 'generator', torch.Generator().manual_seed(0))),
     "forward changes the attribute 'generator' of the module"),
    (net_with(forward=replace_data), 'forward replaces its parameter first.weight by another tensor'),
    (net_with(forward=replace_parameter), 'forward replaces its parameter first.weight by another tensor'),
    (net_with(forward=read_list, change=lambda net: setattr(net, 'weights', [net.first.weight])),
     'its logits in training mode do not follow from the parameters'),
    (net_with(forward=lambda net, images: Net.forward(net, images).detach()), 'its logits do not depend on its'),
    (net_with(change=lambda net: setattr(net, 'lock', threading.Lock())),
     "the attribute 'lock' of the module cannot be copied"),
    (net_with(change=lambda net: setattr(net, 'size', net.first.weight.norm())),
     "the attribute 'size' of the module was computed from parameters"),
    (net_with(change=lambda net: setattr(net, 'hidden', [nn.Linear(2, 2)])),
     r"the attribute 'hidden' of the module holds layers \(Linear\) that torch does not find"),
    (net_with(change=lambda net: setattr(net, 'scales', {'a': nn.Parameter(torch.ones(2))})),
     "the attribute 'scales' of the module holds a parameter"),
    (net_with(change=lambda net: setattr(net.first, 'parent', net)), "'first.parent' is a module of which it is"),
    (lambda shape, classes: nn.DataParallel(Net(shape, classes)), 'the module is DataParallel'),
    (lambda shape, classes: Net(shape, classes).half(), 'the parameter first.weight is float16'),
    (net_with(change=lambda net: setattr(net, 'filter', nn.Parameter(torch.ones(2, dtype=torch.cfloat)))),
     'the parameter filter is complex64'),
    (net_with(change=lambda net: net.first.weight.data.copy_(
        torch.from_numpy(np.random.default_rng().normal(size=(16, 64))))),
     'first.weight differs each time that the module is built')])
def test_a_module_that_lth_would_use_in_another_way_than_torch_is_refused(factory, says):
    with pytest.raises(LthError, match=says):
        tried(factory)


def test_layers_in_torchscript_are_refused():
    with warnings.catch_warnings(), pytest.raises(LthError, match="its layer '0' is TorchScript"):
        warnings.simplefilter('ignore')  # newer versions of torch warn of torch.jit
        tried(lambda shape, classes: nn.Sequential(torch.jit.script(Net(shape, classes)), nn.Linear(classes, classes)))


def test_sparse_gradients_are_refused():
    def sparse(_shape, classes):
        class Looked(nn.Module):
            def __init__(self):
                super().__init__()
                self.table, self.output = nn.Embedding(17, 2, sparse=True), nn.Linear(128, classes)

            def forward(self, images):
                return self.output(self.table((images * 16).long()).flatten(1))
        return Looked()
    with pytest.raises(LthError, match='the gradient of table.weight is sparse'):
        tried(sparse)


def test_batch_norm_with_batches_of_one_image_is_refused_for_every_model():
    def normed(_shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, classes))
    assert tried(normed).notes == ()
    with pytest.raises(LthError, match='does not fit a batch of 1 image'):
        tried(normed, training_images=1)


def test_a_layer_that_training_does_not_use_is_noted():
    net = tried(net_with(change=lambda net: setattr(net, 'spare', nn.Linear(7, 7))))
    assert net.unused == ('spare.weight', 'spare.bias')
    assert 'training does not use spare.weight, spare.bias' in net.notes[1]


def test_dropout_in_evaluation_mode_is_noted():
    net = tried(net_with(forward=lambda net, images: F.dropout(Net.forward(net, images), 0.5)))
    assert net.noisy and net.stochastic and 'draws random numbers in evaluation mode too' in net.notes[0]


@pytest.mark.parametrize('factor', [np.random.rand, random.random])
def test_random_numbers_of_numpy_and_python_are_those_of_the_seed(factor):
    def scale(net, images):
        return Net.forward(net, images * (float(factor()) if net.training else 1))
    net = tried(net_with(change=lambda net: net.first.weight.data.mul_(float(factor())), forward=scale))
    assert net.stochastic and not net.noisy
    assert torch.equal(net.initial_weights(1), net.initial_weights(1))
    np.random.seed(5)
    random.seed(5)
    expected = factor()
    np.random.seed(5)
    random.seed(5)
    own_weights(net)
    assert factor() == expected


def test_double_precision_is_converted_with_a_note():
    net = tried(lambda shape, classes: Net(shape, classes).double())
    assert own_weights(net).dtype == torch.float32
    assert 'was converted from float64 to float32' in net.notes[0]


@pytest.mark.slow  # the import of torch's compiler takes 8 s
def test_torch_compile_is_left_out_with_a_note():
    net = tried(lambda shape, classes: torch.compile(Net(shape, classes)))
    assert [slot.name for slot in net.layout.slots] == ['first.weight', 'second.weight', 'first.bias', 'second.bias']
    assert 'is used without torch.compile' in net.notes[0]


class Viewed(nn.Module):
    """Code that needs features and weights in torch's usual order."""

    def __init__(self, shape, classes):
        super().__init__()
        self.conv, self.output = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8 * shape[1] * shape[2], classes)

    def forward(self, images):
        weight = self.conv.weight - self.conv.weight.view(8, -1).mean(1).view(8, 1, 1, 1)
        features = F.conv2d(images.expand(-1, 3, -1, -1), weight, self.conv.bias, padding=1)
        return self.output(F.relu(features).view(len(images), -1))


def test_code_with_view_after_a_convolution_gets_contiguous_weights():
    net = tried(Viewed)
    weights = own_weights(net)
    assert net.layout.unpack(weights)['conv.weight'].is_contiguous()
    module = net.bind(weights, {})
    assert torch.allclose(net.logits(weights, {}, torch.ones(2, *SHAPE)), module(torch.ones(2, *SHAPE)), atol=1e-6)


def test_hooks_of_parameters_stay_in_the_networks_that_train():
    def held(shape, classes):
        net = Net(shape, classes)
        net.first.weight.register_hook(lambda gradient: gradient * (torch.arange(64) % 2))
        return net
    net = tried(held)
    for network in (net, tried(held(SHAPE, 4))):  # type: ignore[arg-type]
        module = network.bind(own_weights(network), {})
        module(torch.rand(3, *SHAPE)).sum().backward()
        gradient = module.first.weight.grad
        assert not gradient[:, ::2].any() and gradient[:, 1::2].any()


def test_a_buffer_with_two_names_is_one_tensor_in_the_networks_that_train():
    def share(net):
        net.register_buffer('mean', torch.zeros(16))
        net.second.register_buffer('center', net.mean)

    def center(net, images):
        hidden = net.first(images.flatten(1))
        if net.training:
            net.mean.copy_(hidden.detach().mean(0))
        return net.second(hidden - net.second.center)
    net = tried(net_with(change=share, forward=center))
    buffers = net.initial_buffers()
    module = net.bind(own_weights(net), buffers)
    module(torch.rand(4, *SHAPE))
    assert list(buffers) == ['mean'] and buffers['mean'].any() and module.second.center is module.mean


def test_measuring_does_not_change_weights_that_forward_clips_in_place():
    def clip(net, images):
        net.first.weight.data.clamp_(-.05, .05)
        return Net.forward(net, images)
    net = tried(net_with(forward=clip))
    weights = own_weights(net)
    before = weights.clone()
    net.logits(weights, {}, torch.rand(2, *SHAPE))
    assert torch.equal(weights, before)


def test_values_kept_in_evaluation_mode_are_those_of_the_weights_that_are_measured():
    def keep(net, images):
        if net.training or not hasattr(net, 'doubled'):
            net.doubled = 2 * net.first.weight.detach()
        return net.second(F.linear(images.flatten(1), net.doubled if not net.training else 2 * net.first.weight))
    net = tried(net_with(forward=keep))
    images, weights = torch.rand(2, *SHAPE), own_weights(net)
    first = net.logits(weights, {}, images)
    assert not torch.allclose(net.logits(2 * weights, {}, images), first)
    assert torch.equal(net.logits(weights, {}, images), first)


def times_doubles(net, images):
    hidden = net.first(images.flatten(1))
    factors = torch.from_numpy(np.ones(16))
    return net.second(hidden * factors)


def return_doubles(net, images):
    return Net.forward(net, images) * torch.ones(4, dtype=torch.float64)


@pytest.mark.parametrize(('forward', 'offset', 'says'), [
    (times_doubles, 3, 'forward computes in float64'), (return_doubles, 1, 'returns logits in float64')])
def test_the_line_that_first_computes_in_float64_is_named(forward, offset, says):
    line = forward.__code__.co_firstlineno + offset
    with pytest.raises(LthError, match=rf'{says} \(.*test_trial.py, line {line}\), but lth trains in float32'):
        tried(net_with(forward=forward))


def test_float64_within_forward_does_not_matter_if_it_is_converted_back():
    def convert(net, images):
        return Net.forward(net, images.double().mul(0.1).float())
    assert tried(net_with(forward=convert)).notes == ()


def test_a_function_that_is_once_differentiable_is_refused_where_second_derivatives_are_needed():
    class Square(torch.autograd.Function):  # pylint: disable=abstract-method,arguments-differ # as torch documents it
        @staticmethod
        def forward(ctx, features):
            ctx.save_for_backward(features)
            return features ** 2

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, gradient):
            return 2 * ctx.saved_tensors[0] * gradient

    factory = net_with(forward=lambda net, images: net.second(Square.apply(net.first(images.flatten(1)))))
    assert tried(factory).notes == ()
    with pytest.raises(LthError, match=r'second derivative of object:.*once_differentiable \(.*test_trial.py, line'):
        tried(factory, second_derivatives=True)


def test_second_derivatives_are_tried_only_where_they_are_needed():
    class Once(torch.autograd.Function):  # pylint: disable=abstract-method,arguments-differ # as torch documents it
        @staticmethod
        def forward(ctx, features):
            ctx.save_for_backward(features)
            return features ** 2

        @staticmethod
        def backward(ctx, gradient):
            if gradient.requires_grad:
                raise NotImplementedError('no second derivative')
            return 2 * ctx.saved_tensors[0] * gradient

    factory = net_with(forward=lambda net, images: net.second(Once.apply(net.first(images.flatten(1)))))
    assert tried(factory).notes == ()
    with pytest.raises(LthError, match='The second derivative of object:.* raised NotImplementedError: no second'):
        tried(factory, second_derivatives=True)
