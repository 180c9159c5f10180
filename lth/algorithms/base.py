"""The registry of algorithms.

An algorithm is a class of settings, which declare all that the rest of the package has to know (see AlgorithmSettings),
and a generator of rounds.
"""
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from torch import Tensor

from lth.errors import LthError
from lth.pruning.tickets import Round
from lth.recipes.schema import AlgorithmSettings
from lth.recipes.section import validate_section
from lth.registry import user_code
from lth.registry.registry import BaseRegistry, normalize_name
from lth.system.yaml_text import Raw
from lth.training.task import Parametrization, Task

BenchmarkStep = Callable[[Task, Tensor], Parametrization]
Generator = TypeVar('Generator', bound=Callable[..., Iterator[Round]])


@dataclass(frozen=True)
class Algorithm:
    """A generator of rounds with its settings; `summary` is the first line of the generator's docstring. If it trains
    scores, `lth bench` times a step with `benchmark_step(task, initial weights (R, N))`.
    """

    summary: str
    settings: type[AlgorithmSettings]
    generator: Callable[..., Iterator[Round]]
    benchmark_step: BenchmarkStep | None = None

    def find(
            self, task: Task, settings: Any, past: Sequence[Round], *, source: Sequence[Round] = ()) -> Iterator[Round]:
        """The rounds after those of `past`. `source`: the rounds of the source run that the settings' `source_rounds`
        lists, for algorithms that need one.
        """

        options = {'source': source} if self.settings.needs_source else {}
        what = f'The algorithm {settings.name}{user_code.definition_place(self.generator)}'
        rounds = self.generator(task, settings, past, **options)
        if not isinstance(rounds, Iterable):
            raise LthError(f'{what} returns {type(rounds).__name__} instead of rounds. Let it yield each Round.')
        for round_ in rounds:
            if not isinstance(round_, Round):
                raise LthError(f'{what} yields {type(round_).__name__} instead of a lth.pruning.tickets.Round.')
            yield round_


class Algorithms(BaseRegistry[Algorithm]):
    """Algorithms by name."""

    def register(
            self, name: str, *aliases: str, settings: type[AlgorithmSettings],
            benchmark_step: BenchmarkStep | None = None) -> Callable[[Generator], Generator]:
        """A decorator that registers a generator of rounds: (task, settings, past) -> rounds after those of the past.
        If the settings say `needs_source`, the generator also takes the keyword argument `source`.
        """

        def add(generator: Generator) -> Generator:
            summary = (generator.__doc__ or '').partition('\n')[0]
            self.add(Algorithm(summary, settings, generator, benchmark_step), name, *aliases)
            return generator
        return add

    def stored_settings(self, section: Raw) -> AlgorithmSettings:
        """The settings in the section `algorithm` of a stored recipe. If they need a plug-in that is not installed,
        only what all algorithms have in common: the results of a run can be shown without it.
        """

        try:
            return validate_section(self.find(section['name']).settings, section, 'recipe.yaml')
        except LthError:
            return AlgorithmSettings.model_construct(name=section['name'])

    def gem_names(self) -> dict[str, str]:
        """The names of all algorithms that find gems, `gem_alias` included: normalized name -> registered name."""

        names: dict[str, str] = {}
        for name in self.names():
            settings = self.find(name).settings
            if settings.finds == 'gems':
                names |= {normalize_name(word): name for word in (name, settings.gem_alias) if word}
        return names


ALGORITHMS = Algorithms('algorithm')
