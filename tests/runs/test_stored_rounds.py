"""The files of a round: what they hold, and how damaged, foreign and misplaced ones are noticed."""
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lth.errors import LthError
from lth.pruning.effective_sparsity import ConnectedTotals
from lth.pruning.tickets import Round, dense_ticket, train_ticket
from lth.runs.folder import Run
from lth.runs.round_record import RoundRecord
from tests.conftest import make_task
from tests.round_files import forge, forge_json, forge_tensors, header, read
from tests.runs.conftest import RECIPE


def test_files_load_into_a_torch_module_without_this_package(run):
    module = make_task('resnet20', shape=(3, 8, 8)).network.module
    result = module.load_state_dict(load_file(run.round_folder(0, 1) / 'trained.safetensors'))
    assert not result.missing_keys and not result.unexpected_keys
    masks = load_file(run.round_folder(0, 1) / 'mask.safetensors')
    assert all(mask.dtype == torch.bool for mask in masks.values())
    assert all(module.get_parameter(name).shape == mask.shape for name, mask in masks.items())
    assert all(module.get_parameter(name)[~mask].abs().sum() == 0 for name, mask in masks.items())


def test_the_header_and_the_record_describe_the_round(run, rounds):
    record, kept = run.record(7, 1), int(rounds[1].ticket.mask[1].sum())
    assert (record.format, record.seed, record.round, record.kept, record.iteration, record.dataset) == (
        2, 7, 1, kept, 0, 'made-up')
    assert record.density == kept / record.weights
    last = rounds[1].trained.history[-1]
    assert record.test_accuracy == record.last.test_accuracy == last.test.accuracy[1]
    assert record.early_stop.validation_loss == min(line.validation_loss for line in run.metrics(7, 1))
    entries = header(run.round_folder(7, 1) / 'trained.safetensors')
    assert entries.pop('holds') == 'trained'
    stored = json.loads((run.round_folder(7, 1) / 'round.json').read_text())
    assert {key: stored[key] for key in entries} == entries and stored.keys() - entries == {
        'last', 'early_stop', 'layers', 'unpruned', 'steps'}


def test_the_record_has_the_fingerprint_of_the_ticket_as_it_is_read(run):
    for seed in (0, 7):
        assert run.record(seed, 1).ticket == run.load_ticket(seed, 1).fingerprints()[0]


def test_sha256sum_accepts_the_checksums(run):
    for command in ('sha256sum', '-c', '--strict', 'SHA256SUMS'), :
        result = subprocess.run(command, cwd=run.round_folder(0, 1), capture_output=True, text=True, check=False)
        assert result.returncode == 0 and result.stdout.count(': OK') == 5 and not result.stderr


@pytest.mark.parametrize('key', ['connected', 'carrying'])
def test_connected_units_are_read_under_their_present_and_former_name(run, key):
    facts = run.record(0, 1).dump()
    del facts['connected']
    facts[key] = {'inputs': 61, 'of_inputs': 64, 'units': 400, 'of_units': 410}
    assert RoundRecord.model_validate(facts).connected_totals == ConnectedTotals(61, 64, 400, 410)


def test_connected_units_that_are_unknown_are_none(run):
    assert RoundRecord.model_validate(run.record(0, 1).dump() | {'connected': None}).connected_totals is None


def test_a_record_counts_connected_units_of_the_mask(tmp_path):
    task = make_task('lenet-300-100', shape=(1, 2, 2))  # 4 classes
    ticket = dense_ticket(task)
    ticket.mask[:, :300 * 4] = False
    run = Run(tmp_path / 'run', RECIPE, task.network)
    run.save(Round(0, ticket, train_ticket(task, ticket)), (0,))
    assert run.record(0, 0).connected_totals == ConnectedTotals(0, 4, 404, 404)


def some(cases: list, default: Callable[[Any], bool]) -> list:
    """The cases, of which the ones that are not in the default part run in the slow part of the suite."""

    return [case if default(case) else pytest.param(*case, marks=pytest.mark.slow) for case in cases]


NAMES = ['mask.safetensors', 'ticket.safetensors', 'trained.safetensors', 'metrics.jsonl', 'round.json', 'SHA256SUMS']
DAMAGE = {
    'cut': lambda path: path.write_bytes(path.read_bytes()[:-7]),
    'empty': lambda path: path.write_bytes(b''),
    'longer': lambda path: path.write_bytes(path.read_bytes() + b'x'),
    'bit': lambda path: path.write_bytes(path.read_bytes()[:-2] + bytes([path.read_bytes()[-2] ^ 1]) + b'\n'),
    'huge': lambda path: os.truncate(path, 2 ** 40),
    'missing': lambda path: path.unlink(),
    'folder': lambda path: (path.unlink(), path.mkdir()),
    'pipe': lambda path: (path.unlink(), os.mkfifo(path)),
    'device': lambda path: (path.unlink(), path.symlink_to('/dev/zero'))}


