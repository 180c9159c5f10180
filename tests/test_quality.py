"""Types, style, complexity and dependencies are part of the suite."""
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from radon.complexity import cc_visit

ROOT = Path(__file__).parent.parent


def output_of_failing(*command: str) -> str:
    """What a checker prints when it fails, or nothing when it passes."""

    done = subprocess.run([sys.executable, '-m', *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ''


@pytest.mark.slow
def test_mypy_strict_finds_nothing():
    assert output_of_failing('mypy', '--cache-dir', '/dev/null') == ''


@pytest.mark.slow
def test_pylint_finds_nothing():
    assert output_of_failing('pylint', 'lth') == ''


@pytest.mark.slow
def test_pycodestyle_finds_nothing():
    assert output_of_failing('pycodestyle', '--config=.pycodestyle', 'lth', 'tests') == ''


def test_cyclomatic_complexity_is_at_most_10():
    assert [f'{path.relative_to(ROOT)}:{block.lineno} {block.name}: {block.complexity}'
            for path in ROOT.glob('lth/**/*.py') for block in cc_visit(path.read_text()) if block.complexity > 10] == []


def test_dependencies_of_conda_for_linux_and_pip_agree():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    required = project['dependencies'] + project['optional-dependencies']['ffcv']
    pip = {re.sub('^torch>', 'pytorch-gpu>', requirement) for requirement in required}
    *conda, with_pip = yaml.safe_load((ROOT / 'environment.linux-amd64.yaml').read_text())['dependencies']
    assert pip - set(conda) - set(with_pip['pip']) == set()


def test_dependencies_of_conda_for_macos_are_those_of_pip_and_no_others():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    pip = {re.sub('^torch>', 'pytorch-cpu>', requirement) for requirement in project['dependencies']}
    conda = yaml.safe_load((ROOT / 'environment.macos-arm64.yaml').read_text())['dependencies']
    assert set(conda) - pip == {'python=3.12', 'pip'} and pip - set(conda) == set()


def test_every_dependency_has_a_lower_and_no_upper_bound():
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    required = [*project['dependencies'], *itertools.chain(*project['optional-dependencies'].values())]
    assert [text for text in required if not re.fullmatch(r'[A-Za-z-]+(\[[a-z]+\])?>=[0-9.]+', text)] == []
