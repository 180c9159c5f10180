"""What a run folder refuses to be continued with: another recipe, other inputs, other objects."""
import pytest

from lth.errors import LthError
from lth.experiments.changes import Changes
from lth.experiments.provenance import refuse_other_inputs, refuse_other_objects, refuse_other_recipe, session_entry
from lth.experiments.resolve import ticket_plan
from lth.experiments.run_target import RunTarget
from lth.runs.folder import Run
from lth.system import files, yaml_text
from lth.training.engines import select
from tests.round_files import add_session

ENTRY = {'reader': 'memory', 'network': 'abc', 'pictures': 'def'}


def run_in(folder, **options: object) -> Run:
    plan = ticket_plan('lenet-300-100', 'digits', Changes(options=options))
    return Run(folder, plan.recipe.dump(), plan.network)


def store(run: Run, recipe: dict) -> None:
    files.write(run.folder / 'recipe.yaml', yaml_text.dump_yaml(recipe).encode())


def test_a_folder_without_a_run_accepts_every_recipe(tmp_path):
    refuse_other_recipe(run_in(tmp_path / 'new'))


def test_another_recipe_is_refused_with_each_setting_that_differs(tmp_path):
    run = run_in(tmp_path)
    store(run, run_in(tmp_path, **{'training.batch_size': 30, 'algorithm.rounds': 3}).recipe)
    with pytest.raises(LthError, match=r'another recipe \(there / here\): algorithm.rounds: 3 / \d+; '
                                       'training.batch_size: 30 / 60'):
        refuse_other_recipe(run)


def test_a_recipe_with_another_source_text_or_without_newer_settings_is_the_same(tmp_path):
    run = run_in(tmp_path)
    stored = {**run.recipe, 'source': 'my thesis', 'data': {**run.recipe['data']}}
    del stored['data']['resized_crop']
    stored['model'] = {**run.recipe['model'], 'name': 'LeNet_300_100'}
    store(run, stored)
    refuse_other_recipe(run)


@pytest.mark.parametrize(('key', 'message'), [
    ('reader', r'another image reader \(reader: memory / changed\)'),
    ('network', r'another network \(network: abc / changed\)'),
    ('pictures', r'other images \(pictures: def / changed\)')])
def test_other_inputs_than_those_of_earlier_sessions_are_refused(tmp_path, key, message):
    run = run_in(tmp_path)
    add_session(tmp_path, ENTRY)
    add_session(tmp_path, {})
    refuse_other_inputs(run, ENTRY)
    with pytest.raises(LthError, match=message):
        refuse_other_inputs(run, ENTRY | {key: 'changed'})


def test_inputs_that_no_session_recorded_are_accepted(tmp_path):
    refuse_other_inputs(run_in(tmp_path), ENTRY)


def test_names_of_models_and_data_that_are_not_objects_are_left_to_the_recipe(tmp_path):
    run = run_in(tmp_path)
    store(run, run.recipe)
    refuse_other_objects(tmp_path, {'model': 'conv-2', 'data': 'mnist'})


def test_a_session_entry_has_what_later_sessions_are_compared_with(tmp_path):
    plan = ticket_plan('lenet-300-100', 'digits', Changes())
    engine = select.select_engine('cpu', choice='eager', capturable=True, obstacle=None)
    data = plan.read(tmp_path)
    target = RunTarget(tmp_path, tmp_path, threads=2, engine='eager', deterministic=True)
    entry = session_entry(plan, engine, data, target, [0])
    assert (entry['engine'], entry['device'], entry['choice'], entry['threads']) == ('eager', 'cpu', 'eager', 2)
    assert entry['deterministic'] is True
    assert entry['network'] == plan.network.fingerprint and entry['pictures'] == data.fingerprint
    assert (entry['rounds'], entry['reader']) == (0, data.reader)
