"""Gem-Miner: exact counts, the straight-through gradient, frozen scores, untouched weights, a planted ticket."""
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch.func import functional_call

from lth.algorithms.trained_masks.gem_miner import Settings, find_gem
from lth.algorithms.trained_masks.parametrizations import Rounded
from lth.algorithms.trained_masks.penalty_control import adapted_penalty
from lth.algorithms.trained_masks.regularizers import Penalty
from lth.datasets import sampling
from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import settings_class
from lth.pruning import masks
from lth.pruning.tickets import Round, SearchState, dense_ticket
from lth.recipes.durations import Duration
from lth.recipes.schema import TrainingSettings
from lth.training.state import State
from lth.training.task import Task
from tests.conftest import CPU, SGD, make_task

MOMENTUM = {'name': 'sgd', 'learning_rate': 0.1, 'momentum': 0.9}


def settings(**over: Any) -> Settings:
    finetune = {'length': '1 epochs', 'batch_size': 8, 'optimizer': SGD}
    return Settings.model_validate(
        {'name': 'gem-miner', 'density': 0.1, 'freeze_every': '2 epochs', 'finetune': finetune} | over)


def mined(task: Task, past: Sequence[Round] = (), **over: Any) -> list[Round]:
    return list(find_gem(task, settings(**over), past))


def mining(model: str = 'lenet-300-100', **over: Any) -> Task:
    task = make_task(model, optimizer=MOMENTUM, length='8 epochs', **over)
    network = Network.of(settings_class(model)(name=model, initializer='signed-constant'), task.network.shape, 4)
    return replace(task, network=network)


# The table of the published schedule: percent, freeze period in epochs, events, weights kept of ResNet-20's 268,336.
@pytest.mark.parametrize(('percent', 'period', 'events', 'kept'), [
    (0.59, 5, 29, 1_580), (0.59, 8, 18, 1_581), (1.44, 5, 29, 3_861), (3.72, 5, 29, 9_977), (20, 5, 29, 53_660),
    (50, 8, 18, 134_161)])
def test_counts_of_freeze_events_equal_the_published_schedule(percent, period, events, kept):
    exact = settings_class('resnet20')(name='resnet20', shortcut='identity', norm='plain')
    layout = Network.of(exact, (3, 32, 32), 10).layout
    training = TrainingSettings.model_validate({'length': '150 epochs', 'batch_size': 128, 'optimizer': SGD})
    counts = settings(density=percent / 100, freeze_every=f'{period} epochs').kept_counts(layout, training, 351)
    assert layout.prunable_count == counts[0] == 268_336
    assert (len(counts) - 1, counts[-1]) == (events, kept)


@hypothesis.given(density=st.floats(0.01, 0.99), events=st.integers(1, 3))
def test_with_an_exact_count_the_last_event_leaves_exactly_the_requested_number(density, events):
    task, exact = mining(), settings(density=density, freeze_every='2 epochs', exact_count=True)
    total = task.network.layout.prunable_count
    training = task.training.model_copy(update={'length': Duration(2 * (events + 1), 'epochs')})
    counts = exact.kept_counts(task.network.layout, training, 5)
    assert len(counts) == events + 1 and counts[0] == total and counts[-1] == masks.floor_share(total, density)
    for event, count in enumerate(counts):
        assert abs(count - total * density ** (event / events)) <= 1


def test_a_gem_with_an_exact_count_has_exactly_the_requested_weights():
    published, exact = mined(mining()), mined(mining(), exact_count=True)
    total = mining().network.layout.prunable_count
    kept = [int(rounds[-1].ticket.mask.sum()) for rounds in (published, exact)]
    assert kept[1] == masks.floor_share(total, 0.1) and kept[0] in range(kept[1] - 3, kept[1])


