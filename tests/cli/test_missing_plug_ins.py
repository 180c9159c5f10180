"""A run whose plug-in is no longer installed is measured and shown, unless its network or images need the plug-in."""
import re

import pytest
from torch import nn

from lth.models.registry import MODELS
from lth.pruning.controls import CONTROLS
from lth.pruning.criteria import CRITERIA
from tests.registrations import forget_registrations

BASE = ('digits', '-i', '1', '-e', '1', '-b', '300')


@pytest.fixture(autouse=True)
def uninstall():
    """Registers entries of a plug-in; the function that is given removes them."""

    with pytest.MonkeyPatch.context() as patch:
        forget_registrations(patch, CRITERIA, CONTROLS, MODELS)
        CRITERIA.register('plugged')(lambda _initial, final, _context: final.abs())
        CONTROLS.register('plugged', claims=[])(lambda _task, _origin, ticket, _draw: ticket)
        MODELS.register('plugged')(lambda shape, classes: nn.Sequential(nn.Flatten(), nn.Linear(64, classes)))
        yield patch.undo


@pytest.mark.slow
def test_a_run_whose_criterion_and_control_are_gone_is_evaluated_but_not_resumed(lth, uninstall):
    search = ('find-ticket', 'lenet-300-100', *BASE, '--set', 'algorithm.criterion=plugged', '--run', 'gone')
    assert lth(*search, '--controls', 'plugged').code == 0

    def evaluations() -> list[str]:
        # What a training costs depends on the criterion, so it is not known any more.
        outputs = (lth('evaluate', run).out for run in ('gone', 'gone-controls/plugged'))
        return [re.sub(r' Training of a seed: [^\n]*', '', output) for output in outputs]
    measured = evaluations()
    uninstall()
    assert evaluations() == measured
    assert lth('show', 'run', 'gone').code == 0
    resumed = lth(*search)
    assert resumed.code == 2 and "Unknown criterion 'plugged'" in resumed.err


def test_a_run_whose_model_is_gone_says_that_a_plug_in_may_be_needed(lth, uninstall):
    assert lth('find-ticket', 'plugged', *BASE, '--run', 'gone').code == 0
    uninstall()
    result = lth('evaluate', 'gone')
    assert result.code == 2 and "Unknown model 'plugged'" in result.err
    assert 'If a plug-in made this run, install it.' in ' '.join(result.err.split())
