"""The register of algorithms and what each declares beside its code."""
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lth.models.flat_parameters import Layout
from lth.pruning.tickets import Round
from lth.recipes.schema import AlgorithmSettings, TrainingSettings
from lth.registry.registry import Registry
from lth.training.task import Task

Find = Callable[[Task, Any, Sequence[Round]], Iterator[Round]]
Trains = Literal['each', 'throughout', 'never']
Finds = Literal['tickets', 'gems', 'nothing new']


@dataclass(frozen=True)
class Algorithm:
    """`find` yields the rounds after those in its third argument, the past. The rest is known before anything is
    trained: `kept`, the prunable weights left in each round, `check`, which raises an LthError for settings that cannot
    work out, whether it trains in `each` round anew, `throughout` all rounds as parts of one training, or `never`, what
    it `finds`, whether it is `noisy`, drawing anew for every step, and whether it is `sourced`: its past then begins
    with the round of another run that its settings name.
    """

    summary: str
    settings: type[AlgorithmSettings]
    find: Find
    kept: Callable[[Layout, Any, TrainingSettings, int], list[int]]
    check: Callable[[Any, TrainingSettings, int], None]
    trains: Trains = 'each'
    finds: Finds = 'tickets'
    stochastic: bool = False
    needs_source: bool = False


ALGORITHMS: Registry[Algorithm] = Registry('algorithm')


def algorithm(
        name: str, settings: type[AlgorithmSettings], *, kept: Callable[[Layout, Any, TrainingSettings, int], list[int]],
        check: Callable[[Any, TrainingSettings, int], None], trains: Trains = 'each', finds: Finds = 'tickets',
        stochastic: bool = False, needs_source: bool = False,
) -> Callable[[Find], Find]:
    """A decorator that registers a generator of rounds; the first line of its docstring becomes its summary."""

    def add(find: Find) -> Find:
        summary = (find.__doc__ or '').partition('\n')[0]
        ALGORITHMS.register(name)(Algorithm(summary, settings, find, kept, check, trains, finds, stochastic, needs_source))
        return find
    return add
