"""Train the missing rounds of some seeds together, in this process or in a worker, and save each round and checkpoints.
"""
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from lth.datasets import Dataset, sampling
from lth.experiments import derived_runs, provenance
from lth.experiments.data_cache import DataCache
from lth.experiments.distributed.lockstep import Alone, Lockstep
from lth.experiments.plan import Plan, make_plan
from lth.experiments.reporter import SeedProgress, seed_names
from lth.experiments.run_target import RunTarget, select_engine
from lth.pruning.tickets import Round
from lth.registry import trust, user_code
from lth.runs.checkpoints import CheckpointStore, RunCheckpoints
from lth.runs.folder import Run
from lth.system import signals
from lth.system.yaml_text import Raw
from lth.training.checkpoint_interval import CheckpointInterval
from lth.training.engines import select
from lth.training.state import Measurement
from lth.training.task import Engine

_SECONDS_BETWEEN_REPORTS = 0.2
# A worker process does one task after another, often on the same images.
_worker_data = DataCache()
# Receives where the training is, and notes for the user.
Report = Callable[[SeedProgress | str], None]


@dataclass(frozen=True)
class SeedTraining:
    """What this process needs to train seeds of a run."""

    plan: Plan
    run: Run
    engine: Engine
    data: Dataset
    checkpoint_every: CheckpointInterval
    lockstep: Lockstep = Alone()


def train_seeds(training: SeedTraining, seeds: tuple[int, ...], report: Report) -> None:
    """Train the missing rounds of some seeds together, as one stack of replicates. A signal ends the training with a
    checkpoint, and raises Interrupted.
    """

    plan, engine = training.plan, training.engine
    run = replace(training.run, nonzero_pixels=sampling.nonzero_pixels(training.data, plan.recipe.data))
    past: Sequence[Round] = run.stored_rounds(seeds, engine.device)
    watch = _Watch(seeds, len(past), report)
    missing = range(len(past), len(plan.kept))
    derived = plan.recipe.algorithm.needs_source
    source = derived_runs.source_rounds(plan, run, seeds, engine) if derived else ()
    # Read before training, so that a source that is replaced meanwhile is noticed the next time.
    sources = derived_runs.source_fingerprints(plan, run, seeds, missing) if derived else {}
    checkpoints = RunCheckpoints(_checkpoint_store(training, run, watch, report), len(past))
    task = plan.task(training.data, seeds, engine, watch.on_step)
    task = replace(task, checkpoints=training.lockstep.checkpoints(checkpoints))
    with training.lockstep.rounds(seeds, past, source) as (past, source), \
            user_code.guard_training(f'Training {plan.recipe.model.name}, {seed_names(seeds)},',
                                     foreign_model=plan.network.has_foreign_code), \
            select.explain_training_failures(task), signals.deferred():
        for round_ in plan.algorithm.find(task, plan.recipe.algorithm, past, source=source):
            training.lockstep.check(round_)
            round_ = replace(round_, sources=sources.get(round_.number, ()))
            provenance.refuse_changed_modules()
            run.save(round_, seeds)
            checkpoints.complete_round(seeds)
            watch.on_saved(round_)
            signals.check()


def train_in_worker(
        recipe: Raw, target: RunTarget, seeds: tuple[int, ...], expected: Raw, report: Report) -> None:
    """Train the missing rounds of some seeds in a process of its own, which makes the plan again from the recipe.
    LthError if code or images are no longer the `expected` ones.
    """

    trust.set_current(target.trusted)
    plan = make_plan(recipe, 'recipe.yaml')
    engine = select_engine(plan, target)
    replace(target, threads=target.threads or 1).configure_process(engine.device)
    data = _worker_data.load(plan, target.datasets, engine.device)
    provenance.refuse_changed_inputs(expected, provenance.inputs(plan, data), seeds)
    run = plan.run(target.folder)
    train_seeds(SeedTraining(plan.for_data(data), run, engine, data, target.interval), seeds, report)


def _checkpoint_store(training: SeedTraining, run: Run, watch: '_Watch', report: Report) -> CheckpointStore:
    """Where the checkpoints of a run are, and what they belong to: its recipe, code and images."""

    facts = {'recipe': run.digest, **provenance.inputs(training.plan, training.data)}
    identity = hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()
    return CheckpointStore(
        run.checkpoint_folder, identity, training.checkpoint_every, before_first=run.begin,
        after_save=watch.on_checkpoint, on_message=report)


class _Watch:
    """Turns the steps of a training loop into reports, except those that follow each other too fast."""

    def __init__(self, seeds: tuple[int, ...], number: int, report: Report) -> None:
        self._seeds = seeds
        self._number = number
        self._report = report
        self._last_report = 0.

    def on_step(self, step: int, measurement: Measurement | None) -> None:
        """Report the step, always if it was measured."""

        if measurement is None and time.monotonic() - self._last_report < _SECONDS_BETWEEN_REPORTS:
            return
        self._last_report = time.monotonic()
        scores = (measurement.validation.accuracy, measurement.test.accuracy) if measurement else ((), ())
        self._report(SeedProgress(self._seeds, self._number, step, *scores, measurement=measurement))

    def on_saved(self, round_: Round) -> None:
        """Report the round; the steps that follow belong to the next one."""

        test = round_.trained.history[-1].test.accuracy
        self._report(SeedProgress(self._seeds, round_.number, round_.trained.step, test=test, saved=True))
        self._number = round_.number + 1

    def on_checkpoint(self, step: int) -> None:
        """Report that a checkpoint of the round was saved."""

        self._report(SeedProgress(self._seeds, self._number, step, checkpoint=True))
