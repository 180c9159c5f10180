"""Sparse training: exact counts, exact zeros, resuming at every event, and the masks of each method by other means."""
import math
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from lth.algorithms.sparse_training.generator import Moves, start_state, train_sparse
from lth.algorithms.sparse_training.methods import METHODS
from lth.algorithms.sparse_training.settings import Settings
from lth.datasets import sampling
from lth.errors import LthError
from lth.models.flat_parameters import Layout
from lth.models.network import Network
from lth.pruning.tickets import Round, dense_ticket
from lth.training.engines.sparse_cpu.engine import SparseCpu
from lth.training.loop import train_moving_mask
from lth.training.state import Segment, State, Wiring
from lth.training.task import Task
from tests.algorithms.test_resume import compare_resumed_search
from tests.conftest import ADAM, CPU, SGD, make_task
from tests.training.test_checkpoints import Interruption, Memory, assert_equal_states


SPARSE = SparseCpu(CPU.device, always=True)


def settings_of(method: str, **over: Any) -> Settings:
    """Two events in each epoch of five steps, where the mask moves in iterations."""

    moves = {} if method in ('static', 'one-cycle', 'ac-dc') else {'update_every': '2 iterations'}
    return Settings.model_validate(
        {'name': 'sparse-training', 'method': method, 'density': 0.2, 'save_every': '1 epoch'} | moves | over)


def trained(task: Task, settings: Settings) -> list[Round]:
    return list(train_sparse(task, settings, ()))


def weights_at_event(task: Task, settings: Settings, step: int) -> State:
    """The state just before the event at an iteration."""

    seen: list[State] = []

    class Watched(Moves):
        def move(self, task: Task, state: State) -> Segment:
            seen.extend([state] * (state.step == step))
            return super().move(task, state)
    train_moving_mask(task, start_of(task, settings), until=task.steps, moves=Watched(task, settings))
    (state,) = seen
    return state


def start_of(task: Task, settings: Settings) -> State:
    return start_state(task, settings, dense_ticket(task))


def independent_gradient(task: Task, state: State) -> Tensor:
    """The dense gradient (P,) of the batch of an iteration, by another path: functional_call on float64 copies."""

    network, batch = task.network, task.training.batch_size
    epoch, position = divmod(state.step, task.steps_per_epoch)
    order = sampling.epoch_order(task.splits[0][0], task.seeds[0], epoch)[position * batch:][:batch]
    images, labels = task.data.train.images[order].double() / 255, task.data.train.labels[order]
    parameters = {name: part.double().clone().requires_grad_() for name, part in
                  network.layout.unpack(state.weights[0]).items()}
    module = network.module.double()
    loss = F.cross_entropy(functional_call(module, parameters, (images,)), labels)
    names = [slot.name for slot in network.layout.prunable_slots]
    gradients = torch.autograd.grad(loss, [parameters[name] for name in names])
    network.module.float()
    return torch.cat([gradient.flatten() for gradient in gradients])


@pytest.mark.parametrize('method', METHODS.names())
def test_every_method_ends_with_exactly_the_requested_number_of_weights_and_no_empty_layer(method):
    task = make_task(seeds=(0, 1), length='6 epochs')
    settings, layout = settings_of(method, density=0.013), task.network.layout
    rounds = trained(task, settings)
    counts = [round_.ticket.mask.sum(1).tolist() for round_ in rounds]
    planned = settings.kept_counts(layout, task.training, task.steps_per_epoch)
    assert counts == [[count, count] for count in planned] and planned[-1] == math.floor(0.013 * layout.prunable_count)
    for round_ in rounds:
        assert all(part.flatten(1).any(1).all() for part in layout.unpack(round_.ticket.mask).values())
        pruned = ~layout.trainable_mask(round_.ticket.mask)
        assert not round_.trained.weights[pruned].any()
        assert round_.moving and (round_.moving.ever | ~round_.ticket.mask).all()
    assert [round_.trained.step for round_ in rounds] == [5, 10, 15, 20, 25, 30]


