"""Commands name layers without weights in one note: such a ticket trains, but at chance."""
from pathlib import Path

import pytest

import lth as package
from lth.experiments.open_run import open_run
from lth.runs.collapsed_layers import collapse_note
from lth.runs.run_path import RunPath
from tests.cli.test_growing import SHORT, call
from tests.printed_json import printed_json

# One-shot global pruning to 0.5% and 0.0025% of the weights: 2 of 50,200.
SEARCH = ('find-ticket', 'lenet-300-100', 'digits', *SHORT, '--run', 'run', '-i', '2',
          '--set', 'algorithm.scope=global', '--set', 'algorithm.rates=0.995', '--set', 'algorithm.shots=one-shot')
WORDS = 'that no signal passes through'


def notes(text: str) -> list[str]:
    return [part for part in ' '.join(text.split()).split('Note: ') if WORDS in part]


@pytest.fixture
def search(lth) -> str:
    """The note of a search whose last round has layers without weights."""

    (note,) = notes(call(lth, *SEARCH))
    return note


def test_the_layers_are_those_whose_mask_is_empty(lth, search):
    plan, run = open_run(RunPath(Path('runs/run')))
    masks = plan.network.layout.unpack(run.load_mask(0, 2))
    empty = [name for name, mask in masks.items() if not bool(mask.any())]
    assert empty and all(bool(mask.any()) for mask in plan.network.layout.unpack(run.load_mask(0, 0)).values())
    assert f'leave no weight in {", ".join(empty)} (seed 0)' in search.replace('leaves', 'leave')
    rows = printed_json(lth, 'show', 'run', 'run')['rounds']
    assert [row['seeds'][0]['empty_layers'] for row in rows] == [[], [], empty]


@pytest.mark.parametrize('command', [
    ('finetune', 'run', '--dry-run'), ('finetune', 'run'), ('pool', 'run', '--dry-run'), ('evaluate', 'run'),
    ('transfer', 'run', '--to', 'digits', '--dry-run', '--random-tickets'), ('sanity-check', 'run', '--dry-run'),
    ('show', 'run', 'run')], ids=' '.join)
def test_commands_that_start_from_the_tickets_name_them_once(lth, search, command):
    result = lth(*command)
    assert result.code == 0 and len(notes(result.err)) == 1 and 'runs/run: round' in notes(result.err)[0]
    assert 'runs/run: round' in search


def test_rounds_in_which_all_layers_have_weights_are_not_named(lth, search):
    assert search and not notes(lth('evaluate', 'run/seed-0/round-00').err)
    assert not notes(call(lth, 'finetune', 'run/seed-0/round-00', '--dry-run'))


def test_an_output_layer_that_is_initialized_again_does_not_count(search):
    assert search
    _, run = open_run(RunPath(Path('runs/run')))
    record = run.record(0, 2)
    layers = [layer.model_copy(update={'kept': 0}) if layer.name == 'output.weight' else
              layer.model_copy(update={'kept': 1}) for layer in record.layers]
    records = [record.model_copy(update={'layers': layers})]
    assert 'no weight in output.weight (seed 0)' in collapse_note(Path('a'), records)
    assert collapse_note(Path('a'), records, new_output='output.') == ''


def test_python_reports_them_before_training(search, capsys):
    package.finetune('runs/run', progress=True)
    output = capsys.readouterr()
    assert len(notes(output.out + output.err)) == 1 and search
