"""--executor and its settings: which executor trains, and what it refuses before anything is done."""
import contextlib
from pathlib import Path
from typing import ClassVar

import pytest

import lth as python
from lth.experiments.executors.local import LocalExecutor
from lth.experiments.executors.registry import EXECUTORS
from tests.registrations import forget_registrations

SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '-e', '1', '--run', 'r')


class Recorded(LocalExecutor):
    """The executor local, with settings, which records those of its sessions."""

    address: str = 'none'
    slots: int = 1
    opened: ClassVar[list[tuple[str, int, tuple[int, ...]]]] = []

    def leaves_to_caller(self, target, device, *, tasks):
        return False

    @contextlib.contextmanager
    def open(self, target):
        with super().open(target) as session:
            submit = session.submit

            def record(task):
                self.opened.append((self.address, self.slots, task.seeds))
                submit(task)
            session.submit = record
            yield session


@pytest.fixture(autouse=True)
def recorded(monkeypatch):
    Recorded.opened.clear()
    forget_registrations(monkeypatch, EXECUTORS)
    EXECUTORS.register('recorded')(Recorded)


def test_an_executor_trains_each_seed_with_the_settings_of_file_and_options(lth):
    Path('cluster.yaml').write_text('slots: 3\n', encoding='utf-8')
    options = ('--executor', 'recorded', '--executor-config', 'cluster.yaml', '--address', 'auto', '--seeds', '0-1')
    assert lth(*SEARCH, *options).code == 0
    assert Recorded.opened == [('auto', 3, (0,)), ('auto', 3, (1,))]
    assert lth(*SEARCH, *options, '--executor-set', 'slots=4').code == 0  # complete: nothing to train
    assert len(Recorded.opened) == 2


def test_the_runs_of_a_published_experiment_are_trained_by_the_executor(lth):
    result = lth('reproduce', 'lth-figure-3', '--budget', 'smoke', '--seeds', '0', '--executor', 'recorded')
    assert result.code == 0, result.err
    assert Recorded.opened == 2 * [('none', 1, (0,))]  # the search and its control


def test_aligned_masks_and_their_controls_are_trained_by_the_executor(lth):
    assert lth(*SEARCH, '--seeds', '0-2').code == 0
    assert lth('align', 'r', '-e', '1', '--executor', 'recorded').code == 0
    assert Recorded.opened == 3 * [('none', 1, (1,)), ('none', 1, (2,))]


@pytest.mark.parametrize(('options', 'says'), [
    (('--executor', 'rya'), "Unknown executor 'rya'"),
    (('--address', 'auto'), "--executor local: this executor has no settings. Leave out 'address'"),
    (('--executor', 'recorded', '--executor-set', 'slots=two'), "slots: it should be a whole number; it is 'two'"),
    (('--executor', 'recorded', '--executor-set', 'slots'), "--executor-set 'slots': write it as KEY=VALUE"),
    (('--executor', 'recorded', '--executor-set', 'address=a', '--address', 'b'), 'Leave out one of them'),
    (('--executor-config', 'missing.yaml'), 'missing.yaml')])
def test_a_wrong_executor_is_refused_before_anything_is_written(lth, options, says):
    result = lth(*SEARCH, *options)
    assert result.code == 2 and says in result.err
    assert not Path('runs').exists()


def test_the_python_api_trains_by_an_executor(tmp_path, monkeypatch, lth):  # pylint: disable=unused-argument
    python.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=1, run=tmp_path / 'run', executor='recorded',
                       executor_settings={'slots': 2})
    assert Recorded.opened == [('none', 2, (0,))]
    with pytest.raises(python.LthError, match='executor_settings'):
        python.find_ticket('lenet-300-100', 'digits', executor='recorded', executor_settings='slots=2')
