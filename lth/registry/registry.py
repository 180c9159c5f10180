"""Registries: entries by name, for everything that a user can select by name, such as models and criteria.

Case, hyphens and underscores do not matter: `CIFAR-10`, `cifar_10` and `cifar10` are the same name. A registry may
have `external` names, which contain a colon, such as `torchvision:resnet18`. To add an entry, decorate it with the
registry's `register`, in a file of lth or of a plug-in.
"""
import contextlib
import inspect
import itertools
import re
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Generic, TypeVar

from lth.errors import LthError, quote, suggestion
from lth.registry import code_fingerprints, objects, plugins, user_code
from lth.registry.code_fingerprints import Fingerprint

T = TypeVar('T')


class _Missing:
    """Whether a recipe that is read may name entries that are not there."""

    allowed = False


@contextlib.contextmanager
def missing_entries_allowed() -> Iterator[None]:
    """In this block recipes may name entries of plug-ins that are not installed, as far as only training needs them."""

    before, _Missing.allowed = _Missing.allowed, True
    try:
        yield
    finally:
        _Missing.allowed = before


class BaseRegistry(Generic[T]):
    """Entries of one kind by name; an unknown name is an LthError with similar names. A subclass defines `register`, a
    decorator whose arguments are the name and what its entries declare.
    """

    def __init__(self, kind: str, *, external: Callable[[str], T] | None = None) -> None:
        self.kind = kind
        self._external = external
        self._entries: dict[str, T] = {}
        self._names: dict[str, str] = {}
        self._origins: dict[str, str] = {}
        self._aliases: dict[str, tuple[str, ...]] = {}

    def add(self, entry: T, name: str, *aliases: str) -> None:
        """Add an entry under a name and its aliases; an LthError if one of them is taken.

        A notebook may register its own entries again, because its cells may be executed again.
        """

        module = _registering_module()
        for word in (name, *aliases):
            first = self._origins.get(self._names.get(normalize_name(word), ''))
            if first is not None and not (first == '__main__' and _is_notebook_cell()):
                raise LthError(f'The {self.kind} {quote(word)} is registered twice, by {first} and by {module}. Rename '
                               'one of them.')
            self._names[normalize_name(word)] = name
        self._entries[name] = entry
        self._origins[name] = module
        self._aliases[name] = aliases

    def canonical(self, name: str, *, unlisted: Collection[str] = ()) -> str:
        """The name in its registered spelling, for a name or an alias in any spelling. The error for an unknown name
        does not suggest the `unlisted` ones.
        """

        if self._external and ':' in name:
            return _utf8(name)
        plugins.load()
        if normalize_name(name) not in self._names:
            advice = ' If a plug-in made this run, install it.' if _Missing.allowed else ''
            similar = suggestion(name, self._entries.keys() - set(unlisted))
            raise LthError(f'Unknown {self.kind} {quote(name)}{similar}{advice}')
        return self._names[normalize_name(name)]

    def has(self, name: str) -> bool:
        """Whether there is an entry with this name or alias."""

        if self._external and ':' in name:
            return True
        plugins.load()
        return normalize_name(name) in self._names

    def recorded(self, name: str) -> str:
        """As `canonical`, but within `missing_entries_allowed` unknown names are passed on."""

        return name if _Missing.allowed and not self.has(name) else self.canonical(name)

    def find(self, name: str) -> T:
        """The entry with this name or alias."""

        if self._external and ':' in name:
            return self._external(_utf8(name))
        return self._entries[self.canonical(name)]

    def names(self) -> list[str]:
        """All names in alphabetical order, without aliases."""

        plugins.load()
        return sorted(self._entries)

    def aliases(self, name: str) -> list[str]:
        """The other names of an entry, in alphabetical order."""

        return sorted(self._aliases[self.canonical(name)])

    def spellings(self) -> list[str]:
        """All names and aliases as they are registered, in alphabetical order."""

        plugins.load()
        return sorted({*self._entries, *itertools.chain(*self._aliases.values())})

    @property
    def has_external(self) -> bool:
        """Whether names with a colon are those of other code."""

        return self._external is not None

    def is_builtin(self, name: str) -> bool:
        """Whether the entry belongs to lth and not to a plug-in or to the user."""

        return not (self._external and ':' in name) and self._origins[self.canonical(name)].split('.')[0] == 'lth'

    def is_foreign(self, name: str) -> bool:
        """Whether the entry is code of a plug-in or of the user, found by its name."""

        return user_code.names_code(name) if self._external and ':' in name else not self.is_builtin(name)

    def source(self, name: str) -> bytes:
        """The bytes of the file with the code of an entry that is not of lth, as they were imported."""

        if self._external and ':' in name:
            return user_code.source(name)
        return code_fingerprints.module_source(sys.modules.get(self._origins[self.canonical(name)]))

    def code(self, name: str) -> Fingerprint:
        """Digests of the files with the code of an entry; {} for the entries of lth and for Python objects, whose name
        has a digest.
        """

        if not self.is_foreign(name):
            return {}
        if self._external and ':' in name:
            return user_code.fingerprint(name)
        module = sys.modules.get(self._origins[self.canonical(name)])
        if module is None or getattr(module, '__name__', '') == '__main__':  # a script or a notebook
            return {'source': code_fingerprints.text_fingerprint(objects.source_code(self.find(name)))}
        return code_fingerprints.module_fingerprint(module)


class Registry(BaseRegistry[T]):
    """A registry whose entries declare nothing but their names."""

    def register(self, name: str, *aliases: str) -> Callable[[T], T]:
        """A decorator that adds an entry under a name and its aliases; an LthError if one of them is taken."""

        def add(entry: T) -> T:
            self.add(entry, name, *aliases)
            return entry
        return add


def _utf8(name: str) -> str:
    """The name; LthError if no recipe can hold it."""

    try:
        name.encode()
    except UnicodeEncodeError:
        raise LthError(f'The name {quote(name)} is not UTF-8, so it cannot be written into a recipe. Rename the file '
                       'or the folder.') from None
    return name


def _registering_module() -> str:
    """The module that is being imported and registers an entry, possibly through other functions."""

    frame = inspect.currentframe()
    while frame and frame.f_code.co_name != '<module>':
        frame = frame.f_back
    return str(frame.f_globals.get('__name__', '__main__')) if frame else 'lth'


def _is_notebook_cell() -> bool:
    """Whether the code that calls the registry is a cell of a notebook, or the main script outside functions."""

    frame = inspect.currentframe()
    while frame and str(frame.f_globals.get('__name__')).startswith('lth.'):
        frame = frame.f_back
    return frame is not None and (frame.f_globals.get('__name__'), frame.f_code.co_name) == ('__main__', '<module>')


def normalize_name(name: str) -> str:
    """The name in lower case, without hyphens, underscores and spaces."""

    return re.sub(r'[-_ ]', '', name.lower())
