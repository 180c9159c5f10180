"""The job of a cluster in which this process runs, as Slurm describes it in environment variables."""
import os


def number() -> str | None:
    """The number of the Slurm job, such as 12, or 12_0 in a job array; None outside of one."""

    array, index = os.environ.get('SLURM_ARRAY_JOB_ID'), os.environ.get('SLURM_ARRAY_TASK_ID')
    return f'{array}_{index}' if array and index else os.environ.get('SLURM_JOB_ID')


def restarts() -> int:
    """How many times the job was queued again after it had started."""

    count = os.environ.get('SLURM_RESTART_COUNT', '0')
    return int(count) if count.isdecimal() else 0


def in_words() -> str | None:
    """The job in messages, such as 'Slurm job 12_0'; None outside of one."""

    return f'Slurm job {job}' if (job := number()) else None