@pytest.mark.parametrize('method', ['set', 'rigl'])
def test_set_and_rigl_keep_the_number_of_weights_of_each_layer(method):
    task, settings = make_task(length='4 epochs'), settings_of(method)
    expected = list(settings.start_counts(task.network.layout))
    for round_ in trained(task, settings):
        layers = task.network.layout.unpack(round_.ticket.mask[0]).values()
        assert [int(part.sum()) for part in layers] == expected


@pytest.mark.parametrize('method', ['set', 'rigl'])
@pytest.mark.parametrize('engine', [CPU, SPARSE], ids=['eager', 'sparse'])
def test_a_drop_fraction_of_0_is_static_training_bit_for_bit(method, engine):
    task = make_task(engine=engine)
    still = trained(task, settings_of(method, drop_fraction=0.))[-1]
    static = trained(task, settings_of('static'))[-1]
    assert torch.equal(still.trained.weights, static.trained.weights)
    assert still.trained.history == static.trained.history
    assert still.moving and not still.moving.events.numel()


@pytest.mark.parametrize('method', METHODS.names())
def test_rounds_of_every_method_resume_byte_for_byte(tmp_path, method):
    task, settings = make_task(seeds=(0, 1)), settings_of(method)
    assert compare_resumed_search(tmp_path, task, lambda past: train_sparse(task, settings, past)) == 3


@pytest.mark.parametrize('engine', [CPU, SPARSE], ids=['eager', 'sparse'])
@pytest.mark.parametrize('save_every', ['1 iteration', '2 iterations', '4 iterations'])
def test_events_at_the_start_of_rounds_and_before_measurements_change_no_result(engine, save_every):
    task = make_task(engine=engine, optimizer=SGD, measure_every='5 iterations', length='2 epochs')
    (whole,), rounds = (trained(task, settings_of('rigl', save_every=every)) for every in ('2 epochs', save_every))
    assert torch.equal(rounds[-1].trained.weights, whole.trained.weights)
    assert torch.equal(rounds[-1].ticket.mask, whole.ticket.mask)
    measured = [one for round_ in rounds for one in round_.trained.history if one.train]
    assert [one.iteration for one in measured] == sorted({5, 10, *(round_.trained.step for round_ in rounds)})
    assert all(math.isfinite(one.train.loss[0]) for one in measured)


@pytest.mark.parametrize(('method', 'engine', 'every'), [
    ('rigl', CPU, 2), ('rigl', SPARSE, 1), ('set', CPU, 1), ('set', SPARSE, 2), ('ac-dc', CPU, 2),
    ('granet', SPARSE, 1)])
def test_a_training_interrupted_at_every_event_and_next_to_it_continues_byte_for_byte(method, engine, every):
    task = make_task(engine=engine, optimizer=SGD, measure_every='4 iterations', length='2 epochs')
    settings = settings_of(method)
    start, moves = start_of(task, settings), Moves(task, settings)

    def run(memory: Memory | None) -> State:
        return train_moving_mask(replace(task, checkpoints=memory), start, until=task.steps, moves=moves)
    expected, saved = run(None), None
    for interrupt in range(1, task.steps, every):
        memory = Memory(every, interrupt, saved)
        with pytest.raises(Interruption):
            run(memory)
        saved = memory.saved
    assert saved is not None
    state = run(Memory(every, None, saved))
    assert_equal_states(state, expected)
    assert state.wiring and expected.wiring
    assert all(torch.equal(*pair) for pair in zip(state.wiring, expected.wiring, strict=True))


@pytest.mark.parametrize('optimizer', [ADAM, SGD], ids=str)
@pytest.mark.parametrize('method', METHODS.names())
def test_the_eager_and_the_sparse_engine_train_the_same_networks_up_to_rounding(method, optimizer):
    # One event: with Adam all new weights have the same magnitude after a step, so rounding decides about the next one.
    moves = {'update_every': '3 iterations', 'update_until': '4 iterations'} if method != 'static' else {}
    settings, ends = settings_of(method, **moves), []
    for engine in (CPU, SPARSE):
        ends.append(trained(make_task(engine=engine, optimizer=optimizer, length='1 epoch'), settings)[-1])
    eager, sparse = ends
    assert torch.equal(eager.ticket.mask, sparse.ticket.mask)
    assert torch.allclose(eager.trained.weights, sparse.trained.weights, atol=1e-5)
    assert eager.moving and sparse.moving and torch.equal(eager.moving.events, sparse.moving.events)
    assert sparse.trained.engine == 'sparse'


