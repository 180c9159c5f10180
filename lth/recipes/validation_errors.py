"""What pydantic complains of, told as the house tells mistakes: where, what, the value, the way out.

A slip that many make, such as a key of another tool, is a line in `_SLIPS`.
"""
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from lth.errors import suggestion

_SLIPS = {
    'epoch': 'length', 'epochs': 'length', 'iterations': 'length', 'steps': 'length', 'lr': 'learning_rate',
    'batch': 'batch_size', 'wd': 'weight_decay', 'batchsize': 'batch_size', 'gamma': 'factor', 'sparsity': 'rates',
    'rate': 'rates'}


def explain(section: type[BaseModel], raw: Any, origin: str, details: list[Any]) -> str:
    """A line for every bad setting of a section, from pydantic's list of errors; `origin` is where they stand."""

    return '\n'.join(_explain_one(section, raw, origin, detail) for detail in _relevant(details))


def _relevant(details: list[Any]) -> list[Any]:
    """The complaints without those of a union's other branch: `rates` may be a number or settings."""

    telling = [detail for detail in details if detail['type'] != 'model_type'
               and not (detail['type'] == 'float_type' and isinstance(detail['input'], Mapping))]
    return telling or details


def _explain_one(section: type[BaseModel], raw: Any, origin: str, detail: Any) -> str:
    """One pydantic complaint as a sentence with the place, the value and the way out."""

    known, path = _locate(section, raw, detail['loc'], missing=detail['type'] == 'missing')
    where = ': '.join([origin, '.'.join(path[:-1])] if path[:-1] else [origin])
    last = path[-1] if path else ''
    if detail['type'] == 'extra_forbidden':
        return f'{where}: unknown key {last!r}{_advice(last, known, section, raw)}'
    if detail['type'] == 'missing':
        return f'{where}: the key {last!r} is missing: add it.'
    if detail['type'] == 'union_tag_invalid':
        tag, tags = detail['ctx']['tag'], detail['ctx']['expected_tags'].replace("'", '').split(', ')
        return f'{where}: {last}: unknown name {tag!r}{suggestion(tag, tags)}'
    message = detail['msg'].removeprefix('Value error, ').replace('Input', 'it', 1)
    # Settings that do not fit together are named by the message, and the whole section would hide them.
    value = '' if detail['type'] == 'value_error' and isinstance(detail['input'], Mapping) else (
        f'; it is {quote(detail["input"])}')
    return f'{where}: {last}: {message[0].lower() + message[1:]}{value}.'


def _advice(word: str, known: set[str], section: type[BaseModel], raw: Any) -> str:
    """The end of a complaint about an unknown key: what is meant here, or else stands elsewhere in the recipe."""

    meant = _SLIPS.get(word, word)
    if meant in known:
        return f', did you mean {meant!r}?'
    elsewhere = [path for path in _paths(section, raw) if path.split('.')[-1] == meant]
    return f', did you mean {" or ".join(elsewhere)}?' if elsewhere else suggestion(word, known)


def _paths(section: type[BaseModel], raw: Any, above: str = '') -> Iterator[str]:
    """All settings of a section as dotted paths, those of the optimizer and the like that `raw` chooses."""

    for key, field in section.model_fields.items():
        content = raw.get(key) if isinstance(raw, Mapping) else None
        yield above + key
        if below := _section_of(field.annotation, content):
            yield from _paths(below, content, f'{above}{key}.')


def _locate(
        section: type[BaseModel], raw: Any, location: tuple[Any, ...], *, missing: bool) -> tuple[set[str], list[str]]:
    """The keys known at the place of an error, and its path: what of pydantic's location stands in the recipe."""

    path, known = list[str](), set(section.model_fields)
    inner: type[BaseModel] | None = section
    for position, part in enumerate(location):
        there = part in raw if isinstance(raw, Mapping) else isinstance(raw, (list, tuple)) and part in range(len(raw))
        if not there and not (missing and position == len(location) - 1):
            continue
        known = set(inner.model_fields) if inner else known
        path.append(str(part))
        raw = raw[part] if there else None
        field = inner.model_fields.get(part) if inner and isinstance(part, str) else None
        inner = _section_of(field.annotation, raw) if field else None
    return known, path


def _section_of(annotation: Any, raw: Any) -> type[BaseModel] | None:
    """The section class of a field, chosen by `name` where there are several."""

    options = [one for one in getattr(annotation, '__args__', (annotation,))
               if isinstance(one, type) and issubclass(one, BaseModel)]
    for option in options:
        name = raw.get('name') if isinstance(raw, Mapping) else None
        if len(options) == 1 or name in getattr(option.model_fields['name'].annotation, '__args__', ()):
            return option
    return None


def quote(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + '...'
