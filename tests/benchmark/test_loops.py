"""The loops without lth train the same networks: compared with torch's modules and with lth's eager engine."""
import copy
import sys
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lth.benchmark import expert_loop, sparselab_loop
from lth.datasets import sampling
from lth.training.task import Task
from tests.conftest import ADAM, SGD, full_mask, initial_state, make_task


@pytest.fixture(autouse=True)
def restored_settings(monkeypatch):
    """The expert's loop sets cuDNN's autotuning for its process."""

    monkeypatch.setattr(torch.backends.cudnn, 'benchmark', torch.backends.cudnn.benchmark)


def one_batch_task(model='lenet-300-100', **settings) -> Task:
    """A task whose only batch holds all training images, so that their order does not matter."""

    return make_task(model, batch_size=40, **settings)


def trained_module(task: Task, monkeypatch, steps: int) -> nn.Module:
    """The expert's module after some steps."""

    modules = []
    make = expert_loop._module
    monkeypatch.setattr(expert_loop, '_module', lambda task: modules.append(make(task)) or modules[0])
    loop = expert_loop.expert_loop(task)
    for _ in range(steps):
        next(loop)
    return modules[0]


@pytest.mark.parametrize('optimizer', [
    ADAM, SGD | {'nesterov': True}, {'name': 'adamw', 'learning_rate': 1e-3, 'weight_decay': 0.1, 'betas': [0.8, 0.9]}])
@pytest.mark.parametrize('model', ['lenet-300-100', 'lenet-5'])
def test_expert_trains_the_network_as_the_eager_engine_does(monkeypatch, model, optimizer):
    task = one_batch_task(model, optimizer=optimizer, shape=(1, 16, 16), data={'normalization': 'standardize'})
    (expected,) = task.engine.run(task, initial_state(task), trainable=full_mask(task), stops=[3])
    parameters = task.network.layout.unpack(expected.state.weights[0])
    for name, parameter in trained_module(task, monkeypatch, 3).named_parameters():
        assert torch.allclose(parameter, parameters[name], atol=1e-5), name


def test_expert_crops_and_flips_every_image_on_its_own():
    task = make_task(shape=(3, 8, 8), data={'crop': 2, 'flip': True, 'normalization': 'standardize'})
    images, labels = next(expert_loop._batches(task))
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (task.data.mean, task.data.std))
    originals = F.pad(task.data.train.images[task.splits[0][0]], (2, 2, 2, 2))
    possible = [sampling.normalize(part[None, :, y:y + 8, x:x + 8], task.data_settings, mean, std)[0]
                for part in (originals, originals.flip(3)) for part in part for y in range(5) for x in range(5)]
    distances = (images[:, None] - torch.stack(possible)).abs().amax((2, 3, 4))
    assert images.shape == (8, 3, 8, 8) and len(labels) == 8 and bool((distances.amin(1) < 1e-5).all())
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_expert_trains_on_every_image_once_in_an_epoch():
    task = make_task(batch_size=8, data={'normalization': 'scale'})
    batches = expert_loop._batches(task)
    seen = torch.cat([next(batches)[0] for _ in range(task.steps_per_epoch)])
    expected = task.data.train.images[task.splits[0][0]] / 255
    assert sorted(seen.flatten(1).tolist()) == sorted(expected.flatten(1).tolist())


def test_expert_autocasts_in_bf16_and_multiplies_by_masks():
    task = make_task(precision='bf16')
    module, dtypes = copy.deepcopy(task.network.module).train(), []
    module.output.register_forward_hook(lambda *call: dtypes.append(call[2].dtype))
    weight = module.dense1.weight
    mask = (torch.arange(weight.numel()) % 2 == 0).view_as(weight).float()
    next(expert_loop.train_steps(task, module, [mask], [weight]))
    assert dtypes == [torch.bfloat16]
    assert torch.equal(weight != 0, mask.bool())


class MaskedLinear(nn.Linear):
    """What SparseLinear of sparselab computes, by a dense layer."""

    def __init__(self, inputs, outputs, bias=True, sparsity=0.9):
        super().__init__(inputs, outputs, bias)
        self.mask = torch.rand(outputs, inputs) >= sparsity

    def forward(self, images):
        return F.linear(images, self.weight * self.mask, self.bias)


class Wiring:
    """An algorithm of sparselab that moves no mask: it is applied to every layer and called after every step."""

    def __init__(self, sparsity):
        self.sparsity, self.layers, self.steps = sparsity, 0, 0

    def __call__(self, layer):
        self.layers += 1

    def step(self):
        self.steps += 1


def test_rival_trains_sparse_layers_in_place_of_the_networks(monkeypatch):
    made = []

    def sparse_linear(*arguments, **options):
        made.append(MaskedLinear(*arguments, **options))
        return made[-1]
    monkeypatch.setitem(sys.modules, 'sparselab', SimpleNamespace(
        SparseLinear=sparse_linear, Static=Wiring, RigL=Wiring, SET=Wiring))
    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    task = make_task()
    loop = sparselab_loop.sparselab_loop(task, 0.1)
    before = made[0].weight.detach().clone()
    next(loop)
    assert [(part.in_features, part.out_features) for part in made] == [(64, 300), (300, 100), (100, 4)]
    changed = made[0].weight != before
    assert bool(changed.any()) and not bool((changed & ~made[0].mask).any())
    assert float(made[0].mask.float().mean()) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize(('installed', 'model', 'expected'), [
    (True, 'lenet-300-100', True), (True, 'lenet-5', False), (False, 'lenet-300-100', False)])
def test_rival_takes_part_if_it_is_installed_and_has_all_layers(monkeypatch, installed, model, expected):
    monkeypatch.setattr(sparselab_loop, 'find_spec', lambda _name: object() if installed else None)
    assert sparselab_loop.can_train(make_task(model, shape=(1, 16, 16)).network) == expected


def test_rival_agrees_with_a_dense_network_of_the_same_weights():
    sparselab = pytest.importorskip('sparselab')
    layer, images = sparselab.SparseLinear(20, 10, sparsity=0.8), torch.rand(5, 20)
    dense = layer._csr.to_dense()
    assert torch.allclose(layer(images), F.linear(images, dense, layer.bias), atol=1e-5)
