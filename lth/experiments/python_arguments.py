"""Arguments of the Python API, checked and turned into the values that the rest of the package uses."""
import itertools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from torch import nn

from lth.datasets.objects import register_data
from lth.errors import LthError, quote
from lth.experiments.executors import make_executor
from lth.experiments.plan import Plan
from lth.experiments.reporter import LineReporter, Reporter, SilentReporter
from lth.experiments.run_target import RunTarget
from lth.models.objects import register_model
from lth.registry import trust
from lth.registry.objects import is_object
from lth.training.checkpoint_interval import checkpoint_interval
from lth.training.engines.names import CompileChoice, EngineChoice, ReplicateChoice, engine_choice

Model = str | nn.Module | Callable[..., nn.Module]
Data = str | Sequence[Any]
Settings = Mapping[str, Any]
Seeds = int | Iterable[int]
# As on the command line.
_MOST_SEEDS = 10_001
_LARGEST_SEED = 999_999_999


class Execution(TypedDict, total=False):
    """Where and how training runs, and what is reported; all optional.

    datasets: the folder of the data sets, by default ./datasets. device: 'auto', 'cpu', 'cuda' or 'cuda:1'. engine:
    'auto', 'eager' or 'sparse'. compile: 'auto', 'on' or 'off', as --compile. replicates: 'branches' or 'stacked', as
    --replicates. threads: threads of torch for each seed; by default no setting of this process is changed, 1 gives the
    bits of the command line. deterministic: let results repeat bit for bit on the same GPU, by settings of this
    process; by default if the run's last session did. trust_code: run the code that a recipe or a run names and that is
    neither of lth, nor of a plug-in, nor given as an argument. parallel: train each seed in its own process, as the
    command line does on a CPU. checkpoint_every: how often a round in progress is saved, such as '10 minutes', which is
    the default, '200 iterations' or 'off'. log: 'tensorboard', 'trackio' or both, in which measurements are logged
    while a run is trained. executor: 'local', or another one of `lth list executors`, such as 'ray', with its
    executor_settings, a dict such as {'address': 'auto'}. progress: print messages and completed rounds. reporter:
    receives all reports.
    """

    datasets: str | Path
    device: str
    engine: EngineChoice | None
    compile: CompileChoice | None
    replicates: ReplicateChoice | None
    threads: int | None
    deterministic: bool | None
    trust_code: bool
    parallel: bool
    checkpoint_every: str
    log: str | Sequence[str] | None
    executor: str
    executor_settings: Mapping[str, Any]
    progress: bool
    reporter: Reporter | None


def model_name(model: Model) -> str:
    """The name of a model: itself, or the name under which the object is registered now."""

    return str(trust.add(model)) if isinstance(model, str) else register_model(model)


def data_name(data: Data) -> str:
    """The name of a data set: itself, or the name under which the object is registered now."""

    return str(trust.add(data)) if isinstance(data, str) else register_data(data)


def seed_numbers(seeds: Seeds) -> list[int]:
    """The seeds in ascending order, each once."""

    try:
        given = seeds if isinstance(seeds, Iterable) else [seeds]
        numbers = sorted(map(operator.index, itertools.islice(given, _MOST_SEEDS + 1)))
    except TypeError:
        numbers = []
    if len(numbers) > _MOST_SEEDS:
        raise LthError(f'seeds: {quote(seeds)} are too many. Give at most {_MOST_SEEDS:,}.')
    if not numbers or numbers[0] < 0 or numbers[-1] > _LARGEST_SEED:
        raise LthError(f'seeds: {quote(seeds)} are not whole numbers from 0 to {_LARGEST_SEED:,}. Give one, or several '
                       'such as range(3).')
    return list(dict.fromkeys(numbers))


def setting_pairs(settings: Settings | None) -> tuple[tuple[str, Any], ...]:
    """The settings as pairs of a dotted key and a value."""

    pairs = tuple((settings or {}).items())
    for key, value in pairs:
        trust.add(value)
        if not isinstance(key, str):
            raise LthError(f"settings: {quote(key)} is not a dotted key such as 'training.batch_size'.")
    return pairs


def device_name(execution: Execution) -> str:
    """The requested device, by default 'auto'."""

    return execution.get('device', 'auto')


def run_target(folder: Path, execution: Execution) -> RunTarget:
    """Where and how the run in the folder is trained."""

    engine, interval = execution.get('engine'), execution.get('checkpoint_every')
    executor, settings = execution.get('executor', 'local'), execution.get('executor_settings', {})
    in_process = not (make_executor(executor, settings).remote or execution.get('parallel', False))
    return RunTarget(
        folder, Path(execution.get('datasets', 'datasets')), device_name(execution), execution.get('threads'),
        None if engine is None else engine_choice(str(engine)), in_process=in_process,
        deterministic=execution.get('deterministic'), compile=execution.get('compile'),
        replicates=execution.get('replicates'), checkpoint_every=checkpoint_interval(interval) if interval else None,
        logs=_names(execution.get('log')),
        executor=executor, executor_settings=settings)


def _names(names: str | Sequence[str] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def reporter_of(execution: Execution, plan: Plan | None = None) -> Reporter:
    """The given reporter, else one that prints lines if progress is requested, for rounds of the plan with the numbers
    of its tables, else a silent one.
    """

    if reporter := execution.get('reporter'):
        return reporter
    if not execution.get('progress'):
        return SilentReporter()
    return LineReporter(plan.recipe.algorithm.table_round) if plan else LineReporter()


def refuse_parallel_objects(plan: Plan, target: RunTarget) -> None:
    """LthError if seeds are to be trained in processes of their own, but these cannot import the model or the data."""

    given = [name for name in (plan.recipe.model.name, plan.recipe.data.name) if is_object(name)]
    if given and not target.in_process:
        argument = 'parallel' if target.executor == 'local' else 'executor'
        raise LthError(f'{argument}: {given[0]} is a Python object of this process, which other processes cannot '
                       f'import. Leave out {argument} to train the seeds one after another in this process; or put a '
                       'function into a file, and give its name as path/to/file.py:function.')
