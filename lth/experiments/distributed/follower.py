"""Ranks other than 0: they train the same seeds at the same time, and neither read nor write files of runs."""
from dataclasses import dataclass, replace

from lth.datasets import Dataset
from lth.errors import LthError
from lth.experiments import provenance
from lth.experiments.data_cache import DataCache
from lth.experiments.distributed.messages import End, SharedTask, leave_together, start_together
from lth.experiments.distributed.shared import SharedCheckpoints, SharedRounds, check_round
from lth.experiments.plan import Plan, make_plan
from lth.experiments.reporter import seed_names
from lth.experiments.run_target import select_engine
from lth.registry import trust, user_code
from lth.system import signals
from lth.training.engines import select
from lth.training.engines.distributed.ranks import Ranks
from lth.training.task import Engine, Task


@dataclass(frozen=True)
class _Prepared:
    """A plan, the engine of this rank, and the images."""

    plan: Plan
    engine: Engine
    data: Dataset


class Follower:
    """Trains what rank 0 announces, until it ends."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._data = DataCache()

    def follow(self) -> int:
        """Train with rank 0. Returns its exit code; LthError for an error of this rank that ends it."""

        while True:
            message = self._ranks.board.next()
            if isinstance(message, End):
                return message.exit_code
            self._work(message)

    def _work(self, shared: SharedTask) -> None:
        """Train one group of seeds. Errors that rank 0 has too, or that it reports, end only this."""

        prepared, error = None, None
        try:
            prepared = self._prepare(shared)
        except LthError as failure:
            error = failure
        try:
            start_together(self._ranks, error)
        except LthError:
            return
        assert prepared
        try:
            self._ranks.prepare(prepared.engine.device)
            self._train(prepared, shared)
        except LthError:
            if not leave_together(self._ranks):
                raise

    def _prepare(self, shared: SharedTask) -> _Prepared:
        """What this rank needs for a task. LthError if it has other images, code or devices than rank 0."""

        trust.set_current(shared.target.trusted)
        target = replace(shared.target, device=shared.device)
        plan = make_plan(shared.recipe, 'recipe.yaml')
        engine = select_engine(plan, target)
        select.refuse_unsupported_precision(engine.device, plan.recipe.training.precision)
        replace(target, threads=target.threads or 1).configure_process(engine.device)
        data = self._data.load(plan, target.datasets, engine.device)
        if difference := provenance.difference(shared.expected, provenance.inputs(plan, data)):
            raise LthError(f'rank 0 has {difference}. All ranks need the same images and code: copy them to this '
                           'machine, or train where a shared folder has them.')
        return _Prepared(plan.for_data(data), engine, data)

    def _train(self, prepared: _Prepared, shared: SharedTask) -> None:
        """Compute the rounds that rank 0 computes."""

        plan, device = prepared.plan, prepared.engine.device
        task: Task = replace(plan.task(prepared.data, shared.seeds, prepared.engine),
                             checkpoints=SharedCheckpoints(self._ranks))
        past = SharedRounds(self._ranks, device, range(shared.past), None)
        source = SharedRounds(self._ranks, device, range(shared.source), None)
        with user_code.guard_training(f'Training {plan.recipe.model.name}, {seed_names(shared.seeds)},',
                                      foreign_model=plan.network.has_foreign_code), \
                select.explain_training_failures(task), signals.deferred():
            for round_ in plan.algorithm.find(task, plan.recipe.algorithm, past, source=source):
                provenance.refuse_changed_modules()
                check_round(self._ranks, round_)
