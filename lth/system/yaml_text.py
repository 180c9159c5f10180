"""YAML that is read strictly and within bounds: no explicit tags, no duplicate keys, limited size, nesting and aliases.

All YAML that lth reads comes through here: recipes, the values of --set, settings of rare-gems, recipes of stored runs.
"""
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from lth.errors import LthError, excerpt, quote
from lth.system.reading import read_bytes

Raw = dict[str, Any]
# A recipe has about 2,000 bytes, 40 entries and 4 levels; that of a control also a number for each round.
_MOST_BYTES = 2 ** 18
_MOST_ENTRIES = 50_000
_MOST_LEVELS = 32
_MOST_ALIASES = 100
_MOST_DIGITS = 100
_MERGE = 'tag:yaml.org,2002:merge'
_NUMBERS = ('tag:yaml.org,2002:int', 'tag:yaml.org,2002:float')


def read_yaml(path: Path) -> Raw:
    """The mapping in a YAML file. LthError for anything else."""

    try:
        text = read_bytes(path, at_most=_MOST_BYTES).decode('utf-8')
    except UnicodeDecodeError as error:
        raise LthError(f'{path} is not a text file in UTF-8: {error}.') from None
    content = parse_yaml(text, str(path))
    if not isinstance(content, dict):
        found = 'is empty' if content is None else f'contains {_in_words(content)}'
        raise LthError(f'{path} {found}. Write lines of the form `key: value`.')
    return content


def parse_yaml(text: str, origin: str) -> Any:
    """The value of a YAML text. 1e-3 is a number, although YAML 1.1 says string; 1:30 and dates are strings, although
    it says numbers and dates. `origin` starts error messages.
    """

    if len(text) > _MOST_BYTES:
        raise LthError(f'{origin}: it has {len(text):,} characters, more than {_MOST_BYTES:,}.')
    try:
        _check_events(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {}, set())
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        raise LthError(f'{origin}: not valid YAML: {_explain(error)}') from None
    except (yaml.YAMLError, ValueError) as error:
        raise LthError(f'{origin}: not valid YAML: {excerpt(error)}.') from None


def dump_yaml(value: Raw) -> str:
    """The mapping as YAML; keys keep their order."""

    text = _dump(value, allow_unicode=True)
    # PyYAML writes these as they are, and reads them as line ends or not at all.
    return _dump(value, allow_unicode=False) if re.search('[\x85\u2028\u2029\ufeff]', text) else text


def value_text(value: Any) -> str:
    """A value as YAML in ASCII, as --set and --executor-set take it.

        >>> value_text([0.1, 'a: b', None])
        "[0.1, 'a: b', null]"
    """

    # A word alone would be followed by a line that marks its end.
    return yaml.dump([value], Dumper=_Dumper, default_flow_style=True, width=math.inf).strip()[1:-1]


def _dump(value: Raw, *, allow_unicode: bool) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=allow_unicode, width=120)


