"""The run folder: which rounds exist, what is saved, what is refused, what a killed session leaves."""
import shutil
from dataclasses import replace

import pytest
import torch

from lth.errors import LthError
from lth.runs import sessions
from lth.runs.folder import Run
from lth.runs.last_session import last_session
from lth.system import files, yaml_text
from tests.conftest import make_task
from tests.round_files import add_session
from tests.runs.conftest import RECIPE


def test_stored_rounds_are_read_as_they_were_saved(run, rounds):
    stored = run.stored_rounds((0, 7), torch.device('cpu'))
    assert len(stored) == 2
    for read, saved in zip(stored, rounds, strict=True):
        assert read.number == saved.number and read.ticket.iteration == saved.ticket.iteration
        assert read.trained.history == saved.trained.history
        assert torch.equal(read.ticket.mask, saved.ticket.mask)
        assert torch.equal(read.ticket.weights, saved.ticket.weights)
        assert torch.equal(read.trained.weights, saved.trained.weights)
        assert all(torch.equal(read.ticket.buffers[name], buffer) for name, buffer in saved.ticket.buffers.items())


def test_a_slice_of_stored_rounds_holds_the_later_ones(run, rounds):
    later = run.stored_rounds((7, 0), torch.device('cpu'))[1:]
    assert [round_.number for round_ in later] == [1]
    assert torch.equal(later[0].ticket.mask, rounds[1].ticket.mask.flip(0))


def test_a_seed_trained_with_others_is_saved_as_if_alone(run, rounds):
    assert [path.name for path in sorted(run.folder.iterdir())] == ['recipe.yaml', 'seed-0', 'seed-7']
    assert sorted(path.name for path in run.round_folder(7, 1).iterdir()) == [
        'SHA256SUMS', 'mask.safetensors', 'metrics.jsonl', 'round.json', 'ticket.safetensors', 'trained.safetensors']
    assert torch.equal(run.load_round(7, 1).ticket.weights[0], rounds[1].ticket.weights[1])


def test_a_round_exists_only_under_its_final_name(run):
    run.round_folder(0, 1).rename(run.round_folder(0, 1).with_suffix('.partial'))
    assert (run.round_count(0), run.round_count(7), run.round_count(3)) == (1, 2, 0)
    assert len(run.stored_rounds((0, 7), torch.device('cpu'))) == 1 and run.seeds() == [0, 7]


def test_a_file_with_the_name_of_a_round_is_an_error(run):
    shutil.rmtree(run.round_folder(7, 1))
    run.round_folder(7, 1).write_text('')
    with pytest.raises(LthError, match='seed-7/round-01 is not a folder.*lth repair'):
        run.seeds()


def test_a_seed_without_a_completed_round_is_not_listed(run):
    shutil.rmtree(run.round_folder(7, 0))
    (run.folder / 'seed-x').mkdir()
    assert run.seeds() == [0]


def test_saving_a_round_again_is_accepted_only_if_it_is_the_same(run, rounds):
    run.save(rounds[1], (0, 7))
    other = replace(rounds[1], trained=replace(rounds[1].trained, weights=rounds[1].trained.weights * 2))
    with pytest.raises(LthError, match='exists already and differs'):
        run.save(other, (0, 7))


def test_leftovers_of_a_killed_session_are_removed_and_do_not_count_as_other_content(tmp_path):
    run = Run(tmp_path, RECIPE, make_task().network)
    (tmp_path / 'recipe.yaml.123.partial').write_text('mod')
    (tmp_path / '.lock').write_text('')
    assert run.stored_recipe() is None
    (tmp_path / 'seed-0' / 'round-00.partial').mkdir(parents=True)
    (tmp_path / 'seed-0' / 'round-00.partial' / 'mask.safetensors.123.partial').write_text('half')
    (tmp_path / 'seed-1' / 'round-00.partial').mkdir(parents=True)
    run.remove_leftovers([0])
    assert not list(tmp_path.glob('seed-0/*')) and list(tmp_path.glob('seed-1/*'))


def test_a_folder_with_only_the_recipe_of_lth_and_locks_is_unused(tmp_path):
    run = Run(tmp_path, RECIPE, make_task().network)
    assert run.is_unused()
    (tmp_path / 'seed-0').mkdir()
    (tmp_path / 'seed-0' / 'lock').write_text('')
    assert run.stored_recipe() is None and run.is_unused()
    files.write(run.recipe_file, yaml_text.dump_yaml(RECIPE).encode())
    assert run.is_unused()
    (tmp_path / 'seed-0' / 'round-00').mkdir()
    assert not run.is_unused()
    (tmp_path / 'seed-0' / 'round-00').rmdir()
    files.write(run.recipe_file, yaml_text.dump_yaml({'training': {}}).encode())  # a recipe that the user wrote
    assert not run.is_unused()


def test_a_session_of_a_run_with_another_recipe_is_refused_and_one_without_a_digest_is_not(tmp_path):
    run = Run(tmp_path / 'run', RECIPE, make_task().network)
    entry = {'start': '2026-11-27T03:15:00+00:00', 'host': 'h', 'process': 1}
    assert run.sessions() == []
    run.begin()
    sessions.write(run.folder, entry)
    sessions.write(run.folder, entry | {'process': 2, 'recipe': run.digest})
    assert len(run.sessions()) == 2
    other = replace(run, recipe=RECIPE | {'data': {'name': 'other'}})
    sessions.write(run.folder, entry | {'process': 3, 'recipe': other.digest})
    with pytest.raises(LthError, match=r'-3.json does not belong there: it is of a run with another recipe.*repair'):
        run.sessions()


def test_the_recipe_of_a_folder_without_sessions_does_not_decide_the_digest(tmp_path):
    run = Run(tmp_path, RECIPE, make_task().network)
    fresh = replace(run).digest
    files.write(run.recipe_file, yaml_text.dump_yaml({key: {} for key in RECIPE}).encode())
    run.sessions()
    files.write(run.recipe_file, yaml_text.dump_yaml(RECIPE).encode())
    assert run.digest == fresh


def test_a_folder_with_other_content_is_refused(tmp_path):
    (tmp_path / 'thesis.tex').write_text('')
    with pytest.raises(LthError, match='is not empty and is not a run'):
        Run(tmp_path, RECIPE, make_task().network).stored_recipe()
    with pytest.raises(LthError, match='thesis.tex is a file'):
        Run(tmp_path / 'thesis.tex', RECIPE, make_task().network).stored_recipe()


def test_a_run_in_the_folder_of_a_seed_of_another_run_is_refused(run):
    with pytest.raises(LthError, match='is a folder for a seed of the run'):
        Run(run.folder / 'seed-3', RECIPE, run.network).stored_recipe()
    assert Run(run.folder / 'seed-03', RECIPE, run.network).stored_recipe() is None
    assert Run(run.folder.parent / 'seed-3', RECIPE, run.network).stored_recipe() is None


@pytest.mark.parametrize(('entries', 'choice'), [
    ([], None), ([{'choice': 'sparse'}], 'sparse'), ([{'choice': 'sparse'}, {'choice': 'plain'}], 'eager'),
    ([{'device': 'cpu'}], 'eager'), ([{'device': 'cuda:0'}], 'auto')])
def test_the_engine_choice_is_read_from_the_last_session_even_of_an_earlier_version(tmp_path, entries, choice):
    for entry in entries:
        add_session(tmp_path, entry)
    assert last_session(Run(tmp_path, RECIPE, make_task().network)).engine == choice
