"""Iterative magnitude pruning with rewinding (Frankle & Carbin 2019, section 2; rewinding: Frankle et al. 2019).

Train, prune the smallest remaining weights, rewind all others to the rewind point, and repeat. Every round starts with
a new optimizer at the rewind iteration, also round 0, so that the dense network and the tickets are trained alike.
The settings are in imp_settings.py.
"""
from collections.abc import Iterator, Sequence
from dataclasses import replace

from torch import Tensor

from lth.algorithms.base import ALGORITHMS
from lth.algorithms.imp_settings import Settings, layer_counts
from lth.pruning.criteria import find_criterion
from lth.pruning.early_bird import MaskWatch
from lth.pruning.mask_actions import LayerSurvivors, find_mask_0_action, find_mask_1_action
from lth.pruning.prune import TrainedRound, apply_mask_actions, prune_mask
from lth.pruning.soups import train_round
from lth.pruning.tickets import Round, Ticket, dense_ticket, train_ticket
from lth.training.task import Task


@ALGORITHMS.register('magnitude', settings=Settings)
def find_ticket(task: Task, settings: Settings, past: Sequence[Round]) -> Iterator[Round]:
    """Iterative magnitude pruning with rewinding (Frankle & Carbin 2019)."""

    counts = layer_counts(task.network.layout, settings)
    dense, last = (past[0], past[-1]) if past else (None, None)
    for number in range(len(past), settings.rounds + 1):
        if dense is None or last is None:
            dense = last = _dense_round(task, settings)
        else:
            ticket = _pruned_ticket(task, settings, number, counts[number], dense, last)
            training = settings.training_for_round(number, task.training, task.steps_per_epoch)
            last = _trained_round(replace(task, training=training), settings, number, ticket)
        yield last


def _dense_round(task: Task, settings: Settings) -> Round:
    """Round 0: the dense network is trained to the rewind point, which is its ticket, and from there with a new
    optimizer, as in every round.
    """

    start, iteration = dense_ticket(task), settings.rewind.steps(task.steps_per_epoch)
    if watched := settings.watched_counts(task.network.layout):
        scope, counts = watched
        watch = MaskWatch(task.network.layout.ranked_parts(scope), counts)
        unwatched = settings.model_copy(update={'early_bird': 'off'})
        return replace(_dense_round(replace(task, watch=watch), unwatched), watched=watch.masks)
    if iteration == 0:
        return _trained_round(task, settings, 0, start)
    before = train_ticket(task, start, until=iteration)
    ticket = Ticket(start.mask, before.weights, before.buffers, before.step)
    if isinstance(task.watch, MaskWatch):
        task = replace(task, watch=replace(task.watch, recent=before.recent))
    round_ = _trained_round(task, settings, 0, ticket)
    history = (*before.history, *round_.trained.history[1:])
    return replace(round_, trained=replace(round_.trained, history=history))


def _trained_round(task: Task, settings: Settings, number: int, ticket: Ticket) -> Round:
    return train_round(task, ticket, number, copies=settings.copies, soup=settings.soup)


def _pruned_ticket(
        task: Task, settings: Settings, number: int, counts: tuple[int, ...], dense: Round, last: Round) -> Ticket:
    """The ticket of a round: a mask selected by the trained weights, and the weights from which the round starts."""

    parent = dense if settings.shots == 'one-shot' else last
    continues = settings.continues_training(number)
    start, prunable = parent.trained if continues else dense.ticket, task.network.layout.prunable_count
    # Training that continues over several rounds started at the rewind point.
    origin = parent if settings.retrain == 'weight-rewinding' else dense
    trained = TrainedRound(
        origin.ticket.weights[:, :prunable], parent.trained.weights[:, :prunable], dense.ticket.weights[:, :prunable],
        parent.ticket.mask, number)
    mask = prune_mask(task, trained, find_criterion(settings.criterion), counts)
    mask_1 = _trained_values if continues else find_mask_1_action(settings.mask_1_action)
    mask_0 = find_mask_0_action(settings.mask_0_action)
    weights = start.weights.clone()
    weights[:, :prunable] = apply_mask_actions(task, trained, mask, mask_1, mask_0)
    return Ticket(mask, weights, start.buffers, dense.ticket.iteration)


def _trained_values(layer: LayerSurvivors) -> Tensor:
    """The mask-1 action of rounds that continue training."""

    return layer.final
