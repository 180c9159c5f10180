"""What criteria, actions, initializers and controls of plug-ins return."""
import math

import pytest
import torch

from lth.algorithms.base import Algorithm
from lth.errors import LthError
from lth.models.initializers import INITIALIZERS
from lth.pruning.changed_tickets import apply_control
from lth.pruning.controls import CONTROLS
from lth.pruning.criteria import CRITERIA, CriterionContext, find_criterion
from lth.pruning.mask_actions import MASK_ACTIONS, LayerSurvivors, find_mask_0_action, find_mask_1_action
from lth.pruning.tickets import Ticket, dense_ticket
from lth.recipes.schema import AlgorithmSettings
from tests.conftest import make_task
from tests.registrations import forget_registrations

WRONG = {
    'raises': (lambda values: 1 / 0, r'raised ZeroDivisionError: division by zero \(.*test_tensor_results.py, line'),
    'leaves': (lambda values: exec('raise SystemExit(0)'), 'raised SystemExit: 0'),
    'none': (lambda values: None, 'is of type NoneType'),
    'float64': (lambda values: values.double(), r'is torch.float64 of shape \(4,\)'),
    'shape': (lambda values: values[:3], r'is torch.float32 of shape \(3,\). It should be a tensor of'),
    'nan': (lambda values: values * math.nan, '4 of 4 values are not finite')}
VALUES = torch.tensor([1., -2., 3., 4.])


@pytest.fixture(autouse=True)
def registries(monkeypatch):
    """Registries that forget what a test registers."""

    forget_registrations(
        monkeypatch, CRITERIA, MASK_ACTIONS.mask_0, MASK_ACTIONS.mask_1, INITIALIZERS, CONTROLS)


@pytest.mark.parametrize(('function', 'says'), WRONG.values(), ids=WRONG)
def test_a_plug_in_that_returns_no_tensor_like_its_weights_is_an_error_with_its_name(function, says):
    layer = LayerSurvivors(VALUES, VALUES, VALUES > 0, lambda: VALUES, lambda: 1., torch.Generator())
    CRITERIA.register('mine')(lambda _initial, final, _context: function(final))
    MASK_ACTIONS.register('mine', mask=1)(lambda layer: function(layer.start))
    MASK_ACTIONS.register('mine', mask=0)(lambda _layer, weights: function(weights))
    with pytest.raises(LthError, match=f'criterion mine.*{says}'):
        find_criterion('mine')(VALUES, VALUES, CriterionContext(2, torch.Generator()))
    with pytest.raises(LthError, match=f'mask-1 action mine.*{says}'):
        find_mask_1_action('mine')(layer)
    with pytest.raises(LthError, match=f'mask-0 action mine.*{says}'):
        find_mask_0_action('mine')(layer, VALUES)


def test_a_wrong_result_and_wrong_arguments_name_the_line_of_the_plug_in():
    def short(_initial, final, _context):
        return final[1:]
    CRITERIA.register('short')(short)
    CRITERIA.register('one')(lambda initial: initial)
    context = CriterionContext(2, torch.Generator())
    line = short.__code__.co_firstlineno
    with pytest.raises(LthError, match=rf'criterion short \(.*test_tensor_results.py, line {line}\) is'):
        find_criterion('short')(VALUES, VALUES, context)
    with pytest.raises(LthError, match=r'takes 1 positional argument but 3 were given \(.*tes'):
        find_criterion('one')(VALUES, VALUES, context)


@pytest.mark.parametrize(('generator', 'says'), [
    (lambda task, settings, past: None, r'algorithm mine \(.*test_tensor_results.py, .* returns NoneType instead of'),
    (lambda task, settings, past: [5], r'algorithm mine \(.*test_tensor_results.py, .* yields int instead of a')])
def test_an_algorithm_that_yields_no_rounds_is_an_error_with_its_name(generator, says):
    class Settings(AlgorithmSettings):
        name: str = 'mine'
    with pytest.raises(LthError, match=says):
        list(Algorithm('', Settings, generator).find(make_task(), Settings(), []))


def test_what_a_plug_in_returns_correctly_is_passed_on():
    CRITERIA.register('mine')(lambda _initial, final, _context: -final)
    scores = find_criterion('mine')(VALUES, VALUES, CriterionContext(2, torch.Generator()))
    assert torch.equal(scores, -VALUES)


@pytest.mark.parametrize(('change', 'says'), [
    (lambda ticket: None, r'control mine \(.*test_tensor_results.py, line \d+\) returned NoneType'),
    (lambda ticket: Ticket(ticket.mask.float(), ticket.weights, ticket.buffers, 0), r'mask of the control mine \('),
    (lambda ticket: Ticket(ticket.mask, ticket.weights / 0, ticket.buffers, 0), 'Of the weights of the control mine'),
    (lambda ticket: Ticket(ticket.mask, ticket.weights, None, 0), r'buffers of the control mine \(.* are not'),
    (lambda ticket: Ticket(ticket.mask, ticket.weights, ticket.buffers, -1), 'control mine .* is -1, not a whole')])
def test_a_control_that_returns_no_ticket_is_an_error_with_its_name(change, says):
    task = make_task()
    CONTROLS.register('mine', claims=[])(lambda _task, _origin, ticket, _draw: change(ticket))
    with pytest.raises(LthError, match=says):
        apply_control('mine', task, dense_ticket(task), dense_ticket(task))
