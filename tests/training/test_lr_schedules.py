"""Learning rates, against torch.optim.lr_scheduler."""
import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR

from lth.recipes.schema import TrainingSettings
from lth.training.lr_schedules import learning_rates


def training(**settings: object) -> TrainingSettings:
    optimizer = {'name': 'sgd', 'learning_rate': 0.5}
    return TrainingSettings.model_validate({'length': '6 epochs', 'batch_size': 1, 'optimizer': optimizer} | settings)


def torch_rates(make, steps: int, every: int = 1) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.5)
    scheduler = make(optimizer)
    rates = []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        if (step + 1) % every == 0:
            scheduler.step()
    return rates


def test_a_constant_schedule_keeps_the_learning_rate():
    assert learning_rates(training(), 5).tolist() == [0.5] * 30


def test_the_multistep_schedule_equals_torch():
    schedule = {'name': 'multistep', 'milestones': ['2 epochs', '17 iterations'], 'factor': 0.3}
    expected = torch_rates(lambda optimizer: MultiStepLR(optimizer, [10, 17], 0.3), 30)
    assert np.allclose(learning_rates(training(schedule=schedule), 5), expected, rtol=1e-12)


@pytest.mark.parametrize(('per', 'every', 'length'), [('iteration', 1, 30), ('epoch', 5, 6)])
def test_the_cosine_schedule_equals_torch(per, every, length):
    rates = learning_rates(training(schedule={'name': 'cosine', 'per': per}), 5)
    expected = torch_rates(lambda optimizer: CosineAnnealingLR(optimizer, length), 30, every)
    assert np.allclose(rates, expected, rtol=1e-12)


def test_the_warmup_is_linear_from_zero_and_multiplies_the_schedule():
    schedule = {'name': 'multistep', 'milestones': ['2 iterations'], 'factor': 0.1}
    rates = learning_rates(training(warmup='4 iterations', schedule=schedule), 5)
    assert np.allclose(rates[:6], [0, 0.125, 0.025, 0.0375, 0.05, 0.05])


def test_a_length_is_in_epochs_or_iterations():
    assert len(learning_rates(training(length='7 iterations'), 5)) == 7
