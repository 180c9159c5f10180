"""The files of a round: what they hold, and how files that are corrupt or in the wrong place are noticed."""
import pytest
import torch
from safetensors.torch import load_file, save_file

from lth.errors import LthError
from lth.pruning.effective_sparsity import ConnectedTotals
from lth.pruning.tickets import Round, dense_ticket, train_ticket
from lth.runs.folder import Run
from lth.runs.round_files import connected_totals_of
from lth.system import tensor_files
from tests.conftest import make_task
from tests.runs.conftest import RECIPE


def test_files_load_into_a_torch_module_without_this_package(run):
    module = make_task('resnet20', shape=(3, 8, 8)).network.module
    result = module.load_state_dict(load_file(run.round_folder(0, 1) / 'trained.safetensors'))
    assert not result.missing_keys and not result.unexpected_keys
    masks = load_file(run.round_folder(0, 1) / 'mask.safetensors')
    assert all(mask.dtype == torch.bool for mask in masks.values())
    assert all(module.get_parameter(name).shape == mask.shape for name, mask in masks.items())
    assert all(module.get_parameter(name)[~mask].abs().sum() == 0 for name, mask in masks.items())


def test_the_header_describes_the_round(run, rounds):
    header = run.header(7, 1)
    kept = int(rounds[1].ticket.mask[1].sum())
    assert {key: header[key] for key in ('format', 'seed', 'round', 'kept', 'iteration', 'dataset', 'holds')} == {
        'format': 1, 'seed': 7, 'round': 1, 'kept': kept, 'iteration': 0, 'dataset': 'made-up', 'holds': 'trained'}
    assert header['density'] == kept / header['weights']
    assert header['test_accuracy'] == rounds[1].trained.history[-1].test.accuracy[1]


@pytest.mark.parametrize('key', ['connected', 'carrying'])
def test_connected_units_are_read_under_their_present_and_former_name(key):
    entry = {'inputs': 61, 'of_inputs': 64, 'units': 400, 'of_units': 410}
    assert connected_totals_of({key: entry}) == ConnectedTotals(61, 64, 400, 410)


@pytest.mark.parametrize('header', [{}, {'connected': None}, {'carrying': None}])
def test_connected_units_that_are_unknown_are_none(header):
    assert connected_totals_of(header) is None


def test_a_header_counts_connected_units_of_the_mask(tmp_path):
    task = make_task('lenet-300-100', shape=(1, 2, 2))  # 4 classes
    ticket = dense_ticket(task)
    ticket.mask[:, :300 * 4] = False
    run = Run(tmp_path / 'run', RECIPE, task.network)
    run.save(Round(0, ticket, train_ticket(task, ticket)), (0,))
    assert run.header(0, 0)['connected'] == {'inputs': 0, 'of_inputs': 4, 'units': 404, 'of_units': 404}


@pytest.mark.parametrize('name', ['mask.safetensors', 'ticket.safetensors', 'trained.safetensors', 'metrics.jsonl'])
def test_a_truncated_file_is_reported_as_corrupt(run, name):
    path = run.round_folder(0, 1) / name
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(LthError, match=f'{name} is (missing or )?corrupt'):
        run.load_round(0, 1)


@pytest.mark.parametrize('change', [
    lambda rows: rows[:-1], lambda rows: [*rows, rows[-1]], lambda rows: ['{"a": 1}'] * len(rows),
    lambda rows: ['3'] * len(rows), lambda rows: []])
def test_metrics_with_other_lines_than_were_written_are_reported_as_corrupt(run, change):
    path = run.round_folder(0, 1) / 'metrics.jsonl'
    path.write_text('\n'.join(change(path.read_text().splitlines())))
    with pytest.raises(LthError, match='metrics.jsonl is missing or corrupt .*round-01 and all later rounds'):
        run.metrics(0, 1)


@pytest.mark.parametrize('entry', ['xx', '[]', '{}', '3'])
def test_a_header_that_lth_did_not_write_is_refused(run, entry):
    path = run.round_folder(0, 1) / 'trained.safetensors'
    save_file(load_file(path), path, {'lth': entry})
    with pytest.raises(LthError, match='trained.safetensors (was not written by lth|is not the file that belongs)'):
        run.header(0, 1)


@pytest.mark.parametrize('change', [lambda mask: mask.float(), lambda mask: torch.ones_like(mask)])
def test_a_mask_that_is_not_bool_or_not_the_recorded_one_is_refused(run, change):
    path = run.round_folder(0, 1) / 'mask.safetensors'
    header, masks = tensor_files.read(path)
    path.write_bytes(tensor_files.encode({name: change(mask) for name, mask in masks.items()}, header))
    with pytest.raises(LthError, match='does not contain masks|do not belong together'):
        run.load_round(0, 1)


def test_pruned_weights_that_differ_between_ticket_and_trained_are_noticed(run):
    path = run.round_folder(0, 1) / 'trained.safetensors'
    header, tensors = tensor_files.read(path)
    path.write_bytes(tensor_files.encode({name: tensor + 1 for name, tensor in tensors.items()}, header))
    with pytest.raises(LthError, match='do not belong together'):
        run.load_round(0, 1)


def test_a_file_of_another_seed_is_refused(run):
    other = run.round_folder(7, 1) / 'ticket.safetensors'
    (run.round_folder(0, 1) / 'ticket.safetensors').write_bytes(other.read_bytes())
    with pytest.raises(LthError, match='is not the file that belongs there: its seed is 7, not 0'):
        run.load_round(0, 1)


def test_a_file_of_an_earlier_version_may_lack_new_settings_of_the_model(run):
    newer = Run(run.folder, {**RECIPE, 'model': {**RECIPE['model'], 'option': 'default'}}, run.network)
    assert newer.header(0, 1)['seed'] == 0
    other = Run(run.folder, {**RECIPE, 'model': {'name': 'resnet20'}}, run.network)
    with pytest.raises(LthError, match='its model is'):
        other.header(0, 1)


def test_a_file_of_another_network_is_refused_with_the_first_tensor_that_differs(run):
    other = Run(run.folder, RECIPE, make_task('lenet-300-100').network)
    message = r'does not fit lenet-300-100: blocks.0.main.0.weight is \(.*\) in the file and absent in the network'
    with pytest.raises(LthError, match=message):
        other.load_round(0, 1)
