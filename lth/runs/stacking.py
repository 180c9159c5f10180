"""Rounds of single seeds stacked along the replicate axis R, as training takes them."""
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from lth.pruning.tickets import MovingState, Round, SearchState, stack_tensors, stack_tickets
from lth.runs.removed_state import RemovedState
from lth.training.state import Measurement, Metrics, State


def stack_rounds(rounds: Sequence[Round]) -> Round:
    """The same round of several seeds, R = 1 each, as one with R = the number of seeds."""

    searches = [round_.search for round_ in rounds if round_.search]
    moving = [round_.moving for round_ in rounds if round_.moving]
    return Round(
        rounds[0].number, stack_tickets([round_.ticket for round_ in rounds]),
        _stack_states([round_.trained for round_ in rounds]), _stack_searches(searches) if searches else None,
        watched=rounds[0].watched, moving=_stack_moving(moving) if moving else None)


def _stack_states(states: Sequence[State]) -> State:
    history = tuple(map(_stack_measurements, *(state.history for state in states)))
    for state in states:
        if isinstance(state, RemovedState):
            return RemovedState(state.error, history, state.engine)
    buffers = stack_tensors([state.buffers for state in states])
    return State(torch.cat([state.weights for state in states]), buffers, states[0].step, history=history,
                 engine=states[0].engine)


def _stack_searches(searches: Sequence[SearchState]) -> SearchState:
    optimizer = _stack_optimizers([search.optimizer for search in searches])
    numbers = {name: tuple(itertools.chain.from_iterable(getattr(search, name) for search in searches))
               for name in ('sampled_accuracy', 'penalties', 'selected')}
    return SearchState(torch.cat([search.scores for search in searches]), optimizer, **numbers)


def _stack_moving(states: Sequence[MovingState]) -> MovingState:
    return MovingState(torch.cat([state.ever for state in states]), torch.cat([state.events for state in states]),
                       _stack_optimizers([state.optimizer for state in states]))


def _stack_optimizers(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Optimizer states; the step count is the same for all seeds."""

    vectors = [{name: tensor for name, tensor in state.items() if name != 'step'} for state in states]
    steps = {name: tensor for name, tensor in states[0].items() if name == 'step'}
    return steps | stack_tensors(vectors)


def _stack_measurements(*measurements: Measurement) -> Measurement:
    train = [measurement.train for measurement in measurements if measurement.train]
    differing = [measurement.differing[0] for measurement in measurements if measurement.differing]
    return Measurement(
        measurements[0].iteration, _stack_metrics(train) if train else None,
        _stack_metrics([measurement.validation for measurement in measurements]),
        _stack_metrics([measurement.test for measurement in measurements]), tuple(differing) or None)


def _stack_metrics(parts: Sequence[Metrics]) -> Metrics:
    return Metrics(tuple(part.loss[0] for part in parts), tuple(part.accuracy[0] for part in parts))