@pytest.mark.parametrize(('name', 'damage'), some(
    [(name, damage) for name in NAMES for damage in DAMAGE],
    lambda case: case[1] == 'bit' or case[0] in ('trained.safetensors', 'SHA256SUMS')))
def test_a_damaged_file_is_refused_with_its_name_and_the_way_to_repair_the_run(run, name, damage):
    DAMAGE[damage](run.round_folder(0, 1) / name)
    with pytest.raises(LthError, match=f'{name}.*lth repair .*run') as caught:
        run.load_round(0, 1)
    assert len(str(caught.value)) < 600
    run.load_round(0, 0)


def test_an_added_file_is_refused_but_not_what_file_systems_add(run):
    (run.round_folder(0, 1) / '.DS_Store').write_text('')
    run.load_round(0, 1)
    (run.round_folder(0, 1) / 'trained2.safetensors').write_text('')
    with pytest.raises(LthError, match='trained2.safetensors does not belong there'):
        run.record(0, 1)


@pytest.mark.parametrize('line', [
    'xx', '0' * 64 + '  ../mask.safetensors', '0' * 64 + '  mask.safetensors', '# removed by --keep tickets: x',
    '0' * 63 + '  other', '\0'])
def test_lines_of_sha256sums_that_lth_did_not_write_are_refused(run, line):
    path = run.round_folder(0, 1) / 'SHA256SUMS'
    path.write_text(f'{path.read_text()}{line}\n')
    with pytest.raises(LthError, match='SHA256SUMS is corrupt: it has the line'):
        run.record(0, 1)


@pytest.mark.parametrize('source', ['seed-7/round-01', 'seed-0/round-00'])
def test_a_round_that_was_exchanged_for_another_one_is_refused(run, source):
    shutil.rmtree(run.round_folder(0, 1))
    shutil.copytree(run.folder / source, run.round_folder(0, 1))
    with pytest.raises(LthError, match='round.json is not the file that belongs there: its (seed is 7|round is 0)'):
        run.load_round(0, 1)


@pytest.mark.parametrize('name', NAMES[:5])
@pytest.mark.parametrize('source', ['seed-7/round-01', 'seed-0/round-00'])
def test_a_file_that_was_exchanged_with_its_checksum_is_refused(run, name, source):
    forge(run.round_folder(0, 1) / name, (run.folder / source / name).read_bytes())
    with pytest.raises(LthError, match=f'{name} (is not the file that belongs there|does not belong to|is corrupt)'):
        run.load_round(0, 1)


def test_a_round_that_was_trained_longer_than_the_recipe_says_is_refused(run):
    steps = run.record(0, 1).last.iteration
    assert replace(run, steps=steps).load_round(0, 1).trained.step == steps
    with pytest.raises(LthError, match=f'round.json records iteration {steps}, but training ends at iteration 3'):
        replace(run, steps=3).load_round(0, 1)


@pytest.mark.parametrize('changes', [
    {'model': {'name': 'resnet20'}}, {'data': {'name': 'other'}}, {'training': {'batch_size': 9}}])
def test_a_round_of_another_recipe_is_refused(run, changes):
    recipe = {**RECIPE, **changes}
    (run.folder / 'recipe.yaml').unlink()
    with pytest.raises(LthError, match='its (recipe|model) is'):
        Run(run.folder, recipe, run.network).record(0, 1)


@pytest.mark.parametrize('more', [
    {'source': 'elsewhere'}, {'algorithm': {'rounds': 9}}, {'algorithm': {'kept': [3, 2, 1]}}])
def test_a_source_text_more_rounds_and_newer_settings_do_not_make_another_recipe(run, more):
    recipe = {**RECIPE, 'training': {**RECIPE['training'], 'newer': 3}, **more}
    assert Run(run.folder, recipe, run.network).record(0, 1) == run.record(0, 1)


def test_a_file_of_another_network_is_refused(run):
    other = Run(run.folder, RECIPE, make_task('lenet-300-100').network)
    with pytest.raises(LthError, match='round.json is not the file that belongs there: its shape is'):
        other.load_round(0, 1)


TENSORS = 'stem.0.weight'
WRONG_TENSORS = {
    'missing': lambda tensors: tensors.pop(TENSORS),
    'added': lambda tensors: tensors.update(more=tensors[TENSORS].clone()),
    'cut': lambda tensors: tensors.update({TENSORS: tensors[TENSORS][:4]}),
    'float64': lambda tensors: tensors.update({TENSORS: tensors[TENSORS].double()}),
    'bfloat16': lambda tensors: tensors.update({TENSORS: tensors[TENSORS].bfloat16()}),
    'int32': lambda tensors: tensors.update({TENSORS: tensors[TENSORS].int()}),
    'uint8': lambda tensors: tensors.update({TENSORS: tensors[TENSORS].to(torch.uint8)}),
    'complex': lambda tensors: tensors.update({TENSORS: tensors[TENSORS].to(torch.complex64)})}


