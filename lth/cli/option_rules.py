"""Rules between the options of a command: none is given twice, some exclude each other, some need another one.

To add a rule to a command, decorate its function with `option_rules`.
"""
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol

import typer
from typer.core import TyperCommand

P = ParamSpec('P')


class Rule(Protocol):
    """What the options of one command line have to satisfy."""

    def violation(self, given: Sequence[str]) -> str | None:
        """What is wrong with these options, by their long names, in one sentence; None if nothing is."""


@dataclass(frozen=True)
class Needs:
    """An option that has an effect only together with another one."""

    option: str
    needed: str

    def violation(self, given: Sequence[str]) -> str | None:
        """See Rule."""

        if self.option not in given or self.needed in given:
            return None
        return f'{self.option} has an effect only with {self.needed}. Give both, or leave out {self.option}.'


@dataclass(frozen=True)
class Excludes:
    """An option with which the others have no effect, or another one."""

    option: str
    others: Sequence[str]

    def violation(self, given: Sequence[str]) -> str | None:
        """See Rule."""

        excluded = [other for other in self.others if other in given]
        if self.option not in given or not excluded:
            return None
        return f'{self.option} cannot be combined with {excluded[0]}. Leave out one of them.'


def option_rules(*rules: Rule) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """A decorator of a command that adds these rules."""

    def add(function: Callable[P, None]) -> Callable[P, None]:
        setattr(function, '_option_rules', rules)
        return function
    return add


class RuledCommand(TyperCommand):
    """A command that refuses options that are given twice, and those that break its rules."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line, after its options are checked."""

        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        options = [option for option in order if option.param_type_name == 'option']
        if not any(option.is_eager for option in options):  # --help
            _refuse_repeated([option for option in options if not option.multiple], ctx)
            self._refuse_broken_rules(list(map(_long_name, options)), ctx)
        return super().parse_args(ctx, args)

    def _refuse_broken_rules(self, given: Sequence[str], ctx: Any) -> None:
        """An error for the first rule that these options break."""

        rules: Sequence[Rule] = getattr(self.callback, '_option_rules', ())
        messages = [message for rule in rules if (message := rule.violation(given))]
        if messages:
            raise typer.BadParameter(messages[0], ctx)


def _refuse_repeated(options: Sequence[Any], ctx: Any) -> None:
    """An error if one of the options is given more than once."""

    for option, count in Counter(options).items():
        if count > 1:
            names = '/'.join([*option.opts, *option.secondary_opts])
            raise typer.BadParameter(f'{names} is given {count} times. Give it once.', ctx)


def _long_name(option: Any) -> str:
    return str(max(option.opts, key=len))
