"""Opening a run by a path: which run, seed and round it names, and what is refused."""
import shutil
from pathlib import Path

import pytest

from lth.errors import LthError
from lth.experiments.changes import Changes
from lth.experiments.folders import derived_folder, run_folder
from lth.experiments.open_run import open_run, open_source, select_round
from lth.experiments.reporter import SilentReporter
from lth.experiments.resolve import ticket_plan
from lth.experiments.run_target import RunTarget
from lth.experiments.runner import run_plan
from lth.runs.run_path import RunPath, parse_run_path
from lth.system import yaml_text


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    """A folder with a search of two prunings and the seeds 0 and 3, all of whose rounds train for one iteration."""

    folder = tmp_path_factory.mktemp('open')
    options = {'algorithm.rounds': 2, 'training.length': '1 iterations', 'training.measure_every': '1 iterations'}
    plan = ticket_plan('lenet-300-100', 'digits', Changes(options=options))
    run_plan(plan, RunTarget(folder / 'search', folder, 'cpu', in_process=True), [0, 3], SilentReporter())
    return folder


@pytest.fixture
def folder(trained, tmp_path, monkeypatch) -> Path:
    shutil.copytree(trained, tmp_path / 'runs')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(('path', 'expected'), [
    ('search', RunPath(Path('runs/search'))), ('runs/search', RunPath(Path('runs/search'))),
    ('search/seed-3', RunPath(Path('runs/search'), 3)), ('search/seed-3/', RunPath(Path('runs/search'), 3)),
    ('search/seed-0/round-01', RunPath(Path('runs/search'), 0, 1)), ('search/seed-7', RunPath(Path('runs/search'), 7))])
@pytest.mark.usefixtures('folder')
def test_a_path_names_a_run_a_seed_or_a_round(path, expected):
    assert parse_run_path(path) == expected


def test_the_current_folder_is_a_run_path(folder, monkeypatch):
    monkeypatch.chdir(folder / 'runs/search')
    assert parse_run_path('.') == RunPath(Path('.'))


@pytest.mark.parametrize('path', ['nothing', 'search/seed-x', 'search/round-01', 'search/seed-0/trained'])
@pytest.mark.usefixtures('folder')
def test_other_paths_are_not_a_run(path):
    with pytest.raises(LthError, match=f'{path!r} is not a run. Give a run folder'):
        parse_run_path(path)


@pytest.mark.parametrize('path', ['.', 'runs'])
@pytest.mark.usefixtures('folder')
def test_a_folder_of_runs_is_not_a_run_and_its_runs_are_named(path):
    with pytest.raises(LthError, match=f'{path!r} is not a run, but it holds runs: runs/search. Give one of them.'):
        parse_run_path(path)


def test_open_run_has_the_plan_of_the_stored_recipe(folder):
    plan, run = open_run(parse_run_path('search'))
    # Layers of 19,200, 30,000 and 1,000 weights, pruned by 20%, 20% and 10%.
    assert plan.kept == [50_200, 40_260, 32_298] and run.seeds() == [0, 3]
    assert run.folder == Path('runs/search') and plan.recipe.dump() == run.recipe
    assert (folder / run.folder).is_dir()


@pytest.mark.parametrize(('path', 'message'), [
    ('search/seed-7', r'has no round 0 of seed 7. Its seeds are \[0, 3\], and seed 7 has 0 rounds'),
    ('search/seed-3/round-05', 'has no round 5 of seed 3.*seed 3 has 3 rounds')])
@pytest.mark.usefixtures('folder')
def test_open_run_refuses_a_seed_or_round_that_the_run_lacks(path, message):
    with pytest.raises(LthError, match=message):
        open_run(parse_run_path(path))


def test_open_run_refuses_a_run_without_a_completed_round(folder):
    for seed in (0, 3):
        shutil.rmtree(folder / f'runs/search/seed-{seed}')
    with pytest.raises(LthError, match='has no completed round yet'):
        open_run(parse_run_path('search'))


@pytest.mark.usefixtures('folder')
def test_open_source_takes_the_last_round_and_all_seeds_by_default():
    source = open_source(parse_run_path('search'))
    assert (list(source.seeds), source.number, source.kept) == ([0, 3], 2, 32_298)
    assert list(open_source(parse_run_path('search'), most_seeds=1).seeds) == [0]
    assert list(open_source(parse_run_path('search/seed-3'), number=1).seeds) == [3]
    with pytest.raises(LthError, match='has no seed 1; its seeds are'):
        open_source(parse_run_path('search'), seeds=[0, 1])


def test_select_round_of_an_incomplete_run_must_be_given(folder):
    shutil.rmtree(folder / 'runs/search/seed-3/round-02')
    plan, run = open_run(parse_run_path('search'))
    assert select_round(plan, run, [0], None, None) == 2
    assert select_round(plan, run, [0, 3], None, 1) == 1
    with pytest.raises(LthError, match='it has 2 of 3 rounds. Resume the run, or choose .* --round 1'):
        select_round(plan, run, [0, 3], None, None)
    with pytest.raises(LthError, match='has no round 2 of all seeds'):
        select_round(plan, run, [0, 3], 2, None)
    with pytest.raises(LthError, match='--round 0: the path of the run names round 1'):
        select_round(plan, run, [0, 3], 1, 0)


@pytest.mark.usefixtures('folder')
def test_derived_folders_lie_next_to_the_run_and_name_seed_and_round():
    for path, number, name in (
            ('search', 2, 'search-finetuned-round-02'), ('search/seed-3', 2, 'search-finetuned-seed-3-round-02'),
            ('search/seed-3/round-01', 1, 'search-finetuned-seed-3-round-01')):
        assert derived_folder(parse_run_path(path), number, 'finetuned') == Path('runs') / name


@pytest.mark.usefixtures('folder')
@pytest.mark.parametrize(('recipe', 'algorithm'), [
    ('recipe.yaml', {'round': 2}), ('recipe.yaml', {'rounds': [0, 2]}), ('original/recipe.yaml', {'round': 2})])
def test_a_derived_folder_of_an_earlier_version_is_taken_if_its_recipe_names_the_round(recipe, algorithm):
    path, older, newer = parse_run_path('search'), Path('runs/search-made'), Path('runs/search-made-round-02')
    (older / recipe).parent.mkdir(parents=True)
    (older / recipe).write_text(yaml_text.dump_yaml({'algorithm': algorithm}))
    assert derived_folder(path, 2, 'made') == older
    assert derived_folder(path, 1, 'made') == Path('runs/search-made-round-01')
    newer.mkdir()
    assert derived_folder(path, 2, 'made') == newer


@pytest.mark.usefixtures('folder')
@pytest.mark.parametrize('recipe', ['algorithm: 3', 'algorithm: {rounds: 2}', 'algorithm: {rounds: []}', '][', '- 1'])
def test_an_older_folder_with_another_recipe_is_not_taken(recipe):
    Path('runs/search-made').mkdir()
    Path('runs/search-made/recipe.yaml').write_text(recipe)
    assert derived_folder(parse_run_path('search'), 2, 'made') == Path('runs/search-made-round-02')


@pytest.mark.parametrize(('name', 'expected'), [
    (None, 'runs/net.py-small-digits'), ('mine', 'runs/mine'), ('./mine', 'mine'), ('/tmp/mine', '/tmp/mine')])
def test_a_run_folder_is_in_runs_unless_a_path_is_given(name, expected):
    assert run_folder(name, 'net.py:small-digits') == Path(expected)
