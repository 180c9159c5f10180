"""Names of engines, today's and former ones."""
import subprocess
import sys

import pytest

from lth.errors import LthError
from lth.training.engines.names import current_engine_name, engine_choice


@pytest.mark.parametrize(('name', 'choice'), [
    ('auto', 'auto'), ('eager', 'eager'), ('sparse', 'sparse'), ('plain', 'eager')])
def test_engine_choices_are_read_under_current_and_former_names(name, choice):
    assert engine_choice(name) == choice


@pytest.mark.parametrize('name', ['', 'Eager', 'eager or sparse', 'plain or sparse', 'cuda'])
def test_an_unknown_engine_is_an_error_that_lists_the_choices(name):
    with pytest.raises(LthError, match='Choose one of auto, eager, sparse'):
        engine_choice(name)


def test_recorded_engine_names_are_shown_under_their_current_names():
    recorded = ['plain', 'plain or sparse', 'sparse', 'cuda-graph', '']
    assert [*map(current_engine_name, recorded)] == ['eager', 'eager or sparse', 'sparse', 'cuda-graph', '']


def test_names_of_engines_are_known_without_importing_torch():
    program = 'import sys, lth.training.engines.names; assert "torch" not in sys.modules'
    subprocess.run([sys.executable, '-c', program], check=True)
