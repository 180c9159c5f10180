"""How much memory the training of a replicate takes: bytes by hand, and what autograd really keeps."""
import pytest
import torch
import torch.nn.functional as F

from lth.training.engines.cuda.memory_estimate import replicate_bytes, replicates_that_fit
from tests.conftest import ADAM, SGD, make_task

GPU = torch.device('cuda', 0)
PLAIN_SGD = {'name': 'sgd', 'learning_rate': 0.1, 'momentum': 0.}


@pytest.mark.parametrize(('optimizer', 'precision', 'per_weight', 'per_value'), [
    # Three copies of weights and of the optimizer's vectors; the gradient, the mask and held weights; two evaluations.
    (ADAM, 'fp32', 3 * (4 + 4 + 4) + 4 + 9 + 8, 8), (SGD, 'fp32', 3 * (4 + 4) + 4 + 9 + 8, 8),
    (PLAIN_SGD, 'tf32', 3 * 4 + 4 + 9 + 8, 8), (SGD, 'bf16', 3 * (4 + 4) + 4 + 9 + 8 + 2, 4)])
def test_the_memory_of_a_replicate_grows_with_optimizer_precision_and_batch(
        optimizer, precision, per_weight, per_value):
    task = make_task(optimizer=optimizer, precision=precision, batch_size=16)
    weights = 64 * 300 + 300 + 300 * 100 + 100 + 100 * 4 + 4
    images = 16 * (4 * 64 + per_value * (300 + 100 + 4)) + 2 * 2 * 1000 * 4 * 64
    assert replicate_bytes(task.network, task.training) == weights * per_weight + images


@pytest.mark.parametrize('model', ['lenet-5', 'conv-2', 'resnet20'])
def test_the_estimate_covers_what_autograd_keeps_but_not_many_times(model):
    task, larger = (make_task(model, shape=(3, 32, 32), batch_size=size) for size in (20, 40))
    weights = task.network.initial_weights(0)
    module = task.network.bind(weights, task.network.initial_buffers())
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = F.cross_entropy(module(torch.rand(20, 3, 32, 32)), torch.zeros(20, dtype=torch.int64))
    kept.pop(weights.untyped_storage().data_ptr())
    loss.backward()
    for_20_images = replicate_bytes(larger.network, larger.training) - replicate_bytes(task.network, task.training)
    assert sum(kept.values()) < for_20_images < 2.5 * sum(kept.values())


def test_four_fifths_of_the_memory_that_is_free_or_kept_by_torch_are_used(gpus, monkeypatch):
    task = make_task()
    size = replicate_bytes(task.network, task.training)
    for free, reserved, allocated, fit in [(100, 0, 0, 80), (1, 0, 0, 0), (20, 150, 70, 80)]:
        gpus.install(1, free=free * size)
        monkeypatch.setattr(torch.cuda, 'memory_reserved', lambda _device, bytes_=reserved * size: bytes_)
        monkeypatch.setattr(torch.cuda, 'memory_allocated', lambda _device, bytes_=allocated * size: bytes_)
        assert abs(replicates_that_fit(task.network, task.training, GPU) - fit) <= 1
