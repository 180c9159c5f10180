"""`lth align`: masks of one seed on the initial weights of the others."""
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lth.system import yaml_text

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '2', '-e', '1', '--run', 'source', '--seeds')
ALIGNED = Path('runs/source-aligned-from-seed-0-round-02')


def search(lth) -> None:
    # Seed by seed: seeds side by side are processes that take seconds to start.
    for seed in ('0', '1'):
        assert lth(*SEARCH, seed).code == 0


def contents() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path('runs').glob(f'{ALIGNED.name}*/**/round-0?/*')}


def tensors(name: str) -> dict:
    return load_file(f'runs/{name}.safetensors')


def test_masks_are_aligned_trained_next_to_their_controls_and_resumed_byte_for_byte(lth):
    search(lth)
    result = lth('align', 'source')
    assert result.code == 0, result.err
    assert 'Error barrier between the dense networks of seeds 0 and 1' in ' '.join(result.err.split())
    text = ' '.join(result.out.split())
    assert 'Round 2: the aligned mask is' in text and 'than naive by' in text and 'than own by' in text
    rows = [line.split() for line in result.out.splitlines() if line[1:2].isdigit()]
    assert [row[:2] if row[1][0].isalpha() else row[:1] for row in rows] == [
        ['1'], ['1', 'naive'], ['1', 'own'], ['2'], ['2', 'naive'], ['2', 'own']]

    aligned, mask, start = (tensors(name) for name in (
        f'{ALIGNED.name}/seed-1/round-01/mask', 'source/seed-0/round-02/mask', 'source/seed-1/round-00/ticket'))
    ticket = tensors(f'{ALIGNED.name}/seed-1/round-01/ticket')
    for name, part in mask.items():
        assert aligned[name].sum() == part.sum()
        assert ticket[name].equal(start[name] * aligned[name])
    assert not aligned['dense1.weight'].equal(mask['dense1.weight'])
    naive, own = (tensors(f'{ALIGNED.name}-controls/{name}/seed-1/round-01/mask') for name in ('naive', 'own'))
    assert all(naive[name].equal(part) for name, part in mask.items())
    assert all(own[name].equal(part) for name, part in tensors('source/seed-1/round-02/mask').items())
    trained = tensors(f'{ALIGNED.name}-controls/own/seed-1/round-01/trained')
    assert all(trained[name].equal(part) for name, part in tensors('source/seed-1/round-02/trained').items())

    complete = contents()
    shutil.rmtree(ALIGNED / 'seed-1/round-01')
    shutil.rmtree(f'{ALIGNED}-controls/naive/seed-1')
    (saved,) = Path('runs/source-stability').glob('aligned-seed-0-with-seed-1.json')
    barrier = json.loads(saved.read_text())
    found = json.loads(lth('align', 'source', '--json').out)
    assert contents() == complete and json.loads(saved.read_text()) == barrier
    assert found['barriers'] == [{
        'mask_seed': 0, 'seed': 1, 'barrier_points': pytest.approx(100 * barrier['naive']),
        'aligned_barrier_points': pytest.approx(100 * barrier['aligned'])}]
    assert [(row['round'], row['control']) for row in found['comparisons']] == [
        (1, 'naive'), (1, 'own'), (2, 'naive'), (2, 'own')]
    accuracies = [rows[0]['test_accuracy_percent']['mean'] for rows in (found['rounds'], found['controls']['naive'])]
    assert found['comparisons'][0]['difference_points']['mean'] == pytest.approx(accuracies[0] - accuracies[1])
    content = saved.read_text()
    saved.write_text(content.replace('"seed": 1', '"seed": 2'))
    refused = lth('align', 'source')
    assert refused.code == 2 and saved.name in ''.join(refused.err.split()) and contents() == complete
    assert [Path(one['path']).name for one in json.loads(lth('repair', 'source', '--json').out)['damaged']] == [
        saved.name]
    assert found['run'] == str(ALIGNED) and list(found['controls']) == ['naive', 'own']
    shown = json.loads(lth('show', 'run', ALIGNED.name, '--json').out)
    assert [row['kept'] for row in shown['rounds']] == [row['kept'] for row in found['rounds']]


def test_layers_that_a_search_keeps_out_stay_dense_in_aligned_runs_and_their_controls(lth):
    for seed in ('0', '1'):
        assert lth(*SEARCH, seed, '--set', 'algorithm.keep_out=[output]').code == 0
    assert lth('align', 'source', '--rounds', '2').code == 0
    for folder in (ALIGNED, *Path(f'{ALIGNED}-controls').iterdir()):
        assert yaml_text.read_yaml(folder / 'recipe.yaml')['algorithm']['keep_out'] == ['output']
        record = json.loads((folder / 'seed-1/round-00/round.json').read_text())
        assert 'output.weight' not in {layer['name'] for layer in record['layers'] if layer['kept'] < layer['weights']}


def test_the_dense_round_and_rounds_that_are_named_twice_are_refused(lth):
    search(lth)
    before = sorted(map(str, Path('runs').rglob('*')))
    for arguments, message in (
            (('source', '--rounds', '0,1'), 'those from 1 on have a mask'),
            (('source/seed-0/round-00',), 'those from 1 on have a mask'),
            (('source/seed-0/round-01', '--rounds', '2'), 'the path of the run names round 1 already')):
        result = lth('align', *arguments)
        assert result.code == 2 and message in ' '.join(result.err.split()), result.err
    assert sorted(map(str, Path('runs').rglob('*'))) == before


@pytest.mark.parametrize(('arguments', 'message'), [
    (('source',), 'has only seed 0, but masks are carried from one seed to another'),
    (('gem',), 'is not a search for tickets'), (('padded',), 'resnet20 cannot be aligned: after')])
def test_runs_that_cannot_be_aligned_are_refused_with_the_reason(lth, arguments, message):
    lth(*SEARCH, '0')
    lth('find-gem', 'lenet-300-100', 'digits', '--sparsity', '90', '--algorithm', 'random', '--run', 'gem')
    lth('find-ticket', 'resnet20', 'digits', '-i', '0', '--set', 'training.length=1 iterations', '--set',
        'training.measure_every=1 iterations', '--set', 'model.shortcut=identity', '--set', 'algorithm.rewind=0 epochs',
        '--run', 'padded')
    result = lth('align', *arguments)
    assert result.code == 2 and message in ' '.join(result.err.split()), result.err
