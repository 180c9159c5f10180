"""AWS: random scales and shifts of normalization layers in training steps."""
from dataclasses import replace

import pytest
import torch

from lth.errors import LthError
from lth.experiments.changes import Changes
from lth.experiments.resolve import ticket_plan
from lth.training.engines.backward import make_backward
from lth.training.engines.batches import Batches
from lth.training.engines.cuda.engine import CudaGraph
from lth.training.engines.norm_interpolation import NormInterpolation
from lth.training.loop import measure, train
from lth.training.state import State
from lth.training.task import Task
from tests.conftest import full_mask, initial_state, make_task


def aws_task(*, aws: bool = True, seeds: tuple[int, ...] = (0,), **training: object) -> Task:
    """ResNet-20 on tiny images; 5 steps."""

    return make_task('resnet20', seeds=seeds, shape=(3, 8, 8), aws=aws, length='1 epochs', **training)


def trained_scales(task: Task) -> State:
    """The initial network with scales and shifts that are not 1 and 0."""

    state, random = initial_state(task), torch.Generator().manual_seed(1)
    for slot in task.network.layout.slots:
        if slot.kind == 'other':
            state.weights[:, slot.start:slot.stop] += torch.rand(slot.size, generator=random)
    return state


def first_pass(task: Task, state: State, step: int = 0) -> tuple[dict[str, torch.Tensor], torch.Tensor, State]:
    """The gradients and losses of a step, and the state that it leaves."""

    weights, buffers = state.weights.clone(), {name: buffer.clone() for name, buffer in state.buffers.items()}
    batches = Batches(task, weights.dtype)
    batches.start_epoch(0)
    backward = make_backward(task.network, weights, buffers, batches)
    backward.draw(step)
    losses, _ = backward.run(batches.columns[0])
    gradients = [parameter.grad for parameter in backward.parameters]
    names = [slot.name for slot in task.network.layout.slots]
    return dict(zip(names, gradients)), losses, State(weights, buffers)


def test_a_step_of_aws_is_the_step_of_the_interpolated_network():
    task, plain = aws_task(), aws_task(aws=False)
    state, interpolation = trained_scales(task), NormInterpolation(task)
    interpolation.draw(3)
    shares, values = interpolation.shares[0], dict(task.network.layout.unpack(state.weights[0]))
    for (scale, shift), share in zip(task.network.scales, shares.tolist(), strict=True):
        values[scale] = share + (1 - share) * values[scale]
        values[shift] = (1 - share) * values[shift]
    by_hand = replace(state, weights=task.network.layout.pack(values)[None])
    gradients, losses, after = first_pass(task, state, 3)
    expected, expected_losses, expected_after = first_pass(plain, by_hand)
    assert losses.item() == pytest.approx(expected_losses.item(), rel=1e-6)
    share_of = {name: share for pair, share in zip(task.network.scales, shares.tolist()) for name in pair}
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, expected[name] * (1 - share_of.get(name, 0)), rtol=1e-4, atol=1e-6)
    for name, buffer in after.buffers.items():
        torch.testing.assert_close(buffer, expected_after.buffers[name])


def test_aws_draws_other_numbers_for_each_seed_step_and_layer_and_the_same_ones_again():
    task = aws_task(seeds=(0, 4))
    interpolation = NormInterpolation(task)
    interpolation.draw(0)
    first = interpolation.shares.clone()
    assert first.shape == (2, 21) and first.unique().numel() == 42 and 0 <= first.min() and first.max() < 1
    interpolation.draw(1)
    assert not (interpolation.shares == first).any()
    interpolation.draw(0)
    alone = NormInterpolation(aws_task(seeds=(4,)))
    alone.draw(0)
    assert torch.equal(interpolation.shares, first) and torch.equal(alone.shares[0], first[1])


def test_seeds_that_train_together_with_aws_agree_with_one_alone():
    together, alone = aws_task(seeds=(0, 4)), aws_task(seeds=(4,))
    both = train(together, initial_state(together), until=2, trainable=full_mask(together))
    one = train(alone, initial_state(alone), until=2, trainable=full_mask(alone))
    torch.testing.assert_close(both.weights[1], one.weights[0], rtol=1e-3, atol=1e-3)


def test_a_training_with_aws_resumed_in_the_middle_gives_the_same_bits():
    task = aws_task()
    whole = train(task, initial_state(task), until=5, trainable=full_mask(task))
    part = train(task, initial_state(task), until=3, trainable=full_mask(task))
    resumed = train(task, part, until=5, trainable=full_mask(task))
    assert torch.equal(whole.weights, resumed.weights)
    assert all(torch.equal(buffer, resumed.buffers[name]) for name, buffer in whole.buffers.items())
    plain = aws_task(aws=False)
    without = train(plain, initial_state(plain), until=5, trainable=full_mask(plain))
    assert not torch.equal(whole.weights, without.weights)


def test_evaluation_does_not_use_aws():
    task, plain = aws_task(), aws_task(aws=False)
    assert measure(task, trained_scales(task)) == measure(plain, trained_scales(plain))


def test_an_engine_that_captures_steps_passes_aws_to_the_eager_engine():
    task = aws_task()
    captured = replace(task, engine=CudaGraph(task.engine.device))
    states = [train(one, initial_state(one), until=2, trainable=full_mask(one)) for one in (task, captured)]
    assert torch.equal(states[0].weights, states[1].weights) and states[1].engine == 'eager'


def test_a_plan_with_aws_is_not_captured_and_needs_normalization_layers():
    changes = Changes(overrides=[('training.aws', True)])
    plan = ticket_plan('resnet20', 'cifar10', changes)
    assert not plan.capturable and 'random numbers in every step' in plan.compile_obstacle
    assert ticket_plan('resnet20', 'cifar10', Changes()).capturable
    with pytest.raises(LthError, match='training.aws: lenet-300-100 has no normalization layer with a scale'):
        ticket_plan('lenet-300-100', 'digits', changes)
