"""Where and how a run is computed, and which engine trains it there."""
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from lth.experiments.plan import Plan
from lth.registry import trust
from lth.registry.trust import Trust
from lth.runs.folder import Run
from lth.runs.last_session import last_session
from lth.training.checkpoint_interval import DEFAULT_INTERVAL, CheckpointInterval
from lth.training.engines import select
from lth.training.engines.names import CompileChoice, CompileDecision, EngineChoice, ReplicateChoice, engine_choice
from lth.training.task import Engine


@dataclass(frozen=True)
class RunTarget:  # pylint: disable=too-many-instance-attributes # one for each option
    """Where and how a run is computed. Of these, only the device and the number of threads affect its results, by
    rounding. `threads` None changes no setting of this process. `engine` None takes the engine of the run's last
    session. `in_process` trains all seeds in this process, which a model or data that no other process can import
    needs. `deterministic` lets results repeat bit for bit on a GPU; None does if the run's last session did. `compile`
    None compiles if the last session did, and otherwise by the rule. `replicates` is how several convolutional networks
    train at once on a GPU; None as in the last session, else as parallel branches. `trusted`: which code outside of lth
    worker processes may run, by default the same as this process. `checkpoint_every`: how often a round in progress is
    saved; None every ten minutes. `logs`: programs in which measurements are logged, see metric_logs. `executor` says
    where seeds are trained (lth/experiments/executors), with the `executor_settings`. `sync_batch_norm`: whether
    several ranks normalize over the complete batch; None as in the last session, else each over its own part.
    """

    folder: Path
    datasets: Path
    device: str = 'auto'
    threads: int | None = 1
    engine: EngineChoice | None = None
    in_process: bool = False
    deterministic: bool | None = None
    compile: CompileChoice | CompileDecision | None = None
    replicates: ReplicateChoice | None = None
    trusted: Trust = field(default_factory=trust.current)
    checkpoint_every: CheckpointInterval | None = None
    logs: tuple[str, ...] = ()
    executor: str = 'local'
    executor_settings: Mapping[str, Any] = field(default_factory=dict)
    sync_batch_norm: bool | None = None

    @property
    def interval(self) -> CheckpointInterval:
        """How often a round in progress is saved."""

        return self.checkpoint_every or DEFAULT_INTERVAL

    def resumed(self, run: Run) -> 'RunTarget':
        """The target with the choices of the run's last session where it has none."""

        last = last_session(run)
        engine = engine_choice(self.engine or last.engine or 'auto')
        deterministic = last.deterministic if self.deterministic is None else self.deterministic
        compile_ = self.compile or last.compile_decision(select.resolve_device(self.device))
        replicates = self.replicates or last.replicates
        sync_batch_norm = last.sync_batch_norm if self.sync_batch_norm is None else self.sync_batch_norm
        return replace(self, engine=engine, deterministic=deterministic, compile=compile_, replicates=replicates,
                       sync_batch_norm=sync_batch_norm)

    def configure_process(self, device: torch.device) -> None:
        """Change the settings of this process as far as the target asks for it."""

        if self.threads is not None:
            select.configure_process(threads=self.threads, device=device, deterministic=bool(self.deterministic))
        elif self.deterministic:
            select.make_deterministic(device)


def select_engine(plan: Plan, target: RunTarget) -> Engine:
    """The engine that trains the plan there; LthError if the requested one cannot."""

    if ranks := select.current_ranks():
        return select.select_distributed_engine(
            target.device, ranks, plan.network, plan.recipe.training, choice=target.engine or 'auto',
            compilation=decide_compilation(plan, target).decision, sync_batch_norm=bool(target.sync_batch_norm))
    return select.select_engine(
        target.device, choice=target.engine or 'auto', capturable=plan.capturable, obstacle=plan.sparse_obstacle,
        compilation=decide_compilation(plan, target).decision, replicates=target.replicates or 'branches')


def decide_compilation(plan: Plan, target: RunTarget, *, seeds: int = 1) -> select.Compilation:
    """Whether the network is compiled for the training of this number of seeds."""

    choice = target.compile or 'auto'
    if select.current_ranks():
        return select.Compilation('on' if choice == 'on' else 'off')
    if choice != 'on' and target.engine not in (None, 'auto'):
        return select.Compilation()
    return select.decide_compilation(
        target.device, choice, plan.network, plan.recipe.training, steps=seeds * plan.total_steps,
        obstacle=plan.compile_obstacle)


def set_up_engine(plan: Plan, target: RunTarget) -> Engine:
    """The engine that trains the plan there, with this process configured for it as far as the target asks."""

    engine = select_engine(plan, target)
    target.configure_process(engine.device)
    return engine


def supported_target(plan: Plan, target: RunTarget) -> RunTarget:
    """The target, without a sparse engine if the plan trains no weights: for a command that searches and finetunes."""

    if target.engine == 'sparse' and plan.recipe.algorithm.trains != 'each':
        return replace(target, engine=None)
    return target


def refuse_unsupported_finetuning(plan: Plan, target: RunTarget) -> None:
    """LthError if the requested engine cannot finetune what the search by `plan` will find."""

    if target.engine == 'sparse':
        training = plan.for_round(len(plan.kept) - 1).recipe.training
        obstacle = select.sparse_obstacle(plan.network, plan.recipe.data, training, streamed=plan.streamed)
        select.select_engine(target.device, choice=target.engine, obstacle=obstacle)
