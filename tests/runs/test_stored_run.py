"""Runs that are read from their files alone."""
import datetime
from pathlib import Path

import pytest

from lth.analysis.run_list import list_runs
from lth.errors import LthError
from lth.runs.folder import Run
from lth.runs.stored_run import StoredRun
from lth.system import yaml_text

RECIPE = {'model': {'name': 'a'}, 'data': {'name': 'b'}, 'algorithm': {'name': 'c', 'source': '../x', 'rounds': [0, 7]}}


def make_stored_run(folder: Path, **algorithm: object) -> StoredRun:
    folder.mkdir(exist_ok=True)
    (folder / 'recipe.yaml').write_text(yaml_text.dump_yaml(RECIPE | {'algorithm': RECIPE['algorithm'] | algorithm}))
    return StoredRun.open(folder)


def test_records_are_those_that_the_run_with_its_network_reads(run: Run):
    stored = StoredRun(run.folder, yaml_text.read_yaml(run.folder / 'recipe.yaml'))
    assert stored.seeds() == run.seeds() == [0, 7]
    for seed in stored.seeds():
        numbers = range(stored.round_count(seed))
        assert [stored.record(seed, number) for number in numbers] == [run.record(seed, number) for number in numbers]


def test_a_round_of_another_recipe_is_refused(run: Run):
    recipe = yaml_text.read_yaml(run.folder / 'recipe.yaml')
    stored = StoredRun(run.folder, recipe | {'training': {'batch_size': 9}})
    with pytest.raises(LthError, match='is not the round that belongs there: its recipe'):
        stored.record(0, 1)


@pytest.mark.parametrize(('algorithm', 'numbers'), [
    ({}, [0, 7, 2]), ({'rounds': 8}, [0, 1, 2]), ({'rounds': 3, 'round': 5}, [5, 5, 5]),
    ({'rounds': ['x', None]}, [0, 1, 2])])
def test_the_round_of_the_source_is_read_from_the_recipe(tmp_path, algorithm, numbers):
    stored = make_stored_run(tmp_path / 'run', **algorithm)
    assert [stored.source_round(number) for number in range(3)] == numbers


@pytest.mark.parametrize('source', [3, None, ['x'], 'x' * 300, 'a/' * 3000, 'x\0y'])
def test_sources_that_are_no_paths_are_none(tmp_path, source):
    assert make_stored_run(tmp_path / 'run', source=source).source_folder is None
    assert [run.state for run in list_runs(tmp_path)] == ['unfinished']


@pytest.mark.parametrize('recipe', [
    '', 'model: 3', 'model: {name: a}\ndata: {name: b}', 'model: {name: a}\ndata: {name: b}\nalgorithm: {name: 3}',
    '[' * 5000, '\x00', 'a: &a [*a]'])
def test_a_recipe_without_names_is_damaged(tmp_path, recipe):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run' / 'recipe.yaml').write_text(recipe)
    with pytest.raises(LthError):
        StoredRun.open(tmp_path / 'run')
    (listed,) = list_runs(tmp_path)
    assert listed.state == 'damaged' and 'recipe.yaml' in listed.detail


def test_values_that_json_lacks_are_an_error_of_one_paragraph(run: Run):
    recipe = yaml_text.read_yaml(run.folder / 'recipe.yaml') | {'day': datetime.date(2020, 1, 1)}
    with pytest.raises(LthError, match='holds values that no recipe has'):
        StoredRun(run.folder, recipe).record(0, 0)


def test_runs_that_name_each_other_as_sources_are_listed_once(tmp_path):
    make_stored_run(tmp_path / 'x', source='../y')
    make_stored_run(tmp_path / 'y', source='../x')
    make_stored_run(tmp_path / 'z', source='../z')
    assert sorted(run.folder.name for run in list_runs(tmp_path)) == ['x', 'y', 'z']
