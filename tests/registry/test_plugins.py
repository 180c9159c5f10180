"""Packages that add to lth, as processes of their own: what is imported once cannot be taken back."""
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


def installed(place: Path, name: str = 'lth-tiny', module: str | None = None) -> None:
    """Puts a package where Python finds it, as pip would; `module` is the text of its module if not the example's."""

    place.mkdir(exist_ok=True)
    project = tomllib.loads((PACKAGE / 'pyproject.toml').read_text())['project']
    file = name.replace('-', '_')
    if module is None:
        shutil.copy(PACKAGE / 'lth_tiny.py', place)
    else:
        (place / f'{file}.py').write_text(module)
    points = project['entry-points'] if module is None else {'lth': {name.removeprefix('lth-'): file}}
    about = place / f'{file}-0.1.dist-info'
    about.mkdir()
    (about / 'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {project["version"]}\n')
    (about / 'entry_points.txt').write_text(''.join(
        f'[{group}]\n' + ''.join(f'{key} = {value}\n' for key, value in entries.items())
        for group, entries in points.items()))


def lth(folder: Path, *arguments: str) -> 'subprocess.CompletedProcess[str]':
    path = os.pathsep.join([str(ROOT), str(folder / 'packages')])
    return subprocess.run([sys.executable, '-m', 'lth', *arguments], cwd=folder, capture_output=True, text=True,
                          check=False, env=os.environ | {'PYTHONPATH': path, 'COLUMNS': '200'}, timeout=200)


def test_a_package_adds_a_model_a_data_set_a_criterion_and_a_control(tmp_path):
    installed(tmp_path / 'packages')
    result = lth(tmp_path, 'find-ticket', 'Tiny_Linear', 'tiny-greys', '-i', '1', '-e', '2', '-b', '10', '--criterion',
                 'tiny-last', '--set', 'algorithm.rates=0.25', '--set', 'model.bias=false', '--controls',
                 'tiny-flip', '--json')
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout)
    assert [row['kept'] for row in found['rounds']] == [48, 36]
    assert [row['kept'] for row in found['controls']['tiny-flip']] == [36]
    assert 'eager' in result.stderr
    (mask,) = (tmp_path / 'runs/tiny-linear-tiny-greys').rglob('round-01/mask.safetensors')
    code = f'import lth; print(lth.load_ticket({str(mask.parent)!r}).masks["1.weight"].flatten().tolist())'
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([str(ROOT), str(tmp_path / 'packages')])}
    shown = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, env=environment)
    assert shown.stdout.strip() == str([False] * 12 + [True] * 36)


def test_only_what_comes_from_elsewhere_counts_as_foreign_code(tmp_path):
    installed(tmp_path / 'packages')
    code = ('from lth.models.registry import MODELS; '
            'print([MODELS.is_builtin(name) for name in ("lenet-5", "tiny-linear", "torchvision:resnet18")])')
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([str(ROOT), str(tmp_path / 'packages')])}
    shown = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, env=environment)
    assert shown.stdout.strip() == '[True, False, False]'


def test_an_algorithm_of_a_package_is_chosen_in_the_recipe_and_all_names_are_listed(tmp_path):
    installed(tmp_path / 'packages')
    result = lth(tmp_path, 'find-ticket', 'tiny-linear', 'tiny-greys', '-e', '1', '-b', '10', '--set',
                 'algorithm.name=tiny-dense', '--json')
    assert result.returncode == 0, result.stderr
    assert len(json.loads(result.stdout)['rounds']) == 1
    listed = lth(tmp_path, 'list', 'algorithms').stdout
    assert 'tiny-dense' in listed and 'The dense network, and that is all.' in listed


@pytest.mark.parametrize('taken', ['magnitude', 'tiny-last'])
def test_two_things_with_one_name_are_refused_and_both_are_named(tmp_path, taken):
    installed(tmp_path / 'packages')
    installed(tmp_path / 'packages', 'lth-twin', 'from lth.pruning.criteria import CRITERIA\n'
              f'CRITERIA.register({taken!r})(lambda initial, final, choice: final)\n')
    result = lth(tmp_path, 'find-ticket', 'lenet-300-100', 'digits', '--dry-run')
    first = 'lth.pruning.criteria' if taken == 'magnitude' else 'lth_tiny'
    assert result.returncode == 2 and result.stdout == ''
    told = ' '.join(result.stderr.split())
    assert 'The plug-in twin of the package lth-twin cannot be used' in told
    assert f"Two things want to be the criterion '{taken}', one of {first} and one of lth_twin" in told


def test_a_package_that_does_not_work_is_named_with_its_line(tmp_path):
    installed(tmp_path / 'packages', 'lth-broken', 'import lth\n\n1 / 0\n')
    result = lth(tmp_path, 'list', 'models')
    assert result.returncode == 2 and 'Traceback' not in result.stderr
    told = ' '.join(result.stderr.split())
    assert 'plug-in broken of the package lth-broken raised ZeroDivisionError' in told and 'line 3' in told
