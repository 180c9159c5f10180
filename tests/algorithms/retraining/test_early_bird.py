"""Early-bird tickets: the masks that a search would prune to before its training ends."""
import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from lth.algorithms import imp, imp_settings
from lth.algorithms.retraining import early_bird
from lth.errors import LthError
from lth.pruning import masks
from lth.pruning.early_bird import emergence
from lth.pruning.tickets import Round, dense_ticket, train_ticket
from lth.training.task import Task
from tests.algorithms.test_resume import compare_resumed_search
from tests.conftest import ADAM, make_task

COUNTS = (1500, 300)


def search(task: Task, **over: object) -> Round:
    """The dense round of a search that compares masks."""

    settings = {'name': 'magnitude', 'rounds': 1, 'scope': 'global', 'early_bird': densities(task)} | over
    return next(imp.find_ticket(task, imp_settings.Settings.model_validate(settings), ()))


def densities(task: Task) -> list[float]:
    return [(count + 0.5) / task.network.layout.prunable_count for count in COUNTS]


def settings_of(**over: object) -> early_bird.Settings:
    settings = {'name': 'early-bird', 'source': 'run', 'masks': [0, 1], 'counts': [[count] for count in COUNTS],
                'scope': 'global'}
    return early_bird.Settings.model_validate(settings | over)


def drawn(task: Task, dense: Round, past: Sequence[Round] = (), **over: object) -> list[Round]:
    return list(early_bird.draw_early_birds(task, settings_of(**over), past, source=[dense]))


def largest(weights: torch.Tensor, count: int) -> torch.Tensor:
    """The mask of the largest weights (P,)."""

    mask = torch.zeros(len(weights), dtype=torch.bool)
    mask[weights.abs().topk(count).indices] = True
    return mask


@pytest.fixture(name='task', scope='module')
def of_two_seeds() -> Task:
    return make_task(seeds=(0, 3), length='4 epochs', images=200, data={'validation': 100},
                     measure_every='2 iterations', optimizer=ADAM | {'learning_rate': 0.01})


@pytest.fixture(name='dense', scope='module')
def of_a_search(task) -> Round:
    return search(task)


@pytest.fixture(name='rewound', scope='module')
def of_a_search_that_rewinds_to_iteration_15(task) -> Round:
    return search(task, rewind='15 iterations')


@pytest.mark.parametrize('source', ['dense', 'rewound'])
@pytest.mark.parametrize('threshold', [0.045, 0.2, 1.])
def test_masks_are_those_of_the_largest_weights_at_the_early_bird_of_each_seed(task, request, source, threshold):
    dense = request.getfixturevalue(source)
    rounds = drawn(task, dense, threshold=threshold)
    iterations = set()
    for (number, count), row in itertools.product(enumerate(COUNTS), range(2)):
        limit = threshold * dense.watched.chance[number]
        found = emergence([(one.iteration, one.differing[row][number]) for one in dense.trained.history], limit)
        iterations.add(found)
        start = dense.ticket if found >= dense.ticket.iteration else dense_ticket(task)
        weights = train_ticket(task, start, until=found).weights[row, :task.network.layout.prunable_count]
        assert torch.equal(rounds[number].ticket.mask[row], largest(weights, count))
    assert len(iterations) > 1 or threshold == 1


def test_tickets_train_from_the_rewind_point_as_those_of_a_search(task, rewound):
    for round_ in drawn(task, rewound):
        ticket = round_.ticket
        assert ticket.iteration == 15 and round_.trained.step == task.steps
        assert torch.equal(ticket.weights, masks.apply_mask(ticket.mask, rewound.ticket.weights))
        assert torch.equal(round_.trained.weights, train_ticket(task, ticket).weights)


@pytest.mark.parametrize('scope', ['global', 'layer'])
def test_masks_at_the_end_are_those_of_a_search_that_prunes_once(task, scope):
    settings = imp_settings.Settings.model_validate({
        'name': 'magnitude', 'rounds': 2, 'density': 0.1, 'scope': scope, 'shots': 'one-shot', 'early_bird': 'levels'})
    dense, *pruned = imp.find_ticket(task, settings, ())
    counts = [list(kept) for kept in imp_settings.layer_counts(task.network.layout, settings)[1:]]
    rounds = drawn(task, dense, counts=counts, scope=scope, drawn='end')
    assert all(torch.equal(one.ticket.mask, other.ticket.mask) for one, other in zip(rounds, pruned, strict=True))
    assert all(torch.equal(one.trained.weights, other.trained.weights) for one, other in zip(rounds, pruned))


def test_seeds_that_train_together_draw_what_they_draw_alone(task, dense):
    together = drawn(task, dense)
    for row, seed in enumerate(task.seeds):
        alone = replace(task, seeds=(seed,))
        for one, both in zip(drawn(alone, search(alone)), together, strict=True):
            assert torch.equal(one.ticket.mask[0], both.ticket.mask[row])


@pytest.mark.parametrize('name', ['early', 'end'])
def test_a_resumed_run_equals_an_uninterrupted_one(tmp_path, task, dense, name):
    assert compare_resumed_search(tmp_path, task, lambda past: iter(drawn(task, dense, past, drawn=name))) == 2


def test_a_seed_without_an_early_bird_is_an_error_that_names_it(task, dense):
    with pytest.raises(LthError, match='Seed 0 of run has no early bird that keeps 1500 weights.*--threshold'):
        drawn(task, dense, threshold=0.)
