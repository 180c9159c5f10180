"""The options of all commands that train by a plan: where and how networks are trained, as one argument.

To add an option, add it to `_OPTIONS` and as a field with the same name to `TargetOptions`.
"""
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lth import experiments
from lth.cli import executor_options
from lth.cli.added_options import AddedOption, add_options
from lth.cli.arguments import parse_names
from lth.cli.executor_options import ExecutorChoice
from lth.cli.options import (
    CheckpointEvery, Compile, Deterministic, Device, EngineOption, LogOption, Replicates, SyncBatchNorm, Threads)
from lth.training.checkpoint_interval import CheckpointInterval
from lth.training.engines.names import CompileChoice, EngineChoice, ReplicateChoice

if TYPE_CHECKING:
    from lth.experiments.run_target import RunTarget

_OPTIONS = {
    'device': AddedOption(Device, 'auto'),
    'threads': AddedOption(Threads, 1),
    'engine': AddedOption(EngineOption, None),
    'compile': AddedOption(Compile, None),
    'replicates': AddedOption(Replicates, None),
    'deterministic': AddedOption(Deterministic, None),
    'checkpoint_every': AddedOption(CheckpointEvery, None),
    **executor_options.OPTIONS,
    'log': AddedOption(LogOption, None)}
_OPTIONS_ON_RANKS = {**_OPTIONS, 'sync_batch_norm': AddedOption(SyncBatchNorm, None)}


@dataclass(frozen=True)
class TargetOptions:  # pylint: disable=too-many-instance-attributes # one for each option
    """The values of the options. See RunTarget for what each means."""

    device: str
    threads: int
    engine: EngineChoice | None
    compile: CompileChoice | None
    replicates: ReplicateChoice | None
    deterministic: bool | None
    checkpoint_every: CheckpointInterval | None
    log: str | None
    executor: ExecutorChoice
    sync_batch_norm: bool | None = None

    def target(self, folder: Path, datasets: Path) -> 'RunTarget':
        """The target for a run in a folder."""

        return experiments.run_target.RunTarget(
            folder, datasets, self.device, self.threads, self.engine, deterministic=self.deterministic,
            compile=self.compile, replicates=self.replicates, checkpoint_every=self.checkpoint_every,
            logs=tuple(parse_names(self.log) or ()), executor=self.executor.name,
            executor_settings=self.executor.settings, sync_batch_norm=self.sync_batch_norm)


def accepts_target(function: Callable[..., None]) -> Callable[..., None]:
    """The command, which has an argument `where: TargetOptions`, with options from which that is made."""

    return add_options(function, _OPTIONS, _choose, made='where')


def accepts_target_on_ranks(function: Callable[..., None]) -> Callable[..., None]:
    """As `accepts_target`, for a command that several ranks compute together."""

    return add_options(function, _OPTIONS_ON_RANKS, _choose, made='where')


def _choose(values: dict[str, Any], arguments: dict[str, Any]) -> None:
    executor = executor_options.choose(**{name: values.pop(name) for name in executor_options.OPTIONS})
    arguments['where'] = TargetOptions(**values, executor=executor)
