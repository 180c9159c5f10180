"""--compile and --replicates: what is recorded, how a run is resumed, and what cannot be compiled."""
import json
from pathlib import Path

import pytest

from lth.training.engines.cuda import compilation, parts
from tests.round_files import session_entries

SEARCH = ['find-ticket', 'lenet-300-100', 'digits', '--set', 'training.length=4 iterations', '-i', '0', '--run', 'r']
NETWORK = '''
from torch import nn

class Halves(nn.Module):
    def forward(self, inputs):
        return inputs / 2 if float(inputs.sum()) > 1 else inputs

def net(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Sequential(nn.ReLU(), Halves()), nn.Linear(8, classes))
'''


@pytest.fixture(autouse=True)
def traced_only(monkeypatch):
    """torch.compile without its code generator, which would take seconds."""

    monkeypatch.setattr(parts, 'compiled', lambda function: compilation.compiled(function, 'aot_eager'))


def sessions():
    """The entries of the run's sessions."""

    return session_entries('runs/r')


def test_a_compiled_run_is_resumed_compiled_and_reports_it(lth):
    first = lth(*SEARCH, '--seeds', '0', '--compile', 'on', '--replicates', 'stacked')
    assert first.code == 0 and 'Engine: compiled' in first.err
    again = lth(*SEARCH, '--seeds', '0,1')
    assert again.code == 0 and 'Engine: compiled' in again.err
    assert [(entry['compile'], entry['replicates']) for entry in sessions()] == [('on', 'stacked')] * 2
    assert lth(*SEARCH, '--seeds', '0-2', '--compile', 'off').code == 0
    assert sessions()[-1]['compile'] == 'off' and 'compiled' not in sessions()[-1]['engine']


def test_a_cpu_compiles_only_if_it_is_asked_to(lth):
    assert lth(*SEARCH).code == 0
    assert sessions()[0]['compile'] == 'off'


@pytest.mark.parametrize(('arguments', 'words'), [
    (['--engine', 'eager'], '--engine eager compiles no network. Use --engine auto, or --compile off.'),
    (['--engine', 'sparse'], '--engine sparse compiles no network.')])
def test_an_engine_that_compiles_nothing_is_an_error_with_compile_on(lth, arguments, words):
    result = lth(*SEARCH, '--compile', 'on', *arguments)
    assert result.code == 2 and words in ' '.join(result.err.split()) and not Path('runs').exists()


def test_random_numbers_in_every_step_cannot_be_compiled(lth):
    result = lth('find-ticket', 'conv-2', 'digits', '--set', 'model.dropout=0.5', '--compile', 'on')
    assert result.code == 2 and not Path('runs').exists()
    assert 'this run cannot be compiled: it draws random numbers in every step' in ' '.join(result.err.split())


def test_a_layer_that_cannot_be_compiled_is_named_and_nothing_is_written(lth):
    Path('nets.py').write_text(NETWORK)
    result = lth('find-ticket', 'nets.py:net', 'digits', '-e', '1', '--compile', 'on')
    assert result.code == 2 and not list(Path('.').glob('runs/*'))
    assert '--compile on: the layer 2.1 (Halves) of nets.py:net cannot be compiled' in ' '.join(result.err.split())
