"""`lth list`: names with summaries."""
import json

import pytest

from lth.analysis import catalog
from lth.cli import console
from lth.cli.list import KINDS


@pytest.mark.parametrize(('kind', 'name'), [
    ('models', 'resnet20'), ('datasets', 'cifar10'), ('recipes', 'lenet-300-100-mnist'),
    ('criteria', 'movement'), ('actions', 'rewind'), ('actions', 'toward-zero'), ('algorithms', 'magnitude'),
    ('sparse-methods', 'rigl'), ('checks', 'reinit')])
def test_list_shows_names_with_a_summary(lth, kind, name):
    assert name in lth('list', kind).out
    rows = json.loads(lth('list', kind, '--json').out)['entries']
    assert all(row['name'] and row['summary'] for row in rows)


def test_list_never_shortens_names_in_narrow_terminals(lth, monkeypatch):
    monkeypatch.setattr(console.out, 'width', 60)
    shown = {line.split()[0] for line in lth('list', 'recipes').out.splitlines() if line[:1].strip()}
    assert {row['name'] for row in json.loads(lth('list', 'recipes', '--json').out)['entries']} == shown


def test_unknown_kinds_are_named_without_the_words_of_a_library(lth):
    result = lth('list', 'modells')
    assert result.code == 2 and "Unknown KIND 'modells', did you mean 'models'?" in result.err
    result = lth('show', 'runs', 'x')
    assert result.code == 2 and "'runs' is not one of 'recipe', 'run'" in result.err
    assert 'Value error' not in result.err


def test_the_kinds_are_those_of_the_catalog_with_recipes_and_runs():
    assert set(KINDS) == {*catalog.CATALOG, 'recipes', 'runs'}
