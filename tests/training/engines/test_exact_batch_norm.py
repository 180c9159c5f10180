"""BatchNorm of channels_last features in float32: compared with float64 and with torch's contiguous kernel."""
import pytest
import torch
from torch import nn

from lth.training.engines.backward import make_backward
from lth.training.engines.batches import Batches
from lth.training.engines.exact_batch_norm import use_exact_batch_norm
from tests.conftest import make_task


def result(layer: nn.Module, images: torch.Tensor, gradient: torch.Tensor) -> list[torch.Tensor]:
    """Outputs, gradients and buffers of two steps of a layer in training mode."""

    for _ in range(2):
        leaf = images.clone().requires_grad_()
        outputs = layer(leaf)
        layer.zero_grad()
        outputs.backward(gradient)
    gradients = [leaf.grad, *(parameter.grad for parameter in layer.parameters())]
    return [outputs.detach(), *gradients, *layer.buffers()]


def errors(results: list[torch.Tensor], expected: list[torch.Tensor]) -> list[float]:
    return [float((one.double() - other).norm() / other.double().norm())
            for one, other in zip(results, expected, strict=True)]


@pytest.mark.parametrize('options', [
    {}, {'affine': False}, {'track_running_stats': False}, {'momentum': None}, {'eps': 0.1}], ids=str)
def test_statistics_outputs_and_gradients_are_as_exact_as_those_of_contiguous_features(options):
    random = torch.Generator().manual_seed(0)
    images = (torch.randn(64, 8, 32, 32, generator=random) / 2 + 3).contiguous(memory_format=torch.channels_last)
    gradient = torch.randn(64, 8, 32, 32, generator=random).contiguous(memory_format=torch.channels_last)
    expected = result(nn.BatchNorm2d(8, **options).double(), images.double(), gradient.double())
    exact = nn.Sequential(nn.BatchNorm2d(8, **options))
    use_exact_batch_norm(exact)
    found = result(exact, images, gradient)
    # Gradients of scale and shift are sums of random numbers, which nearly cancel.
    assert max(errors(found, expected)[:2]) < 2e-7 and max(errors(found, expected)) < 1e-5
    assert found[0].is_contiguous(memory_format=torch.channels_last)
    # What this is for: torch's own kernel loses two digits.
    assert min(errors(result(nn.BatchNorm2d(8, **options), images, gradient), expected)[:2]) > 1e-6


def test_a_layer_after_it_may_change_its_outputs_in_place():
    images = torch.rand(4, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    results = []
    for inplace in (False, True):
        layers = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(inplace))
        use_exact_batch_norm(layers)
        leaf = images.clone().requires_grad_()
        outputs = layers(leaf)
        (outputs * images).sum().backward()
        results.append((outputs.detach(), leaf.grad))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_other_features_and_evaluation_are_computed_by_torch():
    ours, torchs = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    use_exact_batch_norm(ours)
    images = torch.rand(4, 3, 5, 5)
    assert torch.equal(ours(images), torchs(images))
    assert torch.equal(ours.eval()(images), torchs.eval()(images))
    last = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(ours(last), torchs(last))
    with pytest.raises(ValueError, match='more than 1 value per channel'):
        ours.train()(torch.rand(1, 3, 1, 1).contiguous(memory_format=torch.channels_last))


def test_running_statistics_are_updated_also_if_steps_are_counted_for_all_layers_at_once():
    images = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    layers = [nn.BatchNorm2d(3), nn.BatchNorm2d(3)]
    use_exact_batch_norm(layers[0])
    for layer, memory_format in zip(layers, (torch.channels_last, torch.contiguous_format), strict=True):
        layer.num_batches_tracked = None
        layer(images.contiguous(memory_format=memory_format))
    assert torch.allclose(layers[0].running_mean, layers[1].running_mean, rtol=1e-6)
    assert torch.allclose(layers[0].running_var, layers[1].running_var, rtol=1e-6)


def test_a_training_step_of_resnet20_has_the_gradients_of_float64():
    gradients = {}
    for dtype in (torch.float32, torch.float64):
        task = make_task('resnet20', shape=(3, 32, 32), images=72, batch_size=64)
        weights = task.network.initial_weights(0)[None].to(dtype)
        buffers = {name: buffer[None].clone().to(dtype) if buffer.is_floating_point() else buffer[None].clone()
                   for name, buffer in task.network.initial_buffers().items()}
        batches = Batches(task, dtype)
        batches.start_epoch(0)
        backward = make_backward(task.network, weights, buffers, batches)
        backward.run(batches.columns[0])
        gradients[dtype] = torch.cat([parameter.grad.flatten() for parameter in backward.parameters])
    exact = gradients[torch.float64]
    assert (gradients[torch.float32].double() - exact).norm() / exact.norm() < 0.004
