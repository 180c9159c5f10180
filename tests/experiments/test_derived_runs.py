"""Runs that start from rounds of another run: their recipes, source rounds and fingerprints."""
import shutil
from pathlib import Path

import pytest
import torch

from lth.errors import LthError
from lth.experiments import derived_runs
from lth.experiments.changes import Changes
from lth.experiments.derived_plans import control_plans, finetune_plan
from lth.experiments.folders import control_folder
from lth.experiments.open_run import open_source
from lth.experiments.reporter import SilentReporter
from lth.experiments.resolve import ticket_plan
from lth.experiments.run_target import RunTarget, select_engine
from lth.experiments.runner import run_plan
from lth.runs.folder import Run
from lth.runs.run_path import RunPath

ONE_STEP = Changes(options={
    'algorithm.rounds': 1, 'training.length': '1 iterations', 'training.measure_every': '1 iterations'})


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> Path:
    """A folder with a search of one pruning, of seed 0."""

    folder = tmp_path_factory.mktemp('derived')
    train(ticket_plan('lenet-300-100', 'digits', ONE_STEP), folder / 'search')
    return folder


@pytest.fixture
def search(trained, tmp_path) -> Path:
    shutil.copytree(trained / 'search', tmp_path / 'search')
    return tmp_path / 'search'


def train(plan, folder):
    return run_plan(plan, RunTarget(folder, folder.parent, 'cpu'), [0], SilentReporter())


def run_of(plan, folder) -> Run:
    return Run(folder, plan.recipe.dump(), plan.network)


def test_a_derived_recipe_finetunes_the_round_with_the_settings_of_the_search(search):
    source = open_source(RunPath(search))
    recipe = derived_runs.derived_recipe(source, search.parent / 'deep' / 'finetuned')
    assert recipe['training'] == source.plan.recipe.dump()['training']
    assert recipe['algorithm'] == {'name': 'finetune', 'keep_out': [], 'also_prune': [],
                                   'source': '../../search', 'round': 1,
                                   'kept': 40_260, 'control': 'original'}
    dense = derived_runs.derived_recipe(source, search.parent / 'dense', control='dense')
    assert dense['algorithm']['kept'] == 50_200


def test_finetuning_starts_from_the_first_and_the_given_round(search):
    source, folder = open_source(RunPath(search)), search.parent / 'finetuned'
    plan = finetune_plan(source, folder)
    engine = select_engine(plan, RunTarget(folder, folder, 'cpu'))
    rounds = derived_runs.source_rounds(plan, run_of(plan, folder), [0], engine)
    expected = [source.run.load_round(0, number).ticket for number in (0, 1)]
    assert [round_.number for round_ in rounds] == [0, 1]
    assert all(torch.equal(round_.ticket.weights, ticket.weights) for round_, ticket in zip(rounds, expected))
    assert derived_runs.source_fingerprints(plan, run_of(plan, folder), [0], [0]) == {0: expected[1].fingerprints()}


def test_a_control_starts_from_the_round_of_the_same_number(search):
    source = open_source(RunPath(search))
    plan = control_plans(['reinit'], source.plan, search)['reinit'][0]
    run = run_of(plan, control_folder(search, 'reinit'))
    fingerprints = [source.run.load_round(0, number).ticket.fingerprints() for number in (0, 1)]
    assert derived_runs.source_fingerprints(plan, run, [0], [0, 1]) == dict(enumerate(fingerprints))


def test_a_source_run_without_the_round_is_refused(search):
    source, folder = open_source(RunPath(search)), search.parent / 'finetuned'
    plan = finetune_plan(source, folder)
    shutil.rmtree(search / 'seed-0' / 'round-01')
    engine = select_engine(plan, RunTarget(folder, folder, 'cpu'))
    with pytest.raises(LthError, match=r'has no round 1 of all seeds \[0\], from which this run starts. Resume'):
        derived_runs.source_rounds(plan, run_of(plan, folder), [0], engine)


def test_a_source_ticket_that_was_replaced_is_noticed(search):
    folder = search.parent / 'finetuned'
    plan = finetune_plan(open_source(RunPath(search)), folder)
    run = train(plan, folder)
    derived_runs.refuse_replaced_source(plan, run, [0, 1])
    shutil.rmtree(search)
    options = {**ONE_STEP.options, 'model.initializer': 'he-normal'}
    train(ticket_plan('lenet-300-100', 'digits', Changes(options=options)), search)
    with pytest.raises(LthError, match='another ticket than the one that is now round 1 of seed 0 in .*search'):
        derived_runs.refuse_replaced_source(plan, run, [0])


def test_a_source_ticket_that_keep_removed_is_compared_by_its_record(search):
    folder = search.parent / 'finetuned'
    source = open_source(RunPath(search))
    plan = finetune_plan(source, folder)
    run = train(plan, folder)
    source.run.thin(0, 1, 'last')
    derived_runs.refuse_replaced_source(plan, run, [0])
    shutil.rmtree(search)
    options = {**ONE_STEP.options, 'model.initializer': 'he-normal'}
    train(ticket_plan('lenet-300-100', 'digits', Changes(options=options)), search).thin(0, 1, 'last')
    with pytest.raises(LthError, match='another ticket than the one that is now round 1'):
        derived_runs.refuse_replaced_source(plan, run, [0])


def test_a_source_that_was_replaced_by_a_shorter_run_is_noticed_by_its_last_round(search):
    folder = control_folder(search, 'reinit')
    plan = control_plans(['reinit'], open_source(RunPath(search)).plan, search)['reinit'][0]
    run = train(plan, folder)
    shutil.rmtree(search / 'seed-0' / 'round-01')
    derived_runs.refuse_replaced_source(plan, run, [0])
    shutil.rmtree(search)
    options = {**ONE_STEP.options, 'algorithm.rounds': 0, 'model.initializer': 'he-normal'}
    train(ticket_plan('lenet-300-100', 'digits', Changes(options=options)), search)
    with pytest.raises(LthError, match='another ticket than the one that is now round 0 of seed 0 in .*search'):
        derived_runs.refuse_replaced_source(plan, run, [0])