@pytest.mark.parametrize('optimizer', [ADAM, SGD], ids=str)
@pytest.mark.parametrize('method', ['set', 'rigl', 'ac-dc', 'granet'])
def test_a_weight_that_becomes_active_is_0_with_its_optimizer_state_and_the_others_stay(method, optimizer):
    task, settings = make_task(optimizer=optimizer), settings_of(method)
    moves, grown, layout = Moves(task, settings), 0, task.network.layout
    step = moves.next_event(0)
    while step is not None:
        before = weights_at_event(task, settings, step)
        after = moves.move(task, before).state
        assert before.wiring and after.wiring
        new = layout.trainable_mask(after.wiring.mask) & ~layout.trainable_mask(before.wiring.mask)
        stays = layout.trainable_mask(after.wiring.mask & before.wiring.mask)
        vectors = {name: tensor for name, tensor in after.optimizer.items() if name != 'step'}
        assert vectors and not after.weights[new].any()
        assert not any(tensor[new].any() for tensor in vectors.values())
        assert torch.equal(after.weights[stays], before.weights[stays])
        assert all(torch.equal(tensor[stays], before.optimizer[name][stays]) for name, tensor in vectors.items())
        grown += int(new.sum())
        step = moves.next_event(step + 1)
    assert grown


def test_rigl_grows_the_weights_of_largest_gradient_and_skips_the_step():
    task, settings = make_task(optimizer=SGD), settings_of('rigl')
    moves = Moves(task, settings)
    before = weights_at_event(task, settings, 4)
    segment, gradient = moves.move(task, before), independent_gradient(task, before)
    after = segment.state
    assert (before.step, after.step, segment.losses.shape) == (4, 5, (1, 1))
    assert before.wiring and after.wiring
    share = settings.drop_share(4, settings.last_update(task.training, task.steps_per_epoch))
    assert share == pytest.approx(0.15 * (1 + math.cos(math.pi * 4 / 11)))
    for slot in task.network.layout.prunable_slots:
        part = slice(slot.start, slot.stop)
        old, weights = before.wiring.mask[0, part], before.weights[0, part]
        count = math.floor(share * int(old.sum()))
        kept = old & (weights.abs() > weights[old].abs().sort().values[count - 1] if count else old)
        candidates = torch.where(kept, -1., gradient[part].abs())
        assert set(candidates.topk(count).indices.tolist()) == set(
            (after.wiring.mask[0, part] & ~kept).nonzero()[:, 0].tolist())


@pytest.mark.parametrize('method', ['gmp', 'one-cycle', 'ac-dc'])
def test_gmp_one_cycle_and_acdc_end_with_the_global_magnitude_mask_of_the_last_event(method):
    task, settings = make_task(length='10 epochs', measure_every='5 epochs'), settings_of(method)
    events = settings.event_steps(task.training, task.steps_per_epoch)
    state, end = weights_at_event(task, settings, events[-1]), trained(task, settings)[-1]
    prunable = state.weights[0, :task.network.layout.prunable_count].abs()
    count = int(0.2 * len(prunable))
    expected = torch.zeros(len(prunable), dtype=torch.bool).index_fill(0, prunable.topk(count).indices, True)
    assert torch.equal(end.ticket.mask[0], expected)
    # The weights of the end are those of the mask, so their magnitudes select it again.
    assert torch.equal(end.trained.weights[0, :len(prunable)] != 0, expected)