class _Refusal(yaml.MarkedYAMLError):
    """YAML that is valid, but more than a recipe needs."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class _Size(NamedTuple):
    """Entries and levels of a value after its aliases are replaced."""

    entries: int
    levels: int


def _check_events(text: str) -> None:
    """_Refusal for explicit tags, and for nesting, entries and aliases beyond the limits, before anything is built."""

    level = entries = aliases = 0
    for event in yaml.parse(text, Loader=_Loader):
        tag = getattr(event, 'tag', None)
        if tag is not None:
            raise _Refusal(f'the tag {quote(tag)} is not supported: leave it out', event.start_mark)
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        entries += 1
        aliases += isinstance(event, yaml.AliasEvent)
        if level > _MOST_LEVELS:
            raise _Refusal(f'it is nested more than {_MOST_LEVELS} levels deep', event.start_mark)
        if entries > _MOST_ENTRIES:
            raise _Refusal(f'it has more than {_MOST_ENTRIES:,} entries', event.start_mark)
        if aliases > _MOST_ALIASES:
            raise _Refusal(f'it has more than {_MOST_ALIASES} aliases', event.start_mark)


def _measure(node: yaml.Node, measured: dict[int, _Size], above: set[int]) -> _Size:
    """The size of a node; _Refusal if it contains itself, or is too large: aliases make 2^28 entries of 28 short lines.
    `measured` are the nodes seen so far by their id, `above` those that contain this one.
    """

    if id(node) in above:
        raise _Refusal('an alias stands within what it stands for', node.start_mark)
    if id(node) not in measured:
        sizes = [_measure(part, measured, above | {id(node)}) for part in _parts(node)]
        size = _Size(1 + sum(size.entries for size in sizes), 1 + max((size.levels for size in sizes), default=0))
        if size.entries > _MOST_ENTRIES or size.levels > _MOST_LEVELS + 1:
            raise _Refusal('its aliases make it too large', node.start_mark)
        measured[id(node)] = size
    return measured[id(node)]


def _parts(node: yaml.Node) -> list[yaml.Node]:
    """The nodes directly in a node; _Refusal for keys and numbers that cannot be read."""

    if isinstance(node, yaml.MappingNode):
        _check_keys(node)
        return [part for pair in node.value for part in pair]
    if isinstance(node, yaml.SequenceNode):
        return list(node.value)
    if node.tag in _NUMBERS and len(node.value) > _MOST_DIGITS:
        raise _Refusal(f'the number {quote(node.value)} has more than {_MOST_DIGITS} digits', node.start_mark)
    return []


def _check_keys(node: yaml.MappingNode) -> None:
    """_Refusal for keys that are not text, and for a key that is given twice, unless with the same text. Keys that are
    merged may be repeated.
    """

    seen: dict[tuple[str, str], yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _Refusal('a list or a mapping cannot be a key', key.start_mark)
        if not _same_scalar(seen.setdefault((key.tag, key.value), value), value):
            raise _Refusal(f'the key {quote(key.value)} is given twice', key.start_mark)


def _same_scalar(first: yaml.Node, second: yaml.Node) -> bool:
    """Whether two nodes are the same node, or scalars with the same value."""

    both_scalars = isinstance(first, yaml.ScalarNode) and isinstance(second, yaml.ScalarNode)
    return first is second or both_scalars and (first.tag, first.value) == (second.tag, second.value)


def _explain(error: yaml.MarkedYAMLError) -> str:
    """What is wrong, and the line and column."""

    mark = error.problem_mark or error.context_mark
    place = f' (line {mark.line + 1}, column {mark.column + 1})' if mark else ''
    return f'{excerpt(error.problem or error.context)}{place}.'


def _in_words(content: Any) -> str:
    return 'a list' if isinstance(content, list) else f'only {quote(content)}'


# The loader in C is five times as fast, which lists of many runs need.
if TYPE_CHECKING:
    _SafeLoader = yaml.SafeLoader
else:
    _SafeLoader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)

# What a word without quotes can be besides a string, and the characters that it can start with.
_WORDS = (
    (_MERGE, '<<', ['<']),
    ('tag:yaml.org,2002:null', '~|null|Null|NULL|', ['~', 'n', 'N', '']),
    ('tag:yaml.org,2002:bool', 'yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF',
     list('yYnNtTfFoO')),
    (_NUMBERS[0], '[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*)', list('-+0123456789')),
    (_NUMBERS[1], r'[-+]?([0-9][0-9_]*(\.[0-9_]*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)|\.[0-9][0-9_]*([eE][-+]?[0-9]+)?'
                  r'|\.(inf|Inf|INF))|\.(nan|NaN|NAN)', list('-+.0123456789')))


class _Loader(_SafeLoader):  # pylint: disable=too-many-ancestors # PyYAML's loader has seven base classes
    """PyYAML's safe loader, with fewer types that a word without quotes can have."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}


class _Dumper(yaml.SafeDumper):  # pylint: disable=too-many-ancestors # as above
    """PyYAML's safe dumper, which quotes strings that `_Loader` would read as something else, and has no aliases."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Write a list that occurs twice as it is."""

        return True


for _tag, _pattern, _first in _WORDS:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_tag, re.compile(f'^(?:{_pattern})$'), _first)
