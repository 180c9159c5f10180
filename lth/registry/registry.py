"""Name -> thing, for everything that a user can name: models, data sets, criteria, actions, algorithms.

Case, hyphens and underscores do not matter: `CIFAR-10`, `cifar_10` and `cifar10` are one name. To add a thing, decorate
it with its registry's `register` in a file of its room, or of a plug-in. A registry may also take `foreign` names,
those with a colon.
"""
import inspect
import re
from collections.abc import Callable
from typing import Generic, TypeVar

from lth.errors import LthError, suggestion
from lth.registry import plugins

T = TypeVar('T')


class Registry(Generic[T]):
    """The things of one kind by name; an unknown name is an LthError that lists the nearest."""

    def __init__(self, kind: str, *, foreign: Callable[[str], T] | None = None) -> None:
        self.kind = kind
        self._foreign = foreign
        self._things: dict[str, T] = {}
        self._names: dict[str, str] = {}
        self._origins: dict[str, str] = {}

    def register(self, name: str, *aliases: str) -> Callable[[T], T]:
        """A decorator that makes the thing known as `name` and by its aliases; a name taken twice is an LthError."""

        def add(thing: T) -> T:
            for word in (name, *aliases):
                if normalize_name(word) in self._names:
                    first = self._origins[self._names[normalize_name(word)]]
                    raise LthError(f'Two things want to be the {self.kind} {word!r}, one of {first} and one of '
                                   f'{_registrant()}: rename one of them.')
                self._names[normalize_name(word)] = name
            self._things[name] = thing
            self._origins[name] = _registrant()
            return thing
        return add

    def canonical(self, name: str) -> str:
        """The one spelling under which things are stored and shown."""

        if self._foreign and ':' in name:
            return name
        plugins.load()
        if normalize_name(name) not in self._names:
            raise LthError(f'Unknown {self.kind} {name!r}{suggestion(name, self._things)}')
        return self._names[normalize_name(name)]

    def find(self, name: str) -> T:
        """The thing of that name or alias."""

        if self._foreign and ':' in name:
            return self._foreign(name)
        return self._things[self.canonical(name)]

    def names(self) -> list[str]:
        """All names, in the order in which they are shown."""

        plugins.load()
        return sorted(self._things)

    def is_builtin(self, name: str) -> bool:
        """Whether the thing of that name is lth's own, neither a foreign one nor a plug-in's."""

        return not (self._foreign and ':' in name) and self._origins[self.canonical(name)].split('.')[0] == 'lth'


def _registrant() -> str:
    """The module that registers a thing while it is imported, however deep in its calls."""

    frame = inspect.currentframe()
    while frame and frame.f_code.co_name != '<module>':
        frame = frame.f_back
    return str(frame.f_globals['__name__']) if frame else 'lth'


def normalize_name(name: str) -> str:
    """What is left of a name when case, hyphens, underscores and spaces do not matter."""

    return re.sub(r'[-_ ]', '', name.lower())
