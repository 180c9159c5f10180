"""Why a job has ended without an event of its task: by its state, its exit code, and what is in its log."""
import re
from pathlib import Path

from lth.errors import ENVIRONMENT_ERROR, LthError, excerpt
from lth.experiments.executors.slurm.queue import Job

_MOST_BYTES = 4096
_MEMORY = re.compile(r'oom[-_ ]kill|out of memory|exceeded (job )?memory limit', re.IGNORECASE)
# Exit codes, as EXIT:SIGNAL, of a job that was asked to end (SIGTERM) before it could answer, and of one that was
# killed (SIGKILL), by the kernel if its memory runs out.
_TERMINATED, _KILLED = ('143:0', '0:15', '15:0'), ('137:0', '0:9', '9:0')
_RESUME = 'Completed rounds and checkpoints are saved; run the same command again to resume.'


def is_lost(job: Job, code: str, *, has_saved: bool) -> bool:
    """Whether the job ended by no fault of its task, which another job may train further: the node failed or was needed
    for another job. At its time limit this is so if it has saved something before.
    """

    if job.state == 'TIMEOUT':
        return has_saved
    return job.state in ('PREEMPTED', 'NODE_FAIL', 'BOOT_FAIL') or (job.state == 'FAILED' and code in _TERMINATED)


def job_error(name: str, job: Job | None, code: str, log: Path) -> LthError:
    """The error for a task, whose name starts the message."""

    text, last = _end_of(log)
    if job is None:
        return _error(name, 'its job is not in the queue of Slurm any more, and has reported no end: it was cancelled '
                      'before it started, or Slurm has lost it', last, log)
    what = f'Slurm job {job.number}'
    if job.state == 'OUT_OF_MEMORY' or _MEMORY.search(text):
        return _error(name, f'{what} ran out of memory. Raise its limit (--executor-set memory=...), or use smaller '
                      'batches', '', log)
    match job.state:
        case 'CANCELLED':
            reason = f'{what} was cancelled'
        case 'TIMEOUT' | 'DEADLINE':
            reason = (f'{what} reached its time limit before anything was saved. Raise the limit (--executor-set '
                      'time=...)')
        case _:
            killed = ', so it was killed, probably as its memory ran out' if code in _KILLED else ''
            known = f' and the exit code {code}' if code else ''
            reason = f'{what} ended with the state {job.state}{known}{killed}'
    return _error(name, reason, last, log)


def _error(name: str, reason: str, last: str, log: Path) -> LthError:
    details = f' Its log {log} ends with: {last}.' if last else ''
    missing = '' if log.exists() else f' It has no log {log}: Slurm needs a file system that all nodes share.'
    return LthError(f'{name}: {reason}.{details}{missing} {_RESUME}', exit_code=ENVIRONMENT_ERROR)


def _end_of(log: Path) -> tuple[str, str]:
    """The end of a log, and its last line."""

    try:
        with open(log, 'rb') as file:
            file.seek(max(0, log.stat().st_size - _MOST_BYTES))
            text = file.read(_MOST_BYTES).decode(errors='replace')
    except OSError:
        return '', ''
    lines = [line for line in text.splitlines() if line.strip()]
    return text, excerpt(lines[-1]).rstrip('.') if lines else ''
