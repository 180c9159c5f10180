"""Rounds of two seeds of a small ResNet, trained once, and a run folder that holds them."""
import shutil
from pathlib import Path

import pytest

from lth.algorithms.imp import find_ticket
from lth.algorithms.imp_settings import Settings
from lth.pruning.tickets import Round
from lth.runs.folder import Run
from tests.conftest import make_task

RECIPE = {'model': {'name': 'lenet-300-100'}, 'data': {'name': 'made-up'}, 'training': {'batch_size': 8}}


@pytest.fixture(scope='session')
def rounds() -> list[Round]:
    task = make_task('resnet20', shape=(3, 8, 8), seeds=(0, 7), length='1 epochs')
    return list(find_ticket(task, Settings(name='magnitude', rounds=1), ()))


@pytest.fixture(scope='session')
def saved(rounds: list[Round], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run as it was saved; tests get a copy, since building the network and writing take longer than copying."""

    run = Run(tmp_path_factory.mktemp('saved') / 'run', RECIPE, make_task('resnet20', shape=(3, 8, 8)).network)
    for round_ in rounds:
        run.save(round_, (0, 7))
    return run


@pytest.fixture
def run(tmp_path: Path, saved: Run) -> Run:
    shutil.copytree(saved.folder, tmp_path / 'run')
    return Run(tmp_path / 'run', RECIPE, saved.network)
