"""`lth list`: names with summaries."""
import json

import pytest

from lth.cli import console


@pytest.mark.parametrize(('kind', 'name'), [
    ('models', 'resnet20'), ('datasets', 'cifar10'), ('recipes', 'lenet-300-100-mnist'),
    ('criteria', 'movement'), ('actions', 'rewind'), ('actions', 'toward-zero'), ('algorithms', 'magnitude'),
    ('checks', 'reinit')])
def test_list_shows_names_with_a_summary(lth, kind, name):
    assert name in lth('list', kind).out
    rows = json.loads(lth('list', kind, '--json').out)['entries']
    assert all(row['name'] and row['summary'] for row in rows)


def test_list_never_shortens_names_in_narrow_terminals(lth, monkeypatch):
    monkeypatch.setattr(console.out, 'width', 60)
    shown = {line.split()[0] for line in lth('list', 'recipes').out.splitlines() if line[:1].strip()}
    assert {row['name'] for row in json.loads(lth('list', 'recipes', '--json').out)['entries']} == shown
