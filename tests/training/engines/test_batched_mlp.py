"""Batched products against autograd."""
import pytest
import torch

from lth.training.engines.backward import make_backward
from lth.training.engines.cuda.batched_mlp import make_batched_backward
from lth.training.engines.sparse_cpu.supported import supported_dense_chain
from tests.conftest import mlp_task, make_task


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('seeds', [(0,), (0, 1, 2)])
def test_batched_products_find_the_gradients_that_autograd_finds(seeds, bias):
    task = mlp_task(make_task(seeds=seeds), 20, 1, 10, bias=bias)
    weights = torch.randn(len(seeds), task.network.layout.size, dtype=torch.float64)
    images = torch.rand(len(seeds), 7, *task.network.shape, dtype=torch.float64)
    labels = torch.randint(0, 4, (len(seeds), 7))
    mine, theirs = weights.clone(), torch.cat([weights, weights])
    losses, correct = make_batched_backward(supported_dense_chain(task.network), mine).run(images, labels)
    expected = make_backward(task.network, theirs, {}).run(torch.cat([images] * 2), torch.cat([labels] * 2))
    assert torch.allclose(mine.grad, theirs.grad[:len(seeds)], atol=1e-12)
    assert torch.allclose(losses, expected[0][:len(seeds)]) and torch.equal(correct, expected[1][:len(seeds)])
