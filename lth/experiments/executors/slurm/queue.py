"""What Slurm says about partitions and jobs. Each question has a time limit: a controller may be down or overloaded."""
import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from lth.errors import ENVIRONMENT_ERROR, LthError, excerpt, quote, suggestion

# A job in one of these states runs, or will run.
_ALIVE = {'PENDING', 'CONFIGURING', 'RUNNING', 'COMPLETING', 'SUSPENDED', 'STOPPED', 'SIGNALING', 'STAGE_OUT',
          'REQUEUED', 'REQUEUE_FED', 'REQUEUE_HOLD', 'SPECIAL_EXIT', 'RESIZING', 'RESV_DEL_HOLD'}


@dataclass(frozen=True)
class Job:
    """A task in Slurm's queue: the name of its job, its place in the job array (0 if there is no array), its number in
    messages such as 12_0, its state, and Slurm's reason for it.
    """

    name: str
    index: int
    number: str
    state: str
    reason: str = ''

    @property
    def is_alive(self) -> bool:
        """Whether the task waits or runs."""

        return self.state in _ALIVE


def refuse_unknown_partition(partition: str | None, *, minutes: int, seconds: int) -> None:
    """LthError if there is no Slurm, if it does not answer within the time, if it has no such partition, or if the
    partition's time limit is lower than these minutes.
    """

    rows = [row.partition('|')[::2] for row in ask(['sinfo', '-h', '-o', '%P|%l'], seconds=seconds).splitlines()]
    limits = {name.rstrip('*'): limit for name, limit in rows}
    default = next((name.rstrip('*') for name, _ in rows if name.endswith('*')), None)
    name = partition or default
    if name is None:
        raise LthError(f'This Slurm cluster has no default partition. Name one, as in --executor-set partition='
                       f'{next(iter(limits), "NAME")}; `sinfo` lists them.')
    if name not in limits:
        raise LthError(f'This Slurm cluster has no partition {quote(name)}{suggestion(name, limits)}')
    most = _limit(limits[name])
    if most is not None and minutes > most:
        raise LthError(f'time: the partition {quote(name)} allows {limits[name]} (days-hours:minutes:seconds), which '
                       'is less. A job that reaches its time limit saves a checkpoint and is queued again, so a lower '
                       'limit is enough.')


def jobs(*, seconds: int) -> dict[tuple[str, int], Job]:
    """The jobs of this user by name and index, also those that ended in the last minutes."""

    rows = ask(['squeue', '--states=all', '-h', '-r', '-u', str(os.getuid()), '-o', '%j|%K|%i|%T|%r'], seconds=seconds)
    found = {}
    for row in rows.splitlines():
        fields = row.split('|', 4)
        if len(fields) == 5:  # and no message that Slurm prints between the jobs
            name, index, number, state, reason = fields
            job = Job(name, int(index) if index.isdigit() else 0, number, state, reason)
            found[name, job.index] = job
    return found


def finished_job(name: str, index: int, number: str, *, seconds: int) -> Job | None:
    """A job that the queue has forgotten, from Slurm's accounting; None where there is none."""

    try:
        rows = ask(['sacct', '-X', '-n', '-P', '-j', number, '-o', 'State'], seconds=seconds).split()
    except LthError:
        return None
    return Job(name, index, number, rows[0]) if rows else None


def exit_code(number: str, *, seconds: int) -> str:
    """The exit code of a job that has ended, as EXIT:SIGNAL; '' if Slurm does not know it any more."""

    return _job_fact(number, r' ExitCode=(\d+:\d+)', seconds=seconds)


def job_state(number: str, *, seconds: int) -> str:
    """The state of a job; '' if Slurm does not say."""

    return _job_fact(number, r' JobState=(\w+)', seconds=seconds)


def ask(command: list[str], *, seconds: int) -> str:
    """What a command of Slurm prints. LthError if it is not installed, fails, or does not end within the time."""

    if shutil.which(command[0]) is None:
        raise LthError(f'Slurm is not installed here: there is no command {quote(command[0])}. Run this on a login '
                       'node of the cluster, or train on this machine with --executor local.',
                       exit_code=ENVIRONMENT_ERROR)
    try:
        return subprocess.run(command, check=True, capture_output=True, encoding='utf-8', errors='replace',
                              timeout=seconds, stdin=subprocess.DEVNULL).stdout
    except subprocess.TimeoutExpired:
        raise unanswered(command[0], seconds) from None
    except subprocess.CalledProcessError as error:
        raise LthError(f'Slurm does not answer: `{" ".join(command[:2])}` failed ({excerpt(error.stderr)}). Check with '
                       '`scontrol ping` whether its controller runs, and repeat the command.',
                       exit_code=ENVIRONMENT_ERROR) from None


def unanswered(command: str, seconds: int) -> LthError:
    """The error for a command of Slurm that does not end within the time."""

    return LthError(f'Slurm did not answer within {seconds} s: {command} was still waiting. Check with `scontrol ping` '
                    'whether its controller runs and can be reached, and repeat the command; or wait longer with '
                    '--executor-set answer_seconds=N.', exit_code=ENVIRONMENT_ERROR)


def _limit(text: str) -> int | None:
    """A time limit that sinfo prints, such as 1-00:00:00, 30:00 or infinite, in minutes."""

    found = re.fullmatch(r'(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)', text)
    if not found:
        return None
    days, hours, minutes, _ = (int(part or 0) for part in found.groups())
    return days * 1440 + hours * 60 + minutes


def _job_fact(number: str, pattern: str, *, seconds: int) -> str:
    """What the group of the pattern matches in Slurm's description of a job; '' if Slurm does not say."""

    try:
        found = re.search(pattern, ask(['scontrol', 'show', 'job', '-o', number], seconds=seconds))
    except LthError:
        return ''
    return found[1] if found else ''
