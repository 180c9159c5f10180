"""SCULPT: a ticket trained in cycles, pruned once by magnitude over all layers, and trained for one more cycle."""
import re
from dataclasses import replace

import pytest
import torch

from lth.algorithms import imp, imp_settings
from lth.algorithms.retraining import finetune, sculpt
from lth.errors import LthError
from lth.pruning.tickets import Round
from lth.training.task import Task
from tests.algorithms.test_resume import compare_resumed_search
from tests.conftest import make_task
from tests.training.test_checkpoints import assert_equal_states

DENSITY = 0.1


def source_rounds(task: Task) -> list[Round]:
    settings = imp_settings.Settings.model_validate({'name': 'magnitude', 'rounds': 1, 'rewind': '2 iterations'})
    return list(imp.find_ticket(replace(task, training=make_task().training), settings, ()))


def sculpt_settings(source: list[Round], density: float = DENSITY) -> sculpt.Settings:
    kept = int(source[1].ticket.mask[0].sum())
    return sculpt.Settings(name='sculpt', source='run', round=1, kept=kept, then_prune=density)


@pytest.fixture(name='task', scope='module')
def of_two_cycles() -> Task:
    return make_task(seeds=(0, 3), length='1 epochs', cycles=2)


@pytest.fixture(name='source', scope='module')
def of_a_search(task) -> list[Round]:
    return source_rounds(task)


def test_round_0_is_the_ticket_finetuned_in_cycles(task, source):
    first = next(sculpt.sculpt(task, sculpt_settings(source), (), source=source[1:]))
    settings = finetune.Settings(name='finetune', source='run', round=1, kept=sculpt_settings(source).kept)
    finetuned, = finetune.finetune(task, settings, (), source=source)
    assert_equal_states(first.trained, finetuned.trained)
    assert first.trained.step == task.steps == 10


def test_round_1_keeps_exactly_the_largest_weights_of_all_layers_and_trains_one_cycle(task, source):
    first, second = sculpt.sculpt(task, sculpt_settings(source), (), source=source[1:])
    prunable = task.network.layout.prunable_count
    count = int(DENSITY * prunable)
    assert second.ticket.mask.sum(1).tolist() == [count] * 2
    for before, mask, row in zip(first.trained.weights, second.ticket.mask, second.ticket.weights):
        magnitudes = before[:prunable].abs()
        assert magnitudes[mask].min() >= magnitudes[~mask].max()
        assert torch.equal(row[:prunable], torch.where(mask, before[:prunable], 0.))
        assert torch.equal(row[prunable:], before[prunable:])
    assert [measured.iteration for measured in second.trained.history] == [0, 5]
    assert torch.equal(second.trained.weights[:, :prunable] != 0, second.ticket.mask)


def test_it_resumes_byte_for_byte(tmp_path, task, source):
    settings = sculpt_settings(source)
    assert compare_resumed_search(tmp_path, task, lambda past: sculpt.sculpt(
        task, settings, past, source=source[1:])) == 2


@pytest.mark.parametrize('density', [0.9, 0.8, 1e-7])
def test_densities_that_prune_nothing_or_everything_are_refused(task, source, density):
    with pytest.raises(LthError, match='--then-prune'):
        next(sculpt.sculpt(task, sculpt_settings(source, density), (), source=source[1:]))


def test_a_density_with_less_than_one_weight_for_each_layer_is_refused_with_the_least_one(task, source):
    layout = task.network.layout
    layers, weights = len(layout.prunable_slots), layout.prunable_count

    def counts(density):
        return sculpt_settings(source, density).kept_counts(layout, task.training, task.steps_per_epoch)
    with pytest.raises(LthError, match='one weight for each layer') as refused:
        counts((layers - 0.5) / weights)
    least = float(re.findall(r'at least ([0-9.e-]*[0-9]), one', str(refused.value))[0])
    assert counts(least)[1] >= layers and least < 1.1 * (layers + 1) / weights


def test_the_last_cycle_of_a_total_budget_is_as_long_as_the_first(task, source):
    training = task.training.model_copy(update={'cycle_budget': 'total'})
    settings = sculpt_settings(source)
    assert settings.training_for_round(1, training, 5).steps(5) == training.cycle_ends(5)[0] == 2
    assert settings.trained_steps(1, training, 5) == 2 and settings.trained_steps(0, training, 5) == 5
