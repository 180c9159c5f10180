"""Batched matrix products against autograd."""
import pytest
import torch

from lth.training.engines.backward import make_backward
from lth.training.engines.chains import supported_dense_chain
from lth.training.engines.cuda.batched_mlp import make_batched_backward
from tests.conftest import make_task, mlp_task


class FixedBatch:
    """The same batch in all columns."""

    def __init__(self, task, images, labels):
        self.task, self.images, self.labels = task, images, labels

    def batch(self, _columns):
        """The batch."""

        return self.images, self.labels


@pytest.mark.parametrize('bias', [True, False])
@pytest.mark.parametrize('seeds', [(0,), (0, 1, 2)])
def test_batched_products_compute_the_gradients_of_autograd(seeds, bias):
    task, replicates = mlp_task(make_task(seeds=seeds), 20, 1, 10, bias=bias), len(seeds)
    weights = torch.randn(replicates, task.network.layout.size, dtype=torch.float64)
    images = torch.rand(replicates, 7, *task.network.shape, dtype=torch.float64)
    labels = torch.randint(0, 4, (replicates, 7))
    # Twice as many replicates, so that also one network is compared with the stacked pass.
    reference = torch.cat([weights, weights])
    twice = torch.cat([images] * 2), torch.cat([labels] * 2)
    backward = make_batched_backward(supported_dense_chain(task.network), weights, FixedBatch(task, images, labels))
    losses, correct = backward.run(torch.arange(7))
    expected = make_backward(task.network, reference, {}, FixedBatch(task, *twice)).run(torch.arange(7))
    assert torch.allclose(weights.grad, reference.grad[:replicates], atol=1e-12)
    assert torch.allclose(losses, expected[0][:replicates]) and torch.equal(correct, expected[1][:replicates])
