"""Which tensors of a checkpoint belong to which of a network, and masks that do not fit."""
import re

import pytest
import torch
from torch import nn

from lth.errors import LthError
from lth.foreign.fitted_rounds import fit_round
from lth.foreign.forms import ForeignRound
from lth.models.network import Network
from lth.models.registry import settings_class
from tests.foreign.foreign_files import network as foreign_module


@pytest.fixture(name='network', scope='module')
def _network():
    return Network.of(settings_class('lenet-300-100')(name='lenet-300-100'), (1, 8, 8), 10)


@pytest.fixture(name='tensors')
def _tensors():
    return dict(foreign_module().state_dict())


def fit(network, tensors, masks=None, names=(), start=None):
    return fit_round(network, ForeignRound(masks or {}, start, tensors), 'a.pt', names)


def test_layers_with_other_names_are_matched_in_their_order(network, tensors):
    fitted = fit(network, tensors)
    found = network.layout.unpack(fitted.trained.vector[0])
    for own, theirs in (('dense1', 'first'), ('dense2', 'second'), ('output', 'head')):
        assert torch.equal(found[f'{own}.weight'], tensors[f'{theirs}.weight'])
        assert torch.equal(found[f'{own}.bias'], tensors[f'{theirs}.bias'])
    assert bool(fitted.mask.all()) and fitted.start is None


def test_names_decide_where_they_are_given(network, tensors):
    shuffled = {name: tensors[name] for name in sorted(tensors, reverse=True)}
    with pytest.raises(LthError, match='in the place of'):
        fit(network, shuffled)
    names = ('first=dense1', 'second=dense2', 'head=output')
    assert torch.equal(fit(network, shuffled, names=names).trained.vector, fit(network, tensors).trained.vector)


def test_a_convolution_of_one_pixel_is_a_dense_layer(network, tensors):
    tensors['head.weight'] = tensors['head.weight'][:, :, None, None]
    assert torch.equal(network.layout.unpack(fit(network, tensors).trained.vector[0])['output.weight'],
                       tensors['head.weight'][..., 0, 0])


def test_pruned_weights_are_0_before_and_after_training(network, tensors):
    mask = torch.rand(300, 64) > 0.5
    start = {name: tensor + 1 for name, tensor in tensors.items()}
    fitted = fit(network, tensors, {'first.weight': mask.float()}, start=start)
    assert torch.equal(network.layout.unpack(fitted.mask[0])['dense1.weight'], mask)
    assert torch.equal(network.layout.unpack(fitted.trained.vector[0])['dense1.weight'], tensors['first.weight'] * mask)
    assert torch.equal(network.layout.unpack(fitted.start.vector[0])['dense1.weight'], start['first.weight'] * mask)


@pytest.mark.parametrize(('masks', 'message'), [
    ({'first.weight': torch.full((300, 64), 0.5)}, 'holds 0.5'),
    ({'first.weight': torch.full((300, 64), -1)}, 'holds -1'),
    ({'first.weight': torch.full((300, 64), float('nan'))}, 'holds nan'),
    ({'first.weight': torch.ones(64, 300)}, r'shape \(64, 300\)'), ({'third.weight': torch.ones(3)}, "'third.weight'"),
    ({'first.bias': torch.zeros(300)}, 'does not prune')])
def test_masks_that_are_not_0_and_1_or_do_not_fit_are_refused(network, tensors, masks, message):
    with pytest.raises(LthError, match=message):
        fit(network, tensors, masks)


@pytest.mark.parametrize(('change', 'message'), [
    (lambda tensors: tensors.pop('head.bias'), r"'head' \(weight \(10, 100\)\).*'output'"),
    (lambda tensors: tensors.update({'more.weight': torch.ones(3)}), "'more'.* of the checkpoint has no counterpart"),
    (lambda tensors: tensors.update({'head.weight': torch.ones(7, 100)}), r'\(7, 100\)'),
    (lambda tensors: tensors.update({'head.bias': torch.full((10,), float('inf'))}), 'not finite'),
    (lambda tensors: tensors.update({'head.bias': torch.ones(10, dtype=torch.int64)}), 'int64')])
def test_tensors_that_do_not_fit_are_named_with_their_shapes(network, tensors, change, message):
    change(tensors)
    with pytest.raises(LthError, match=message):
        fit(network, tensors)


def test_residual_networks_with_batch_norm_are_matched_with_their_statistics():
    network = Network.of(settings_class('resnet20')(name='resnet20'), (3, 8, 8), 10)
    values = {name: torch.randn(tensor.shape) for name, tensor in network.module.state_dict().items()
              if not name.endswith('num_batches_tracked')}
    names = {'stem.0': 'conv', 'stem.1': 'bn', 'main.0': 'conv1', 'main.1': 'bn1', 'main.3': 'conv2', 'main.4': 'bn2',
             'classifier': 'fc'}
    renamed = {re.sub('|'.join(map(re.escape, names)), lambda match: names[match[0]], name): tensor
               for name, tensor in values.items()}
    assert 'blocks.0.conv1.weight' in renamed and renamed.keys() != values.keys()
    fitted = fit(network, renamed)
    assert torch.equal(fitted.trained.vector, fit(network, values).trained.vector)
    assert torch.equal(fitted.trained.buffers['stem.1.running_var'][0], values['stem.1.running_var'])


def test_the_module_is_not_changed(network, tensors):
    before = {name: tensor.clone() for name, tensor in network.module.state_dict().items()}
    fit(network, tensors)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.module.state_dict().items())
    assert isinstance(network.module, nn.Module)
