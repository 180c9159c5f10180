"""Tickets that train together get what they get alone."""
from dataclasses import replace

import pytest
import torch

from lth.pruning.changed_tickets import apply_control
from lth.pruning.joint_training import train_tickets
from lth.pruning.tickets import dense_ticket, mask_ticket, train_ticket
from lth.training.engines.cuda.engine import CudaGraph
from tests.conftest import CPU, SGD, make_task


class Together(CudaGraph):
    """The engine of a GPU on the CPU, which trains some replicates together and records how many."""

    def __init__(self, count):
        super().__init__(CPU.device)
        self.count, self.sizes = count, []

    def replicates(self, _network, _training):
        """The given number."""

        return self.count

    def run(self, task, state, **arguments):
        """Record the number of replicates and train them."""

        self.sizes.append(len(state.weights))
        yield from super().run(task, state, **arguments)


@pytest.mark.parametrize(('model', 'shape', 'count', 'sizes'), [
    ('lenet-300-100', (1, 8, 8), 1, [2, 2, 2]), ('lenet-300-100', (1, 8, 8), 5, [4, 2]),
    ('conv-2', (3, 8, 8), 64, [6])])
def test_tickets_of_several_levels_train_together_as_they_do_alone(model, shape, count, sizes):
    engine, reports = Together(count), []
    task = make_task(model, shape=shape, seeds=(0, 3), optimizer=SGD, engine=engine, length='1 epoch')
    task = replace(task, on_step=lambda step, measurement: reports.append(measurement))
    dense = dense_ticket(task)
    random = torch.Generator().manual_seed(0)
    tickets = [mask_ticket(dense, torch.rand(dense.mask.shape, generator=random) < share) for share in (0.9, 0.5, 0.2)]
    tickets = [apply_control('reinit', task, dense, ticket, (level,)) for level, ticket in enumerate(tickets)]
    results = list(train_tickets((task, ticket) for ticket in tickets))
    assert engine.sizes == sizes and [ticket for ticket, _ in results] == tickets
    for ticket, state in results:
        expected = train_ticket(replace(task, engine=CPU), ticket)
        assert torch.allclose(state.weights, expected.weights, atol=1e-5)
        assert [row.iteration for row in state.history] == [row.iteration for row in expected.history]
        for measured, alone in zip(state.history, expected.history):
            assert measured.test.loss == pytest.approx(alone.test.loss, abs=1e-4)
            assert measured.validation.loss == pytest.approx(alone.validation.loss, abs=1e-4)
    measured = [report for report in reports if report]
    assert measured and all(len(report.test.loss) == 2 for report in measured)


def test_tickets_are_made_when_they_are_needed():
    task, made = make_task(length='1 epoch'), []

    def pairs():
        for level in range(3):
            made.append(level)
            yield task, dense_ticket(task)

    next(train_tickets(pairs()))
    assert made == [0]
