"""Rank 0 of a run on several ranks: it announces each group of seeds, and shares what it reads."""
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from lth.datasets import Dataset
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments import provenance
from lth.experiments.distributed.messages import SharedTask, leave_together, start_together
from lth.experiments.distributed.lockstep import Alone, Lockstep
from lth.experiments.distributed.shared import SharedCheckpoints, SharedRounds, check_round
from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget
from lth.pruning.tickets import Round
from lth.training.engines import select
from lth.training.engines.distributed.ranks import Ranks
from lth.training.task import Checkpoints, Engine


def ranked_target(target: RunTarget) -> RunTarget:
    """The target, in this process if it is one of several ranks. LthError for an executor, which starts others."""

    if not select.current_ranks():
        return target
    if target.executor != 'local':
        raise LthError(f'--executor {target.executor} trains many networks, and torchrun starts several processes for '
                       'one network. Leave out --executor, or start the command without torchrun.')
    return replace(target, in_process=True)


def make_lockstep(plan: Plan, target: RunTarget, engine: Engine, data: Dataset) -> Lockstep:
    """What makes all ranks train the seeds of a plan that this process trains."""

    ranks = select.current_ranks()
    return Leader(ranks, plan, target, engine, data) if ranks else Alone()


@dataclass(frozen=True)
class Leader:
    """The Lockstep of rank 0."""

    ranks: Ranks
    plan: Plan
    target: RunTarget
    engine: Engine
    data: Dataset

    @contextlib.contextmanager
    def rounds(
            self, seeds: tuple[int, ...], past: Sequence[Round], source: Sequence[Round],
    ) -> Iterator[tuple[Sequence[Round], Sequence[Round]]]:
        """Let all ranks train these seeds during the block. LthError if one of them cannot."""

        if self.ranks.broken:
            raise LthError('After an earlier error the ranks cannot train together any more. Start the same command '
                           'with torchrun again to resume.', exit_code=ENVIRONMENT_ERROR)
        device = self.engine.device
        self.ranks.board.publish(SharedTask(
            self.plan.recipe.dump(), self.target, device.type, seeds, len(past), len(source),
            provenance.inputs(self.plan, self.data)))
        start_together(self.ranks, None)
        self.ranks.prepare(device)
        try:
            yield (SharedRounds(self.ranks, device, range(len(past)), past),
                   SharedRounds(self.ranks, device, range(len(source)), source))
        except LthError:
            leave_together(self.ranks)
            raise

    def checkpoints(self, own: Checkpoints) -> Checkpoints:
        """Checkpoints that make all ranks stop where these do."""

        return SharedCheckpoints(self.ranks, own)

    def check(self, round_: Round) -> None:
        """LthError if a round is not the same on all ranks."""

        check_round(self.ranks, round_)