def test_acdc_alternates_at_the_shares_of_the_paper():
    settings = Settings.model_validate({'name': 'sparse-training', 'method': 'ac-dc', 'density': 0.1})
    training = make_task(length='200 epochs').training
    assert list(settings.event_steps(training, 1)) == [10, 30, 50, 70, 90, 110, 130, 150, 170]
    task = make_task(length='40 epochs', measure_every='20 epochs')
    events = [event for round_ in trained(task, settings) for event in round_.moving.events[0].tolist()]
    total = task.network.layout.prunable_count
    assert [active for _, active, *_ in events] == [total // 10, total] * 4 + [total // 10]
    assert [event[0] for event in events] == [5 * epoch for epoch in range(2, 35, 4)]


def test_acdc_decompresses_to_all_weights_also_from_a_lower_initial_density():
    settings = settings_of('ac-dc', density=0.1, initial_density=0.3, save_every='1 iteration')
    task = make_task(length='4 epochs')
    layout, rounds = task.network.layout, trained(task, settings)
    total = layout.prunable_count
    events = [event for round_ in rounds for event in round_.moving.events[0].tolist()]
    assert [active for _, active, *_ in events] == [total // 10, total] * 4 + [total // 10]
    assert settings.kept_counts(layout, task.training, task.steps_per_epoch) == [
        int(round_.ticket.mask.sum()) for round_ in rounds]


def test_the_cubic_schedule_is_that_of_zhu_and_gupta():
    settings = settings_of('gmp', density=0.1, update_until='10 iterations', update_every='1 iteration')
    task = make_task()
    total, counts = task.network.layout.prunable_count, []
    for round_ in trained(task, settings):
        counts += [event[1] for event in round_.moving.events[0].tolist()]
    assert counts == [total // 10 + (total - total // 10) * (10 - k) ** 3 // 1000 for k in range(1, 11)]


def test_events_count_what_moved():
    task, settings = make_task(), settings_of('set')
    mask = start_of(task, settings).wiring.mask[0]
    before, ever, rows = mask, mask, []
    for round_ in trained(task, settings):
        rows += round_.moving.events[0].tolist()
        assert rows[-1][4] == int(round_.moving.ever.sum())
    drops = sum(math.floor(0.3 * count) for count in settings.start_counts(task.network.layout))
    assert [row[0] for row in rows] == [2, 4, 6, 8, 10]
    assert all(active == int(before.sum()) and dropped == grown <= drops for _, active, dropped, grown, _ in rows)
    assert rows[0][4] == int(ever.sum()) + rows[0][3]


@pytest.mark.parametrize('model', ['conv-2', 'resnet20'])
def test_rigl_trains_convolutions_with_batchnorm_and_augmentation(model):
    task = make_task(model, shape=(3, 8, 8), data={'flip': True}, length='1 epochs', seeds=(0, 1))
    rounds = trained(task, settings_of('rigl', save_every='2 iterations'))
    assert len(rounds) == 3 and rounds[-1].moving.ever.sum() > rounds[0].ticket.mask.sum()


@pytest.mark.parametrize(('method', 'changes', 'message'), [
    ('rigl', {'density': 0.0001}, r'algorithm\.density: at 0\.0001 no layer has more than 2 active .*--method static'),
    ('set', {'density': 0.003, 'drop_fraction': 0.01}, r'replaces at most 0\.01 of them'),
    ('set', {'density': 0.9, 'drop_fraction': 1e-9}, r'never move\. No density is enough: replace a larger share'),
    ('gmp', {'density': 0.00001}, r'keeps 0 of 49600 weights.*at least 6.1e-05, 0\.0061% of the weights'),
    ('static', {'density': 0.00001}, '0 weights are too few for 3 layers.*a density of 6.1e-05'),
    ('static', {'density': 0.0001, 'layers': 'smart-ratio'}, 'at least 122 of the 49600, a density of 0.0025')])
def test_densities_at_which_a_layer_is_empty_or_no_event_moves_a_weight_are_refused(method, changes, message):
    task = make_task()
    with pytest.raises(LthError, match=message):
        settings_of(method, **changes).kept_counts(task.network.layout, task.training, task.steps_per_epoch)


@pytest.mark.parametrize('layers', ['erk', 'uniform', 'balanced', 'smart-ratio'])
@pytest.mark.parametrize('method', METHODS.names())
def test_the_density_that_an_error_names_is_enough_and_one_weight_less_is_not(method, layers):
    task = make_task(length='6 epochs')
    layout = task.network.layout

    def refusal(density: float) -> str:
        settings = settings_of(method, layers=layers, density=density)
        try:
            counts = settings.kept_counts(layout, task.training, task.steps_per_epoch)
        except LthError as error:
            return str(error)
        assert counts[-1] == math.floor(density * layout.prunable_count)
        return ''
    too_few = 'too few|needs one'
    message = refusal(1e-9)
    assert re.search(too_few, message)
    named = float(re.findall(r'a density of (?:at least )?([0-9.e-]*[0-9])', message)[-1])
    # Enough for the layers, though set and rigl need more weights for one to be replaced.
    assert not re.search(too_few, refusal(named))
    enough = re.search(r'Keep at least (\d+)', message)
    least = int(enough[1]) if enough else len(layout.prunable_slots)
    assert least <= named * layout.prunable_count < least + max(1, 0.1 * least)
    assert re.search(too_few, refusal((least - 0.5) / layout.prunable_count))


@pytest.mark.parametrize(('method', 'changes', 'message'), [
    ('rigl', {'update_every': '31 iterations'}, 'the mask would never move: it moves every 31 iterations'),
    ('gmp', {'update_from': '2 epochs', 'update_until': '1 epoch'}, 'update_from: the mask would never move: 2 epochs'),
    ('rigl', {'update_every': '0 epochs'}, 'update_every: 0 epochs is not a length'),
    ('rigl', {'update_until': '0 epochs'}, r'update_until: the mask .* Give more than 0 epochs, or leave it out\.'),
    ('set', {'update_until': '7 epochs'},
     'update_until: 7 epochs is after the end of training.* let set move the mask for its usual share of the training: '
     '--set algorithm.update_until=null')])
def test_settings_by_which_the_mask_never_moves_are_refused(method, changes, message):
    task = make_task(length='6 epochs')
    with pytest.raises(LthError, match=message):
        settings_of(method, **changes).check(task.training, task.steps_per_epoch)


@pytest.mark.parametrize('method', ['rigl', 'ac-dc', 'one-cycle'])
def test_a_training_too_short_for_any_event_is_refused_as_such(method):
    task = make_task(length='1 iterations')
    with pytest.raises(LthError, match=r'^training\.length: the mask would never .* of 1 \(1 iteration\)\. Train'):
        settings_of(method, save_every=None).check(task.training, task.steps_per_epoch)


@pytest.mark.parametrize('layers', ['erk', 'uniform', 'balanced', 'smart-ratio'])
@pytest.mark.parametrize('method', ['set', 'rigl'])
def test_the_least_density_at_which_a_mask_moves_is_named(method, layers):
    task = make_task(length='6 epochs')

    def refusal(density: float) -> str:
        settings = settings_of(method, layers=layers, density=density, drop_fraction=0.004)
        try:
            settings.kept_counts(task.network.layout, task.training, task.steps_per_epoch)
        except LthError as error:
            return str(error)
        return ''
    least = float(re.findall(r'Give a density of at least ([0-9.e-]*[0-9])', refusal(0.005))[0])
    assert refusal(least) == '' and 'the mask would never move' in refusal(0.89 * least)


class Cut(nn.Module):
    """A network whose first layer gets no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(64, 8), nn.Linear(8, 4)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.first(images.flatten(1)).detach())
        return logits


def test_a_layer_without_gradient_is_refused_by_name():
    task, module = make_task(), Cut()
    task = replace(task, network=Network(module, Layout.of(module), task.data.shape, 4, task.network.settings))
    settings, mask = settings_of('rigl'), torch.arange(544)[None] % 2 == 0
    state = State(torch.rand(1, 556), {}, 2, wiring=Wiring(mask, mask, torch.zeros(1, 0, 5, dtype=torch.int64)))
    with pytest.raises(LthError, match=r'no gradient with respect to first\.weight.*keep_out.*--method set'):
        Moves(task, settings).move(task, state)
