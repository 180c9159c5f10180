"""The sdist and the wheel contain the package and no more, and the installed wheel works without the repository."""
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import lth

ROOT = Path(__file__).parent.parent
OF_BUILDS = ('lth', 'pyproject.toml', 'MANIFEST.in', 'README.md', 'LICENSE', 'CHANGELOG.md', 'CITATION.cff', 'tests')
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(*command: str | Path, folder: Path) -> str:
    """The output of a command that does not see the repository."""

    hidden = ('PYTHONPATH', 'LTH_DATASETS')
    seen = {name: value for name, value in os.environ.items() if name not in hidden} | {'OMP_NUM_THREADS': '1'}
    done = subprocess.run([*map(str, command)], cwd=folder, env=seen, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a `wheel` or an `sdist` of a copy of the repository, without a network."""

    target.mkdir(exist_ok=True)
    code = f'import sys; from setuptools import build_meta; build_meta.build_{kind}(sys.argv[1])'
    run(sys.executable, '-c', code, target, folder=source)
    built, = target.iterdir()
    return built


@pytest.fixture(scope='module')
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, built in a copy: a build leaves files next to its source, and takes those that an earlier one left."""

    copy = tmp_path_factory.mktemp('source')
    for name in OF_BUILDS:
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, copy / name, ignore=shutil.ignore_patterns('__pycache__'))
        else:
            shutil.copy(path, copy)
    return build('sdist', copy, tmp_path_factory.mktemp('sdist') / 'dist')


@pytest.fixture(scope='module')
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist."""

    folder = tmp_path_factory.mktemp('wheel')
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter='data')
    return build('wheel', folder / f'lth-{lth.__version__}', folder / 'dist')


@pytest.fixture(scope='module')
def commands(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment in which the wheel is installed. Its dependencies are those of this
    environment, so nothing is downloaded.
    """

    folder = tmp_path_factory.mktemp('environment')
    run(sys.executable, '-m', 'venv', folder, folder=folder)
    run(folder / 'bin/python', '-m', 'pip', 'install', '--no-deps', '--no-index', wheel, folder=folder)
    packages = next(folder.glob('lib/python*/site-packages'))
    # Of a folder that such a file names, no .pth files are read: an editable installation of lth is not found.
    (packages / 'dependencies.pth').write_text(sysconfig.get_path('purelib') + '\n')
    return folder / 'bin'


def package_files() -> set[str]:
    return {path.relative_to(ROOT).as_posix() for path in (ROOT / 'lth').rglob('*')
            if path.is_file() and '__pycache__' not in path.parts}


def test_the_wheel_contains_all_files_of_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name for name in names if '.dist-info/' not in name} == package_files()
    assert {Path(name).suffix for name in names} >= {'.py', '.yaml', '.css', '.js', '.typed'}


def test_the_sdist_contains_what_a_build_needs_and_no_tests(sdist):
    with tarfile.open(sdist) as archive:
        names = {member.name.partition('/')[2] for member in archive if member.isfile()}
    assert package_files() | {'pyproject.toml', 'README.md', 'LICENSE', 'CHANGELOG.md', 'CITATION.cff'} <= names
    assert not any(name.startswith(('tests/', 'docs/')) for name in names)


def test_the_wheel_is_for_all_platforms_and_states_version_and_dependencies(wheel):
    assert wheel.name == f'lth-{lth.__version__}-py3-none-any.whl'
    project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
    with zipfile.ZipFile(wheel) as archive:
        metadata = message_from_bytes(archive.read(f'lth-{lth.__version__}.dist-info/METADATA'))
    assert metadata['Version'] == lth.__version__ and metadata['Requires-Python'] == project['requires-python']
    required = metadata.get_all('Requires-Dist')
    assert [text for text in required if 'extra ==' not in text] == project['dependencies']
    assert set(metadata.get_all('Provides-Extra')) == project['optional-dependencies'].keys()


def test_the_installed_command_finds_a_ticket_outside_of_the_repository(commands, tmp_path):
    place = run(commands / 'python', '-c', 'import lth; print(lth.__file__)', folder=tmp_path).strip()
    assert Path(place).is_relative_to(commands.parent)
    assert run(commands / 'lth', '--version', folder=tmp_path) == f'lth {lth.__version__}\n'
    assert 'find-ticket' in run(commands / 'lth', '--help', folder=tmp_path)
    assert 'lenet-300-100' in run(commands / 'lth', 'list', 'models', folder=tmp_path)
    assert 'lth-figure-4' in run(commands / 'lth', 'list', 'papers', folder=tmp_path)
    assert '"$schema"' in run(commands / 'lth', 'show', 'schema', folder=tmp_path)
    table = run(commands / 'lth', 'find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', folder=tmp_path)
    assert ' 80.20 ' in table and (tmp_path / 'runs/lenet-300-100-digits/seed-0/round-01/SHA256SUMS').exists()
