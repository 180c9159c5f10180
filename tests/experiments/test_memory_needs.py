"""Memory is estimated, and refused with the limit, before anything large is allocated."""
import pytest
import torch
from torch import nn

from lth.datasets import DATASETS
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments import memory_needs
from lth.experiments.changes import Changes
from lth.experiments.resolve import ticket_plan
from lth.models import memory_estimate
from lth.models.memory_estimate import LimitParameters, feature_bytes, refuse_large_features
from lth.recipes.schema import DataSettings
from lth.system import memory


def limit_memory(monkeypatch, gibibytes: float) -> None:
    monkeypatch.setattr(memory, 'total_memory', lambda: int(gibibytes * 2 ** 30))


def plan_of(*overrides: tuple[str, object], model: str = 'lenet-300-100', dataset: str = 'digits'):
    return ticket_plan(model, dataset, Changes(overrides=overrides))


def test_the_limit_is_that_of_the_control_group_if_the_machine_has_more(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, '_CONTROL_GROUP', tmp_path)
    assert memory.available_memory() == memory.total_memory()
    (tmp_path / 'memory.max').write_text('max\n')
    assert memory.available_memory() == memory.total_memory()
    (tmp_path / 'memory.max').write_text('1048576\n')
    assert memory.available_memory() == 2 ** 20


def test_a_model_whose_parameters_exceed_the_memory_is_refused_before_they_are_allocated(monkeypatch):
    limit_memory(monkeypatch, 16)
    # 4096 · 4096 · 300 + 300 + 300 · 100 + 100 + 100 · 10 + 10 parameters of 4 bytes, three times, are 56.25 GiB.
    message = r'lenet-300-100 for images of 4096 × 4096 pixels needs at least 56\.2 GiB of memory.*limit is 16\.0 GiB'
    with pytest.raises(LthError, match=message) as caught:
        plan_of(('data.size', 4096))
    assert caught.value.exit_code == ENVIRONMENT_ERROR


@pytest.mark.parametrize('make', [
    lambda: nn.Linear(10 ** 6, 10 ** 6), lambda: torch.empty(10 ** 6, 10 ** 6), lambda: torch.zeros((10 ** 6, 10 ** 6)),
    lambda: torch.randn(size=(10 ** 6, 10 ** 6)), lambda: torch.full((10 ** 6, 10 ** 6), 0.),
    lambda: [nn.Linear(10_000, 10_000, bias=False) for _ in range(10 ** 4)]])
def test_all_ways_to_make_tensors_in_a_model_are_counted(monkeypatch, make):
    limit_memory(monkeypatch, 0.5)
    with LimitParameters('net'), pytest.raises(LthError, match='net needs at least'):
        make()


def test_images_that_exceed_the_memory_are_refused_before_they_are_read(monkeypatch, tmp_path):
    limit_memory(monkeypatch, 16)
    # 70,000 images of 512 × 512 bytes.
    message = '70,000 images of 1×512×512 pixels, which need 17.1 GiB of memory. The limit is 16.0 GiB'
    with pytest.raises(LthError, match=message):
        DATASETS.find('mnist').image_bytes(DataSettings(name='mnist', size=512))
    assert DATASETS.find('mnist').image_bytes(DataSettings(name='mnist')) == 70_000 * 784


def test_each_process_needs_the_images_and_each_seed_its_weights(monkeypatch):
    plan = plan_of(('data.size', 64))
    images, weights = 1797 * 64 * 64, 3 * 4 * plan.network.layout.size
    limit_memory(monkeypatch, (5 * images + 4 * weights) / 2 ** 30)
    memory_needs.refuse_too_much(plan, processes=4, seeds=4)
    message = r'needs at least 0\.\d GiB .* for 1,797 images of digits in 6 processes, .* the weights of 5 seeds'
    with pytest.raises(LthError, match=message):
        memory_needs.refuse_too_much(plan, processes=5, seeds=5)


def test_the_features_of_a_large_batch_are_counted_without_computing_them(monkeypatch):
    layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2), nn.Flatten(),
                           nn.LazyLinear(2))
    layers(torch.zeros(1, 3, 32, 32))
    monkeypatch.setattr(memory_estimate, '_LARGE_BATCH', 0)
    # Inputs of the three layers: 3 · 32 · 32, 8 · 32 · 32 and 8 · 15 · 15 floats for each image.
    assert feature_bytes(layers, (3, 32, 32), 10) == 4 * 10 * (3 * 1024 + 8 * 1024 + 8 * 225)
    assert layers[0].weight.device.type == 'cpu' and not layers[0]._forward_pre_hooks


def test_small_batches_and_models_that_need_real_tensors_are_not_estimated(monkeypatch):
    assert feature_bytes(nn.Linear(4, 2), (1, 2, 2), 100) == 0

    class Reads(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            assert images.sum().item() >= 0
            return images.flatten(1)
    monkeypatch.setattr(memory_estimate, '_LARGE_BATCH', 0)
    assert feature_bytes(Reads(), (1, 2, 2), 100) == 0


def test_a_forward_pass_needs_the_inputs_and_outputs_of_its_largest_layer(monkeypatch):
    layers = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.Conv2d(64, 8, 3, stride=2))
    # 2 images of 3 + 64 channels of 2048 × 2048 floats: 2.09 GiB; the next layer has 64 channels and 8 of a quarter.
    limit_memory(monkeypatch, 2.1)
    refuse_large_features(layers, 'net', (3, 2048, 2048), images=2)
    limit_memory(monkeypatch, 2.0)
    with pytest.raises(LthError, match='net needs at least 2.1 GiB of memory for the features of 2 images') as caught:
        refuse_large_features(layers, 'net', (3, 2048, 2048), images=2)
    assert caught.value.exit_code == ENVIRONMENT_ERROR
    refuse_large_features(layers, 'net', (3, 256, 256), images=2)


def test_a_dry_run_refuses_batches_whose_features_exceed_the_memory(lth, monkeypatch):
    command = ('find-ticket', 'conv-2', 'digits', '-i', '1', '-e', '1', '--set', 'data.size=64', '-b', '1000')
    monkeypatch.setattr(memory_estimate, '_LARGE_BATCH', 0)
    assert lth(*command, '--dry-run', '--device', 'cpu').code == 0
    monkeypatch.setattr(memory_needs, 'available_memory', lambda: 2 ** 30)
    results = [lth(*command, '--device', 'cpu', *dry) for dry in (['--dry-run'], [])]
    for result in results:
        assert result.code == ENVIRONMENT_ERROR and 'for batches of 1000 images' in result.err
    assert results[0].err == results[1].err.splitlines(keepends=True)[-1]
