"""The file of a session: what it has taken and saved so far."""
import json
from types import SimpleNamespace

from lth.experiments import session_recorder
from lth.experiments.reporter import SeedProgress, SilentReporter
from lth.experiments.session_log import SessionLog

ENTRY = {'start': '2026-11-27T04:15:00+02:00', 'host': 'node', 'process': 17, 'seconds': 0., 'rounds': 0}


def test_the_time_is_recorded_in_milliseconds_so_that_short_sessions_add_up(tmp_path, monkeypatch):
    instants = iter([100., 100.0416, 102.5004])
    monkeypatch.setattr(session_recorder, 'time', SimpleNamespace(monotonic=lambda: next(instants)))
    recorder = session_recorder.SessionRecorder(
        SimpleNamespace(folder=tmp_path), ENTRY.copy(), SessionLog(SilentReporter()))
    recorded = []
    for report in (
            lambda: recorder.progress(SeedProgress((3, 4), 0, 21, checkpoint=True)),
            lambda: recorder.progress(SeedProgress((3, 4), 0, 22)),
            lambda: recorder.round_saved(SeedProgress((3, 4), 0, 42, test=(0.5, 0.5), saved=True))):
        report()
        (file,) = tmp_path.rglob('*.json')
        entry = json.loads(file.read_text())
        recorded.append((entry['seconds'], entry['rounds']))
    assert recorded == [(0.042, 0), (0.042, 0), (2.5, 2)]
