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


class BaseRegistry(Generic[T]):
    """Entries of one kind by name; an unknown name is an LthError that lists the nearest ones. A subclass defines
    `register`, a decorator with the declarations that its entries need.
    """

    def __init__(self, kind: str, *, foreign: Callable[[str], T] | None = None) -> None:
        self.kind = kind
        self._foreign = foreign
        self._things: dict[str, T] = {}
        self._names: dict[str, str] = {}
        self._origins: dict[str, str] = {}

    def add(self, entry: T, name: str, *aliases: str) -> None:
        """Add an entry under a name and its aliases; an LthError if one of them is taken."""

        for word in (name, *aliases):
            if normalize_name(word) in self._names:
                first = self._origins[self._names[normalize_name(word)]]
                raise LthError(f'Two things want to be the {self.kind} {word!r}, one of {first} and one of '
                               f'{_registrant()}: rename one of them.')
            self._names[normalize_name(word)] = name
        self._things[name] = entry
        self._origins[name] = _registrant()

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


class Registry(BaseRegistry[T]):
    """A registry whose entries need no declarations besides their names."""

    def register(self, name: str, *aliases: str) -> Callable[[T], T]:
        """A decorator that adds an entry under a name and its aliases; an LthError if one of them is taken."""

        def add(entry: T) -> T:
            self.add(entry, name, *aliases)
            return entry
        return add


def _registrant() -> str:
    """The module that registers a thing while it is imported, however deep in its calls."""

    frame = inspect.currentframe()
    while frame and frame.f_code.co_name != '<module>':
        frame = frame.f_back
    return str(frame.f_globals['__name__']) if frame else 'lth'


def normalize_name(name: str) -> str:
    """What is left of a name when case, hyphens, underscores and spaces do not matter."""

    return re.sub(r'[-_ ]', '', name.lower())
