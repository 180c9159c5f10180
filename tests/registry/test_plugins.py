"""Plug-in packages. Each test uses new processes, because an import cannot be undone."""
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

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


def test_a_plug_in_adds_a_model_a_data_set_a_criterion_and_a_control(tmp_path):
    install(tmp_path / 'packages')
    result = lth(tmp_path, 'find-ticket', 'Tiny_Linear', 'tiny-greys', '-i', '1', '-e', '2', '-b', '10', '--criterion',
                 'tiny-last', '--set', 'algorithm.rates=0.25', '--set', 'model.bias=false', '--controls',
                 'tiny-flip', '--json')
    assert result.returncode == 0, result.stderr
    run = json.loads(result.stdout)
    assert [row['kept'] for row in run['rounds']] == [48, 36]
    assert [row['kept'] for row in run['controls']['tiny-flip']] == [36]
    assert 'eager' in result.stderr
    (mask,) = (tmp_path / 'runs/tiny-linear-tiny-greys').rglob('round-01/mask.safetensors')
    code = f'import lth; print(lth.load_ticket({str(mask.parent)!r}).masks["1.weight"].flatten().tolist())'
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([str(ROOT), str(tmp_path / 'packages')])}
    shown = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, env=environment)
    assert shown.stdout.strip() == str([False] * 12 + [True] * 36)


def test_entries_of_plug_ins_and_torchvision_are_not_builtin(tmp_path):
    install(tmp_path / 'packages')
    code = ('from lth.models.registry import MODELS; '
            'print([MODELS.is_builtin(name) for name in ("lenet-5", "tiny-linear", "torchvision:resnet18")])')
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([str(ROOT), str(tmp_path / 'packages')])}
    shown = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, env=environment)
    assert shown.stdout.strip() == '[True, False, False]'


def test_an_algorithm_of_a_plug_in_is_listed_and_can_be_selected_in_the_recipe(tmp_path):
    install(tmp_path / 'packages')
    result = lth(tmp_path, 'find-ticket', 'tiny-linear', 'tiny-greys', '-e', '1', '-b', '10', '--set',
                 'algorithm.name=tiny-dense', '--json')
    assert result.returncode == 0, result.stderr
    assert len(json.loads(result.stdout)['rounds']) == 1
    listing = lth(tmp_path, 'list', 'algorithms').stdout
    assert 'tiny-dense' in listing and 'Only the dense network.' in listing


@pytest.mark.parametrize('taken', ['magnitude', 'tiny-last'])
def test_a_name_registered_twice_is_an_error_with_both_modules(tmp_path, taken):
    install(tmp_path / 'packages')
    install(tmp_path / 'packages', 'lth-twin', 'from lth.pruning.criteria import CRITERIA\n'
            f'CRITERIA.register({taken!r})(lambda initial, final, choice: final)\n')
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