def test_a_step_uses_the_straight_through_gradient_and_the_penalty():
    task, penalty = mining(), 0.03
    layout, count = task.network.layout, task.network.layout.prunable_count
    weights = dense_ticket(task).weights.double()
    scores = torch.rand(1, count, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    trainable = torch.rand(1, count, generator=torch.Generator().manual_seed(2)) < 0.7
    scores[~trainable] = 0.
    advance = next(iter(CPU.run(task, State(scores, {}), trainable=trainable, stops=[1],
                                parametrization=Rounded(weights, Penalty(penalty)))))
    rows = sampling.epoch_order(task.splits[0][0], 0, 0)[:8]
    images = sampling.normalize(task.data.train.images[rows], task.data_settings, torch.zeros(1), torch.ones(1))
    factor = (scores > 0.5).double().requires_grad_()
    effective = torch.cat([weights[:, :count] * factor, weights[:, count:]], 1)
    logits = functional_call(task.network.module, layout.unpack(effective[0]), (images.double(),))
    loss = F.cross_entropy(logits, task.data.train.labels[rows])
    loss.backward()
    expected = torch.where(trainable, (scores - 0.1 * (factor.grad + 2 * penalty * scores)).clamp(0, 1), scores)
    assert torch.allclose(advance.state.weights, expected, rtol=1e-12, atol=1e-14)
    assert float(advance.losses) == pytest.approx(loss.item(), rel=1e-6)
    below = trainable & (scores < 0.5)
    assert (advance.state.weights[below] > scores[below]).any()  # scores below one half are trained too


@pytest.mark.parametrize('optimizer', [
    MOMENTUM, {'name': 'adam', 'learning_rate': 0.01, 'weight_decay': 0.1},
    {'name': 'adamw', 'learning_rate': 0.01, 'weight_decay': 0.1}])
def test_the_penalty_is_part_of_the_gradient_of_every_optimizer(optimizer):
    def scores(factor: float, own: dict[str, Any]) -> torch.Tensor:
        task = replace(mining(), training=mining().training.model_copy(update={'optimizer': make_task(
            optimizer=own).training.optimizer}))
        start = torch.full((1, task.network.layout.prunable_count), 0.7, dtype=torch.float64)
        advance = next(iter(CPU.run(
            task, State(start, {}), trainable=torch.ones_like(start, dtype=torch.bool), stops=[3],
            parametrization=Rounded(torch.zeros(1, task.network.layout.size, dtype=torch.float64), Penalty(factor)))))
        return advance.state.weights
    # Weights of 0 give scores no other gradient, so torch's own optimizer, given 2λp, is the oracle.
    trained, leaf = scores(0.2, optimizer), torch.full((1,), 0.7, dtype=torch.float64, requires_grad=True)
    kind = {'sgd': torch.optim.SGD, 'adam': torch.optim.Adam, 'adamw': torch.optim.AdamW}[optimizer['name']]
    oracle = kind([leaf], lr=optimizer['learning_rate'], **{
        key: value for key, value in optimizer.items() if key in ('momentum', 'weight_decay')})
    for _ in range(3):
        leaf.grad = 2 * 0.2 * leaf.detach()
        oracle.step()
    assert torch.allclose(trained, leaf.detach().expand_as(trained), rtol=1e-12)


@pytest.mark.parametrize('model', ['lenet-300-100', 'conv-2'])
def test_two_seeds_trained_together_have_the_same_scores_as_alone(model):
    def scores(seeds: tuple[int, ...]) -> torch.Tensor:
        task = mining(model, seeds=seeds)
        start = torch.full((len(seeds), task.network.layout.prunable_count), 0.6)
        weights = dense_ticket(task).weights.double()
        state = State(start.double(), {})
        trainable = torch.ones_like(start, dtype=torch.bool)
        rounded = Rounded(weights, Penalty(0.))
        return next(iter(CPU.run(task, state, trainable=trainable, stops=[6], parametrization=rounded))).state
    together, alone = scores((0, 5)), scores((5,))
    assert torch.allclose(together.weights[1], alone.weights[0], atol=1e-12)


def test_each_event_keeps_the_exact_count_and_frozen_scores_stay_frozen():
    task = mining()
    rounds = mined(task)
    counts = settings().kept_counts(task.network.layout, task.training, task.steps_per_epoch)
    assert [int(round_.ticket.mask.sum()) for round_ in rounds] == counts and len(counts) == 4
    for before, after in zip(rounds, rounds[1:]):
        assert not (after.ticket.mask & ~before.ticket.mask).any()
        assert after.search.scores[~after.ticket.mask].abs().max() == 0
        frozen = before.ticket.mask & ~after.ticket.mask
        assert before.search.scores[frozen].max() <= before.search.scores[after.ticket.mask].min()


def test_thousands_of_scores_tied_at_zero_leave_the_exact_count():
    task = mining()
    scores = torch.zeros(1, task.network.layout.prunable_count)
    scores[:, ::100] = 0.9
    before = mined(task)[0]
    collapsed = replace(before, search=SearchState(scores, before.search.optimizer))
    counts = settings().kept_counts(task.network.layout, task.training, task.steps_per_epoch)
    assert [int(round_.ticket.mask.sum()) for round_ in mined(task, [collapsed])] == counts[1:]


def test_scores_that_all_fall_below_one_half_are_an_error_that_names_the_layer():
    with pytest.raises(LthError, match='Rounding scores in round 0 leaves no weight in dense1.weight .*penalty'):
        mined(mining(), penalty=30.)


@pytest.mark.parametrize('model', ['lenet-300-100', 'resnet20'])
def test_training_scores_does_not_change_weights(model):
    task = mining(model, shape=(3, 8, 8), data={'crop': 1, 'flip': True})
    start, rounds = dense_ticket(task), mined(task)
    count = task.network.layout.prunable_count
    for round_ in rounds:
        mask = round_.ticket.mask
        assert torch.equal(round_.ticket.weights[:, :count][mask], start.weights[:, :count][mask])
        assert not round_.ticket.weights[:, :count][~mask].any()
        assert torch.equal(round_.trained.weights[:, count:], start.weights[:, count:])
    assert torch.equal(rounds[-1].trained.weights, rounds[-1].ticket.weights)


def test_the_final_mask_holds_active_scores_or_those_above_the_threshold():
    task = mining()
    active, above_threshold = (mined(task, penalty=0.01, final_mask=mask)[-1] for mask in ('active', 'above-threshold'))
    assert torch.equal(above_threshold.ticket.mask, active.ticket.mask & (active.search.scores > 0.5))
    assert 0 < above_threshold.ticket.mask.sum() < active.ticket.mask.sum()


def test_a_search_resumed_after_any_event_equals_an_uninterrupted_one():
    task = mining()
    whole = mined(task)
    for number in (1, 2, 3):
        again = mined(task, whole[:number])
        assert [round_.number for round_ in again] == list(range(number, 4))
        assert torch.equal(again[-1].search.scores, whole[-1].search.scores)
        assert again[-1].trained.history == whole[-1].trained.history


def test_the_penalty_reduces_scores():
    small, large = (mined(mining(), penalty=penalty)[0].search.scores.mean() for penalty in (0., 0.01))
    assert large < small - 0.03


@pytest.mark.parametrize(('scores', 'mean', 'spread'), [
    ('uniform', 0.5, 0.2887), ('half', 0.5, 0.), ('bernoulli', 0.5, 0.5), ('bimodal', 0.5, 0.4564),
    ('skew', 1 / 6, 0.1409)])
def test_initial_scores_have_the_requested_distribution(scores, mean, spread):
    task = mining()
    first = replace(task, training=task.training.model_copy(update={'optimizer': task.training.optimizer.model_copy(
        update={'learning_rate': 1e-30})}))
    sampled = mined(first, scores=scores, penalty=0.)[0].search.scores
    assert sampled.mean().item() == pytest.approx(mean, abs=0.01) and sampled.min() >= 0 and sampled.max() <= 1
    assert sampled.std().item() == pytest.approx(spread, abs=0.01)


# --- penalty: auto and final_epochs ---

AUTO = {'penalty': 'auto', 'start_penalty': 0.003, 'density': 0.5}


def test_an_adapted_penalty_starts_as_given_and_ends_at_zero():
    rounds = mined(mining(), **AUTO)
    penalties = [round_.search.penalties[0] for round_ in rounds]
    counts = settings(**AUTO).kept_counts(mining().network.layout, mining().training, 5)
    assert penalties[0] == 0.003 and penalties[-1] == 0 and len(penalties) == 4
    for number in (1, 2):
        before = rounds[number - 1]
        scores = before.search.scores[before.ticket.mask].sort(descending=True).values
        smallest = scores[counts[number + 1] - 1].item()
        assert penalties[number] == pytest.approx(0.003 * min((2 * smallest) ** 6, 4))


def test_the_first_round_of_an_adapted_penalty_equals_that_of_a_fixed_one():
    adapted, fixed = mined(mining(), **AUTO)[0], mined(mining(), penalty=0.003, density=0.5)[0]
    assert torch.allclose(adapted.search.scores, fixed.search.scores, atol=1e-5)
    assert fixed.search.penalties == ()


def test_each_seed_has_an_adapted_penalty_of_its_own():
    together, alone = (mined(mining(seeds=seeds), **AUTO) for seeds in ((0, 5), (5,)))
    for both, one in zip(together, alone, strict=True):
        assert both.search.penalties[1] == pytest.approx(one.search.penalties[0], rel=1e-3)
    assert together[1].search.penalties[0] != together[1].search.penalties[1]


@hypothesis.given(*(st.floats(least, 1., allow_subnormal=False) for least in (1e-9, 0., 0.)))
def test_an_adapted_penalty_grows_with_the_score_that_should_be_at_the_threshold(start, first, second):
    low, high = (adapted_penalty(start, score) for score in sorted((first, second)))
    assert 0 <= low <= high <= 4 * start
    assert adapted_penalty(start, 0.5) == start


@pytest.mark.parametrize(('final', 'ends'), [(None, [10, 20, 30, 40]), (1, [10, 20, 30, 40]), (2, [10, 20, 30, 40]),
                                             (3, [10, 20, 40]), (5, [10, 40]), (6, [10, 40])])
def test_no_scores_freeze_in_the_final_epochs(final, ends):
    task, exact = mining(), settings(final_epochs=final)
    exact.check(task.training, 5)
    assert exact.round_ends(task.training, 5) == ends
    assert exact.kept_counts(task.network.layout, task.training, 5)[-1] == pytest.approx(4960, abs=3)


def test_an_event_that_the_offset_moves_into_the_final_epochs_does_not_happen():
    ends = settings(final_epochs=4, freeze_offset='1 epochs').round_ends(mining().training, 5)
    assert ends == [15, 40]


@pytest.mark.parametrize('final', [7, 8, 100])
def test_final_epochs_that_leave_no_freeze_event_are_an_error(final):
    with pytest.raises(LthError, match=f'algorithm.final_epochs: {final} leaves no freeze event, as the first is after '
                                       '2 epochs and training ends after 8 epochs. Give fewer final epochs'):
        settings(final_epochs=final).check(mining().training, 5)


@pytest.mark.parametrize(('wrong', 'says'), [
    ({'penalty': -1.}, 'greater than or equal to 0'), ({'penalty': 'automatic'}, "'auto'"),
    ({'penalty': 'auto', 'start_penalty': 0.}, 'greater than 0'), ({'penalty': float('inf')}, 'finite'),
    ({'penalty': 0.1, 'start_penalty': 0.1}, 'start_penalty has no effect unless penalty is auto'),
    ({'final_epochs': 0}, 'greater than or equal to 1'), ({'final_epochs': 1.5}, 'integer')])
def test_penalties_and_final_epochs_that_make_no_sense_are_refused(wrong, says):
    with pytest.raises(ValidationError, match=says):
        settings(**wrong)


def test_a_layer_that_an_adapted_penalty_empties_is_an_error_that_names_its_start():
    with pytest.raises(LthError, match='Rounding scores in round 0 leaves no weight .* Reduce algorithm.start_penalty'):
        mined(mining(), penalty='auto', start_penalty=30.)


def test_an_emptied_layer_is_an_error():
    task = mining()
    few = 4 / task.network.layout.prunable_count
    with pytest.raises(LthError, match=r'leaves no weight in (dense2|output|dense1).weight \(seed 0\)'):
        mined(task, density=few)
    with pytest.raises(LthError, match='keeps 1 of 49600 weights, .* 3 layers, such as dense1.weight, needs one'):
        mined(task, density=1.5 / task.network.layout.prunable_count)
