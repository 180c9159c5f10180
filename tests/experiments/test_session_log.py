"""The log of a session: written once something is saved, with every message, measurement and round, and how it ends."""
import re
from pathlib import Path

import pytest

import lth as package
from lth.experiments.reporter import SeedProgress, SilentReporter
from lth.experiments.session_log import SessionLog

ENTRY = {'start': '2026-11-27T04:15:00+02:00', 'host': 'node', 'process': 17, 'command': ['lth', 'find-ticket', 'a b']}


class Kept(SilentReporter):
    """Keeps what is passed on."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[object] = []

    def message(self, text: str) -> None:
        self.reports.append(text)

    def progress(self, progress: SeedProgress) -> None:
        self.reports.append(progress)

    def round_saved(self, progress: SeedProgress) -> None:
        self.reports.append(progress)


def lines(path: Path) -> list[str]:
    return [line.split('  ', 1)[1] for line in path.read_text().splitlines()]


def test_reports_are_passed_on_and_logged_from_the_start_once_something_is_saved(tmp_path):
    kept, path = Kept(), tmp_path / 'session.log'
    measured = SeedProgress((3, 4), 0, 21, (0.5, 0.25), (0.625, 0.75))
    saved = SeedProgress((3, 4), 0, 42, test=(0.5, 0.5), saved=True)
    with SessionLog(kept) as log:
        log.message('Engine: eager\non cpu')
        log.progress(SeedProgress((3, 4), 0, 5))
        log.progress(measured)
        assert not path.exists()
        log.open(path, ENTRY)
        log.round_saved(saved)
    assert kept.reports == ['Engine: eager\non cpu', SeedProgress((3, 4), 0, 5), measured, saved]
    assert path.read_text().startswith('2026-11-27T02:15:00Z  ')
    assert lines(path) == [
        "Command: lth find-ticket 'a b', process 17 on node", 'Engine: eager on cpu',
        'seed 3  round 0  iteration 21  validation 50.00%  test 62.50%',
        'seed 4  round 0  iteration 21  validation 25.00%  test 75.00%',
        'seed 3  round 0  iteration 42  test 50.00%  round saved',
        'seed 4  round 0  iteration 42  test 50.00%  round saved', 'All rounds of these seeds are complete.']


@pytest.mark.parametrize('error, last', [
    (KeyboardInterrupt(), 'Interrupted.'), (package.LthError('Diverged.'), 'Ended by an error: Diverged.'),
    (ZeroDivisionError('a bug'), 'Ended by an error: ZeroDivisionError: a bug')])
def test_the_log_says_how_the_session_ended(tmp_path, error, last):
    path = tmp_path / 'session.log'
    with pytest.raises(type(error)):
        with SessionLog(SilentReporter()) as log:
            log.open(path, ENTRY)
            raise error
    assert lines(path)[-1] == last


def test_a_log_that_cannot_be_written_is_reported_once_and_training_goes_on(tmp_path):
    kept = Kept()
    with SessionLog(kept) as log:
        log.open(tmp_path / 'nowhere/session.log', ENTRY)
        log.message('More.')
        log.message('And more.')
    assert len(kept.reports) == 3 and 'session.log cannot be written: No such file' in str(kept.reports[0])


def test_a_search_logs_each_measurement_next_to_its_session(tmp_path):
    run = package.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=1, run=tmp_path / 'run')
    (session,) = (tmp_path / 'run/sessions').glob('*.json')
    logged = lines(session.with_suffix('.log'))
    tests = {(row.round, row.iteration): row.value for row in run.metrics() if (row.split, row.metric) == (
        'test', 'accuracy')}
    found = [re.fullmatch(r'seed 0  round (\d)  iteration (\d+)  validation .*  test (.*)%', line) for line in logged]
    assert {(int(match[1]), int(match[2])): match[3] for match in found if match} == {
        place: f'{100 * value:.2f}' for place, value in tests.items()}
    assert sum(line.endswith('round saved') for line in logged) == 2
    package.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=1, run=tmp_path / 'run')
    assert len(list((tmp_path / 'run/sessions').iterdir())) == 2


def test_a_session_that_saves_nothing_leaves_no_log(tmp_path):
    with pytest.raises(package.LthError, match='diverged'):
        package.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=1, run=tmp_path / 'run',
                            settings={'training.optimizer.learning_rate': 1e30})
    assert not (tmp_path / 'run').exists() or not list((tmp_path / 'run').rglob('*.log'))
