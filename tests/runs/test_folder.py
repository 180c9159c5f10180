"""The run folder."""
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lth.algorithms.imp import Settings, find_ticket
from lth.analysis.summary_table import summary_rows
from lth.errors import LthError
from lth.pruning.tickets import Round
from lth.runs.folder import Run
from lth.runs.round_files import early_stop
from lth.system import tensor_files
from tests.conftest import make_task

RECIPE = {'model': {'name': 'lenet-300-100'}, 'data': {'name': 'made-up'}, 'training': {'batch_size': 8}}


@pytest.fixture(scope='module')
def found() -> list[Round]:
    task = make_task('resnet20', shape=(3, 8, 8), seeds=(0, 7), length='1 epochs')
    return list(find_ticket(task, Settings(name='magnitude', rounds=1), ()))


def saved(folder: Path, found: list[Round], seeds: tuple[int, ...] = (0, 7)) -> Run:
    run = Run(folder / 'run', RECIPE, make_task('resnet20', shape=(3, 8, 8)).network)
    for one in found:
        run.save(one, seeds)
    return run


def test_what_is_read_is_what_was_written(tmp_path, found):
    past = saved(tmp_path, found).stored_rounds((0, 7), torch.device('cpu'))
    assert len(past) == 2
    for mine, theirs in zip(past, found, strict=True):
        assert mine.number == theirs.number and mine.ticket.iteration == theirs.ticket.iteration
        assert torch.equal(mine.ticket.mask, theirs.ticket.mask)
        assert torch.equal(mine.ticket.weights, theirs.ticket.weights)
        assert torch.equal(mine.trained.weights, theirs.trained.weights)
        assert all(torch.equal(mine.ticket.buffers[name], buffer) for name, buffer in theirs.ticket.buffers.items())


def test_a_seed_trained_beside_others_is_stored_as_if_alone(tmp_path, found):
    run = saved(tmp_path, found)
    assert [path.name for path in sorted(run.folder.iterdir())] == ['recipe.yaml', 'seed-0', 'seed-7']
    assert sorted(path.name for path in run.round_folder(7, 1).iterdir()) == [
        'mask.safetensors', 'metrics.jsonl', 'ticket.safetensors', 'trained.safetensors']
    assert torch.equal(run.load_round(7, 1).ticket.weights[0], found[1].ticket.weights[1])


def test_files_load_into_a_plain_module_without_this_package(tmp_path, found):
    run = saved(tmp_path, found)
    module = make_task('resnet20', shape=(3, 8, 8)).network.module
    missing = module.load_state_dict(load_file(run.round_folder(0, 1) / 'trained.safetensors'))
    assert not missing.missing_keys and not missing.unexpected_keys
    masks = load_file(run.round_folder(0, 1) / 'mask.safetensors')
    assert all(mask.dtype == torch.bool for mask in masks.values())
    assert all(module.get_parameter(name).shape == mask.shape for name, mask in masks.items())
    assert all(module.get_parameter(name)[~mask].abs().sum() == 0 for name, mask in masks.items())


def test_the_header_explains_the_file(tmp_path, found):
    header = saved(tmp_path, found).header(7, 1)
    kept = int(found[1].ticket.mask[1].sum())
    assert {key: header[key] for key in ('format', 'seed', 'round', 'kept', 'iteration', 'dataset', 'holds')} == {
        'format': 1, 'seed': 7, 'round': 1, 'kept': kept, 'iteration': 0, 'dataset': 'made-up', 'holds': 'trained'}
    assert header['density'] == kept / header['weights']
    assert header['test_accuracy'] == found[1].trained.history[-1].test.accuracy[1]


def test_a_round_exists_only_under_its_final_name(tmp_path, found):
    run = saved(tmp_path, found)
    run.round_folder(0, 1).rename(run.round_folder(0, 1).with_suffix('.partial'))
    assert (run.round_count(0), run.round_count(7), run.round_count(3)) == (1, 2, 0)
    assert len(run.stored_rounds((0, 7), torch.device('cpu'))) == 1 and run.seeds() == [0, 7]


@pytest.mark.parametrize('name', ['mask.safetensors', 'ticket.safetensors', 'trained.safetensors', 'metrics.jsonl'])
def test_a_torn_file_is_named_and_never_half_read(tmp_path, found, name):
    run = saved(tmp_path, found)
    path = run.round_folder(0, 1) / name
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(LthError, match=f'{name} is (missing or )?(torn|corrupt)'):
        run.load_round(0, 1)


@pytest.mark.parametrize('lines', [
    lambda rows: rows[:-1], lambda rows: [*rows, rows[-1]], lambda rows: ['{"a": 1}'] * len(rows),
    lambda rows: ['3'] * len(rows), lambda rows: []])
def test_metrics_with_other_lines_than_were_written_are_torn(tmp_path, found, lines):
    run = saved(tmp_path, found)
    path = run.round_folder(0, 1) / 'metrics.jsonl'
    path.write_text('\n'.join(lines(path.read_text().splitlines())))
    with pytest.raises(LthError, match='metrics.jsonl is missing or torn'):
        run.metrics(0, 1)


@pytest.mark.parametrize('entry', ['xx', '[]', '{}', '3'])
def test_a_header_that_is_not_ours_is_refused(tmp_path, found, entry):
    run = saved(tmp_path, found)
    path = run.round_folder(0, 1) / 'trained.safetensors'
    save_file(load_file(path), path, {'lth': entry})
    with pytest.raises(LthError, match='trained.safetensors (was not written by lth|does not belong there)'):
        run.header(0, 1)


