"""The gradient of one batch with respect to all weights, active or not, by which some methods choose what grows."""
import torch
from torch import Tensor

from lth.errors import LthError
from lth.training.engines.dropout_rng import seed_dropout
from lth.training.engines.precision import precision_context
from lth.training.engines.step import StepParts
from lth.training.state import BatchGradient, State
from lth.training.task import Task


def batch_gradient(task: Task, state: State, parts: StepParts = StepParts(), noise: int = 0) -> BatchGradient:
    """The gradient of the batch of the iteration `state.step`, by the pass of an engine's `parts`. LthError if a
    layer has none.
    """

    batches = parts.batches(task, state.weights.dtype)
    epoch, position = divmod(state.step, task.steps_per_epoch)
    batches.start_epoch(epoch)
    weights, buffers = state.weights.clone(), {name: buffer.clone() for name, buffer in state.buffers.items()}
    backward = parts.backward(task.network, weights, buffers, batches)
    with precision_context(task), seed_dropout(task, noise) as seed_step:
        seed_step(state.step)
        backward.draw(state.step)
        losses, correct = backward.run(batches.columns[position])
    vector = torch.zeros_like(state.weights)
    for view, parameter in zip(backward.views(vector), backward.parameters, strict=True):
        if parameter.grad is not None:
            view.copy_(parameter.grad)
    _refuse_missing(task, backward.parameters)
    return BatchGradient(vector[:, :task.network.layout.prunable_count], losses, correct, buffers)


def _refuse_missing(task: Task, parameters: list[Tensor]) -> None:
    """LthError if a prunable layer has no gradient. A stack of networks is one parameter, whose gradient is complete.
    """

    if len(parameters) != len(task.network.layout.slots):
        return
    for slot, parameter in zip(task.network.layout.slots, parameters, strict=True):
        if slot.prunable and parameter.grad is None:
            raise LthError(f'The loss of {task.network.settings.name} has no gradient with respect to {slot.name}, by '
                           'which its weights would be chosen: forward does not use this layer, or cuts the gradient '
                           'off. Keep the layer out of pruning (algorithm.keep_out), or use --method set, which needs '
                           'no gradient.')
