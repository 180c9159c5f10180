"""The file of this session in the run folder, kept up to date while the run is trained."""
import time

from lth.experiments.reporter import SeedProgress
from lth.experiments.session_log import SessionLog
from lth.runs import sessions
from lth.runs.folder import Run
from lth.system.yaml_text import Raw


class SessionRecorder:
    """A Reporter that passes all reports on to the log of this session, and writes its entry whenever something was
    saved.
    """

    def __init__(self, run: Run, entry: Raw, log: SessionLog) -> None:
        self._run = run
        self._entry = entry
        self._reporter = log
        self._start = time.monotonic()
        self.message = log.message

    def progress(self, progress: SeedProgress) -> None:
        """Record a checkpoint in the file of this session."""

        if progress.checkpoint:
            self._record(rounds=0)
        self._reporter.progress(progress)

    def round_saved(self, progress: SeedProgress) -> None:
        """Record the round in the file of this session."""

        self._record(rounds=len(progress.seeds))
        self._reporter.round_saved(progress)

    def _record(self, *, rounds: int) -> None:
        seconds = round(time.monotonic() - self._start, 3)
        self._entry.update(seconds=seconds, rounds=self._entry['rounds'] + rounds)
        sessions.write(self._run.folder, self._entry)
        self._reporter.open(sessions.entry_file(self._run.folder, self._entry).with_suffix('.log'), self._entry)
