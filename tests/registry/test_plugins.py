"""Plug-in packages. Each test uses new processes, because an import cannot be undone."""
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parent / 'plug_in'
ROOT = Path(__file__).parents[2]


def install(folder: Path, name: str = 'lth-tiny', module: str | None = None) -> None:
    """Install a package into a folder as pip does: the example, or one whose module has this source code."""

    folder.mkdir(exist_ok=True)
    project = tomllib.loads((PACKAGE / 'pyproject.toml').read_text())['project']
    file = name.replace('-', '_')
    if module is None:
        shutil.copy(PACKAGE / 'lth_tiny.py', folder)
    else:
        (folder / f'{file}.py').write_text(module)
    points = project['entry-points'] if module is None else {'lth': {name.removeprefix('lth-'): file}}
    metadata = folder / f'{file}-0.1.dist-info'
    metadata.mkdir()
    (metadata / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {project["version"]}\n')
    (metadata / 'entry_points.txt').write_text(''.join(
        f'[{group}]\n' + ''.join(f'{key} = {value}\n' for key, value in entries.items())
        for group, entries in points.items()))


def lth(folder: Path, *arguments: str) -> 'subprocess.CompletedProcess[str]':
    path = os.pathsep.join([str(ROOT), str(folder / 'packages')])
    return subprocess.run([sys.executable, '-m', 'lth', *arguments], cwd=folder, capture_output=True, text=True,
                          check=False, env=os.environ | {'PYTHONPATH': path, 'COLUMNS': '200'}, timeout=200)


def run_json(folder: Path, *arguments: str) -> Any:
    result = lth(folder, *arguments, '--json')
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(name='package', scope='module')
def with_installed_package(tmp_path_factory) -> Path:
    folder: Path = tmp_path_factory.mktemp('plugins')
    install(folder / 'packages')
    return folder


@pytest.mark.slow
def test_a_plug_in_adds_a_model_data_set_initializer_criterion_action_and_control(package):
    run = run_json(
        package, 'find-ticket', 'Tiny_Linear', 'tiny-greys', '-i', '1', '-e', '2', '-b', '10', '--criterion',
        'tiny-last', '--mask-1-action', 'tiny-double', '--mask-0-action', 'tiny-nothing', '--set',
        'algorithm.rates=0.25', '--set', 'model.bias=false', '--set', 'model.initializer=tiny-uniform', '--controls',
        'tiny-flip')
    assert [row['kept'] for row in run['rounds']] == [48, 36]
    assert [row['kept'] for row in run['controls']['tiny-flip']] == [36]
    (mask,) = (package / 'runs/tiny-linear-tiny-greys').rglob('round-01/mask.safetensors')
    code = (f'import lth; dense, ticket = (lth.load_ticket({str(mask.parent.parent)!r} + round) for round in '
            '("/round-00", "/round-01")); kept = ticket.masks["1.weight"]; '
            'weights = [network.weights["1.weight"] for network in (dense, ticket)]; '
            'print(kept.flatten().tolist(), bool((weights[1] == 2 * weights[0] * kept).all()), '
            'bool(weights[0].abs().max() <= 1)); '
            'print([lth.MODELS.is_builtin(name) for name in ("lenet-5", "tiny-linear", "torchvision:resnet18")])')
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([str(ROOT), str(package / 'packages')])}
    shown = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, env=environment)
    assert shown.stdout.split('\n')[:2] == [f'{[False] * 12 + [True] * 36} True True', '[True, False, False]']


@pytest.mark.timeout(900)
@pytest.mark.parametrize('algorithm', [
    pytest.param('tiny-at-init', marks=pytest.mark.long), pytest.param('tiny-scores', marks=pytest.mark.slow)])
def test_gems_of_a_plug_in_algorithm_are_found_finetuned_checked_and_evaluated(package, algorithm):
    run = f'{algorithm}-gem'
    gem = run_json(package, 'find-gem', 'tiny-linear', 'tiny-greys', '--sparsity', '50', '--algorithm', algorithm,
                   '-e', '6', '-b', '10', '--run', run)
    assert gem['rounds'][-1]['kept'] == 24
    trained = run_json(package, 'finetune', run, '-e', '1', '-b', '10')
    assert [row['kept'] for row in trained['rounds']] == [24]
    report = run_json(package, 'sanity-check', run, '-e', '1', '--set', 'training.batch_size=10', '--checks',
                      'tiny-flip,invert-scores')
    assert [check['check'] for check in report['checks']] == ['tiny-flip', 'invert-scores']
    steps = run_json(package, 'sanity-check', run, '--checks', 'random-labels', '--set', 'training.batch_size=10',
                     '--dry-run')['steps']
    assert 'random-labels' in [step['step'] for step in steps]
    evaluated = run_json(package, 'evaluate', run)
    assert evaluated['evaluations'][-1]['kept'] == 24
    assert (evaluated['evaluations'][-1]['scores'] is None) == (algorithm == 'tiny-at-init')


@pytest.mark.slow
def test_an_algorithm_of_a_plug_in_is_listed_and_can_be_selected_in_the_recipe(package):
    result = lth(package, 'find-ticket', 'tiny-linear', 'tiny-greys', '-e', '1', '-b', '10', '--set',
                 'algorithm.name=tiny-dense', '--run', 'dense', '--json')
    assert result.returncode == 0, result.stderr
    assert len(json.loads(result.stdout)['rounds']) == 1
    listing = lth(package, 'list', 'algorithms').stdout
    assert 'tiny-dense' in listing and 'Only the dense network.' in listing


def test_find_gem_names_the_event_that_a_plug_in_declares(package):
    shown = lth(package, 'find-gem', 'tiny-linear', 'tiny-greys', '--sparsity', '50', '--algorithm', 'tiny-scores',
                '-b', '10', '--dry-run')
    assert shown.returncode == 0, shown.stderr
    assert 'Keeps 24 of 48 weights (50%), after 29 saved states.' in shown.stderr


@pytest.mark.parametrize('taken', ['magnitude', pytest.param('tiny-last', marks=pytest.mark.slow)])
def test_a_name_registered_twice_is_an_error_with_both_modules(tmp_path, taken):
    install(tmp_path / 'packages')
    install(tmp_path / 'packages', 'lth-twin', 'from lth.pruning.criteria import CRITERIA\n'
            f'CRITERIA.register({taken!r})(lambda initial, final, context: final)\n')
    result = lth(tmp_path, 'find-ticket', 'lenet-300-100', 'digits', '--dry-run')
    first = 'lth.pruning.criteria' if taken == 'magnitude' else 'lth_tiny'
    assert result.returncode == 2 and result.stdout == ''
    error = ' '.join(result.stderr.split())
    assert 'The plug-in twin of the package lth-twin cannot be used' in error
    assert f"The criterion '{taken}' is registered twice, by {first} and by lth_twin" in error


def test_a_plug_in_that_cannot_be_imported_is_an_error_with_its_line(tmp_path):
    install(tmp_path / 'packages', 'lth-broken', 'import lth\n\n1 / 0\n')
    result = lth(tmp_path, 'list', 'models')
    assert result.returncode == 2 and 'Traceback' not in result.stderr
    error = ' '.join(result.stderr.split())
    assert 'plug-in broken of the package lth-broken raised ZeroDivisionError' in error and 'line 3' in error