@pytest.mark.parametrize(('name', 'change'), some(
    [(name, change) for name in NAMES[:3] for change in WRONG_TENSORS], lambda case: case[0] == 'ticket.safetensors'))
def test_tensors_that_the_network_does_not_have_are_refused(run, name, change):
    path = run.round_folder(0, 1) / name
    tensors = read(path)[1]
    WRONG_TENSORS[change](tensors)
    forge_tensors(path, tensors)
    with pytest.raises(LthError, match=f'{name} does not fit the network|safetensors file'):
        run.load_round(0, 1)


@pytest.mark.parametrize(('name', 'tensor', 'value'), [
    ('ticket.safetensors', TENSORS, float('nan')), ('ticket.safetensors', 'stem.1.running_var', float('inf')),
    ('trained.safetensors', TENSORS, float('-inf')), ('trained.safetensors', 'stem.1.running_var', float('nan'))])
def test_numbers_that_are_not_finite_are_refused(run, name, tensor, value):
    path = run.round_folder(0, 1) / name
    tensors = read(path)[1]
    tensors[tensor].view(-1)[-1] = value
    forge_tensors(path, tensors)
    with pytest.raises(LthError, match=f"{name} is damaged: '{tensor}' has values that are NaN or infinite"):
        run.load_round(0, 1)


def test_a_mask_with_other_bytes_than_0_and_1_is_refused(run):
    path = run.round_folder(0, 1) / 'mask.safetensors'
    masks = read(path)[1]
    masks[TENSORS].view(torch.uint8).view(-1)[0] = 254
    forge_tensors(path, masks)
    with pytest.raises(LthError, match=f"'{TENSORS}' has bytes other than 0 and 1"):
        run.load_round(0, 1)


def test_a_mask_that_keeps_another_number_of_weights_than_recorded_is_refused(run):
    path = run.round_folder(0, 1) / 'mask.safetensors'
    forge_tensors(path, {name: torch.ones_like(mask) for name, mask in read(path)[1].items()})
    with pytest.raises(LthError, match='does not belong to the other files of its round: it keeps'):
        run.load_mask(0, 1)


def test_pruned_weights_that_differ_between_ticket_and_trained_are_noticed(run):
    path = run.round_folder(0, 1) / 'trained.safetensors'
    tensors = read(path)[1]
    mask = read(path.with_name('mask.safetensors'))[1][TENSORS]
    tensors[TENSORS][~mask] += 1
    forge_tensors(path, tensors)
    with pytest.raises(LthError, match='its pruned weights are not those in ticket.safetensors'):
        run.load_round(0, 1)


HEADER = {
    'iteration': [-1, 0.5, '0', 10 ** 13, True, []], 'kept': [-1, 0, 10 ** 9, '1'], 'seed': [1, -1], 'round': [0],
    'measurements': [0, -1, 10 ** 9, 3], 'test_accuracy': [-0.1, 1.1, '1'], 'density': [0.5, 2.0, -1.0],
    'model': [{}, [], 'lenet', {'name': 3}], 'shape': [[3, 8], [3, 8, 8, 8], [3, 8, -8], 'x'], 'classes': [0, 5, '4'],
    'format': [0, 1, 3, '2'], 'search': [['other'], 'scores', [3]], 'engine': [3, 'x' * 5000], 'recipe': [3, 'other'],
    'connected': [{}, 3], 'weights': [0], 'prunable': [3], 'dataset': [3], 'unknown': [1]}
CASES = [(key, value) for key, values in HEADER.items() for value in values]


@pytest.mark.parametrize(('key', 'value'), some(CASES, lambda case: case[1] == HEADER[case[0]][0]))
def test_wrong_facts_are_refused_in_the_record_and_in_the_headers(run, key, value):
    record, mask = (run.round_folder(0, 1) / name for name in ('round.json', 'mask.safetensors'))
    original = record.read_bytes()
    forge_json(record, **{key: value})
    with pytest.raises(LthError, match='round.json|does not belong to the other files') as caught:
        run.load_round(0, 1)
    assert len(str(caught.value)) < 600
    forge(record, original)
    forge_tensors(mask, read(mask)[1], **{key: value})
    with pytest.raises(LthError, match='mask.safetensors'):
        run.load_round(0, 1)


def test_missing_and_null_facts_are_refused(run):
    path = run.round_folder(0, 1) / 'round.json'
    original = json.loads(path.read_text())
    for key in original.keys() - {'connected', 'engine', 'search', 'layers', 'unpruned', 'steps'}:
        for changed in (original | {key: None}, {name: value for name, value in original.items() if name != key}):
            forge(path, json.dumps(changed).encode())
            with pytest.raises(LthError, match=f'round.json is damaged .*{key}'):
                run.record(0, 1)
