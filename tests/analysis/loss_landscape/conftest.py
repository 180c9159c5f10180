"""A run with three rounds of two seeds, trained once for all tests of a module, and copied by each."""
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import lth as package
from lth.analysis.loss_landscape import hessian
from lth.system import processes
from tests.conftest import Result

NAME = 'lenet-300-100-digits'


@pytest.fixture(name='trained', scope='session')
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `runs` with the run."""

    folder: Path = tmp_path_factory.mktemp('landscape') / 'runs'
    package.find_ticket('lenet-300-100', 'digits', rounds=2, epochs=2, seeds=range(2), run=folder / NAME)
    return folder


@pytest.fixture(name='run')
def copy_run(
        lth: Callable[..., Result], trained: Path, monkeypatch: pytest.MonkeyPatch,  # pylint: disable=unused-argument
) -> Path:
    """A copy of the run in the current folder. All is measured in this process, as others take seconds to start, and
    traces by few vectors.
    """

    monkeypatch.setattr(hessian, 'PROBES', 5)
    monkeypatch.setattr(processes, 'available_slots', lambda _threads: 1)
    shutil.copytree(trained, 'runs')
    return Path('runs') / NAME