@pytest.mark.parametrize('change', [lambda mask: mask.float(), lambda mask: torch.ones_like(mask)])
def test_a_mask_that_is_none_or_not_the_recorded_one_is_refused(tmp_path, found, change):
    run = saved(tmp_path, found)
    path = run.round_folder(0, 1) / 'mask.safetensors'
    header, masks = tensor_files.read(path)
    path.write_bytes(tensor_files.encode({name: change(mask) for name, mask in masks.items()}, header))
    with pytest.raises(LthError, match='does not hold masks|do not belong together'):
        run.load_round(0, 1)


def test_training_that_touched_pruned_weights_is_noticed(tmp_path, found):
    run = saved(tmp_path, found)
    path = run.round_folder(0, 1) / 'trained.safetensors'
    header, tensors = tensor_files.read(path)
    path.write_bytes(tensor_files.encode({name: tensor + 1 for name, tensor in tensors.items()}, header))
    with pytest.raises(LthError, match='do not belong together'):
        run.load_round(0, 1)


def test_a_round_that_is_there_already_must_be_the_same(tmp_path, found):
    run = saved(tmp_path, found)
    run.save(found[1], (0, 7))
    path = run.round_folder(7, 1) / 'metrics.jsonl'
    path.write_text(path.read_text() + ' ')
    with pytest.raises(LthError, match='is there already and differs'):
        run.save(found[1], (0, 7))


@pytest.mark.parametrize('content', ['[1', '', '3', '{}', '"x"', '[3]'])
def test_a_record_of_sessions_that_is_none_is_refused(tmp_path, found, content):
    run = saved(tmp_path, found)
    (run.folder / 'environment.json').write_text(content)
    with pytest.raises(LthError, match='environment.json'):
        run.sessions()


def test_left_overs_of_a_killed_session_are_no_foreign_files_and_are_cleared_away(tmp_path):
    run = Run(tmp_path, RECIPE, make_task().network)
    (tmp_path / 'recipe.yaml.123.partial').write_text('mod')
    (tmp_path / 'seed-0').mkdir()
    (tmp_path / 'seed-0' / 'round-00.partial').mkdir()
    (tmp_path / '.lock').write_text('')
    (tmp_path / 'seed-0').rename(tmp_path / '.seed')
    assert run.stored_recipe() is None
    (tmp_path / '.seed').rename(tmp_path / 'seed-0')
    run.remove_leftovers()
    assert sorted(path.name for path in tmp_path.rglob('*')) == ['.lock', 'seed-0']


def test_a_file_of_another_place_is_refused(tmp_path, found):
    run = saved(tmp_path, found)
    other = run.round_folder(7, 1) / 'ticket.safetensors'
    (run.round_folder(0, 1) / 'ticket.safetensors').write_bytes(other.read_bytes())
    with pytest.raises(LthError, match='does not belong there: its seed is 7, expected 0'):
        run.load_round(0, 1)


def test_a_file_of_another_network_names_the_first_tensor_that_differs(tmp_path, found):
    run = saved(tmp_path, found)
    other = Run(run.folder, RECIPE, make_task('lenet-300-100').network)
    says = 'does not fit lenet-300-100: blocks.0.main.0.weight is .* absent in the network'
    with pytest.raises(LthError, match=says):
        other.load_round(0, 1)


def test_a_folder_with_something_else_in_it_is_refused(tmp_path):
    (tmp_path / 'thesis.tex').write_text('')
    with pytest.raises(LthError, match='is no run of lth'):
        Run(tmp_path, RECIPE, make_task().network).stored_recipe()


def test_sessions_are_added_and_brought_up_to_date(tmp_path, found):
    run = saved(tmp_path, found)
    run.record_session({'start': 1, 'rounds': 1}, first=True)
    run.record_session({'start': 1, 'rounds': 2}, first=False)
    run.record_session({'start': 2, 'rounds': 1}, first=True)
    sessions = json.loads((run.folder / 'environment.json').read_text())
    assert sessions == [{'start': 1, 'rounds': 2}, {'start': 2, 'rounds': 1}]


def test_the_early_stop_is_the_first_of_least_validation_loss():
    losses = {0: 2., 5: 0.5, 10: 0.4, 15: 0.4, 20: 0.6}
    rows = [{'iteration': step, 'validation_loss': loss} for step, loss in losses.items()]
    assert early_stop(rows)['iteration'] == 10


def test_a_seed_of_several_draws_counts_once(tmp_path, found):
    run = saved(tmp_path, found)
    once, twice = summary_rows([run], [0, 7])[1], summary_rows([run, run], [0, 7])[1]
    assert twice[:-1] == once[:-1] and once.test_accuracy.n == 2
    assert [(one.draw, one.seed) for one in twice.outcomes] == [(1, 0), (1, 7), (2, 0), (2, 7)]


def test_the_table_has_means_over_the_seeds_that_have_the_round(tmp_path, found):
    run = saved(tmp_path, found)
    for path in run.round_folder(7, 1).iterdir():
        path.unlink()
    run.round_folder(7, 1).rmdir()
    first, second = summary_rows([run], [0, 7])
    accuracies = found[0].trained.history[-1].test.accuracy
    assert first.test_accuracy.mean == pytest.approx(sum(accuracies) / 2) and first.test_accuracy.n == 2
    assert second.test_accuracy.n == 1 and second.test_accuracy.margin is None
