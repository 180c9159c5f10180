"""What the error of a loss that is not finite names as the cause: the setting that moves weights the most."""
from dataclasses import replace

import pytest

from lth.algorithms.trained_masks import edge_popup, gem_miner, hypercube, supermask
from lth.errors import LthError
from lth.training.divergence import divergence
from lth.training.loop import train
from tests.conftest import full_mask, initial_state, make_task

LOWER_RATE = 'Lower training.optimizer.learning_rate (-l) or use a warm-up (training.warmup).'


def advice(rate: float, decay: float = 0., penalties: tuple[tuple[str, float], ...] = ()) -> str:
    """The last part of the error of a training with these factors."""

    optimizer = {'name': 'sgd', 'learning_rate': rate, 'weight_decay': decay}
    task = replace(make_task(seeds=(4,), optimizer=optimizer), penalties=penalties)
    return str(divergence(task, 4, 3)).partition(f'where the learning rate is {rate:.3g}. ')[2]


@pytest.mark.parametrize(('rate', 'decay', 'penalty', 'expected'), [
    (0.1, 0., 0., LOWER_RATE), (0.1, 5e-4, 1e-4, LOWER_RATE), (1e30, 5e-4, 1e-4, LOWER_RATE), (0.1, 9., 0., LOWER_RATE),
    (0.1, 10., 0., 'Lower training.optimizer.weight_decay, which is 10.'),
    (0.1, 5e-4, 1e30, 'Lower algorithm.start_penalty, which is 1e+30.'),
    (0.1, 1e20, 1e30,
     'Lower training.optimizer.weight_decay, which is 1e+20, or lower algorithm.start_penalty, which is 1e+30.')])
def test_the_error_of_a_divergence_names_what_moves_weights_the_most(rate, decay, penalty, expected):
    assert advice(rate, decay, (('algorithm.start_penalty', penalty),)) == expected


def test_a_weight_decay_that_makes_the_loss_diverge_is_named():
    task = make_task(optimizer={'name': 'sgd', 'learning_rate': 0.1, 'weight_decay': 1e20})
    with pytest.raises(LthError, match=r'Lower training.optimizer.weight_decay, which is 1e\+20\.$'):
        train(task, initial_state(task), until=15, trainable=full_mask(task))


def test_an_epsilon_that_is_0_in_single_precision_is_named():
    task = make_task(optimizer={'name': 'adam', 'learning_rate': 1e-3, 'epsilon': 1e-300})
    assert 'Raise training.optimizer.epsilon, which is 1e-300, 0 in single precision.' in str(divergence(task, 0, 3))


def test_a_network_that_overflows_before_training_is_no_matter_of_the_learning_rate():
    task, start = make_task(seeds=(7,)), initial_state(make_task(seeds=(7,)))
    start.weights.mul_(1e30)
    with pytest.raises(LthError, match='seed 7 is not a finite number before anything is trained') as raised:
        train(task, start, until=5, trainable=full_mask(task))
    assert 'model.initializer' in str(raised.value) and 'learning_rate' not in str(raised.value)


def test_algorithms_declare_the_settings_that_pull_scores_towards_0():
    finetune = make_task().training
    common = {'density': 0.3, 'finetune': finetune}
    auto = gem_miner.Settings(name='gem-miner', penalty='auto', start_penalty=1e30, **common)
    assert auto.penalty_factors == (('algorithm.start_penalty', 1e30),)
    assert gem_miner.Settings(name='gem-miner', penalty=2., **common).penalty_factors == (('algorithm.penalty', 2.),)
    assert hypercube.Settings(name='hypercube', penalty=3., **common).penalty_factors == (('algorithm.penalty', 3.),)
    assert supermask.Settings(name='supermask', **common).penalty_factors == ()


def test_a_search_whose_penalty_makes_it_diverge_names_the_penalty():
    task = make_task(optimizer={'name': 'sgd', 'learning_rate': 0.1})
    settings = edge_popup.GlobalSettings(
        name='global-edge-popup', density=0.3, penalty=1e20, save_every='3 epochs', finetune=task.training)
    with pytest.raises(LthError, match=r'Lower algorithm.penalty, which is 1e\+20\.$'):
        list(edge_popup.find_gem_globally(task, settings, ()))
