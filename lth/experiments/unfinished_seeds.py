"""The seeds of a run that lack rounds, and where their training is."""
from collections.abc import Sequence

from lth.errors import LthError
from lth.experiments.plan import Plan
from lth.experiments.reporter import SeedProgress
from lth.experiments.seed_training import Report
from lth.runs.checkpoints import newest_checkpoint
from lth.runs.folder import Run


def unfinished_seeds(plan: Plan, run: Run, seeds: Sequence[int]) -> list[int]:
    """Those of the seeds that lack rounds."""

    return [seed for seed in seeds if run.round_count(seed) < len(plan.kept)]


def first_step(run: Run, seed: int) -> tuple[int, int]:
    """The round in which a seed is, and the iteration of its checkpoint in this round, 0 if there is none."""

    number = run.round_count(seed)
    checkpoint = newest_checkpoint(run.checkpoint_folder(seed), number)
    return number, checkpoint.step if checkpoint else 0


def report_starts(plan: Plan, run: Run, seeds: Sequence[int], report: Report) -> None:
    """Report where each seed is before it is trained."""

    unfinished = unfinished_seeds(plan, run, seeds)
    for seed in seeds:
        number, step = first_step(run, seed) if seed in unfinished else (len(plan.kept) - 1, plan.steps)
        report(SeedProgress((seed,), number, step))


def refuse_missing_rounds(plan: Plan, run: Run, seeds: Sequence[int]) -> None:
    """LthError unless every seed has all rounds: the folder, a seed or a round may have been moved or deleted."""

    if missing := unfinished_seeds(plan, run, seeds):
        raise LthError(f'{run.folder} is not complete: {run.round_count(missing[0])} of {len(plan.kept)} rounds of '
                       f'seed {missing[0]} are there. The folder, or a part of it, was moved or deleted while the run '
                       'was trained. Put it back, or run the same command again to train what is missing.')
