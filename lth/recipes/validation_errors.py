"""Pydantic's errors as messages of lth: the file, the section and key, what is expected, the value.

A common mistake, such as a key of another tool, is a line in `_MISTAKES`.
"""
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from lth.errors import quote, suggestion

_MISTAKES = {
    'epoch': 'length', 'epochs': 'length', 'iterations': 'length', 'steps': 'length', 'lr': 'learning_rate',
    'batch': 'batch_size', 'wd': 'weight_decay', 'batchsize': 'batch_size', 'gamma': 'factor', 'sparsity': 'rates',
    'rate': 'rates'}


def explain(section: type[BaseModel], raw: Any, origin: str, errors: list[Any]) -> str:
    """One line for each wrong setting of the settings `raw` of a section; `origin` is the name of their file."""

    by_path = dict[tuple[str, ...], list[Any]]()
    for error in _relevant(errors):
        _, path = _locate(section, raw, error['loc'], missing=error['type'] == 'missing')
        by_path.setdefault(tuple(path), []).append(error)
    # An error in an entry of a list is not that the setting should be another type of its union.
    return '\n'.join(_message(section, raw, origin, alternatives) for path, alternatives in by_path.items()
                     if not any(other[:len(path)] == path != other for other in by_path))


def _relevant(errors: list[Any]) -> list[Any]:
    """The errors without those of the other type of a union: `rates` is a number or a section, and an error in the
    section is not that it should be a number.
    """

    relevant = [error for error in errors if error['type'] != 'model_type'
                and not (error['type'] == 'float_type' and isinstance(error['input'], Mapping))]
    return relevant or errors


def _message(section: type[BaseModel], raw: Any, origin: str, errors: list[Any]) -> str:
    """The message for pydantic's errors in one setting: one, or one for each type that its value may have."""

    error = errors[0]
    known, path = _locate(section, raw, error['loc'], missing=error['type'] == 'missing')
    start = ': '.join([origin, '.'.join(path[:-1])] if path[:-1] else [origin])
    key = path[-1] if path else ''
    match error['type']:
        case 'extra_forbidden':
            return f'{start}: unknown key {quote(key)}{_key_suggestion(key, known, section, raw)}'
        case 'missing':
            return f'{start}: the key {quote(key)} is missing: add it.'
        case 'union_tag_invalid':
            name, names = error['ctx']['tag'], error['ctx']['expected_tags'].replace("'", '').split(', ')
            return f'{start}: {key}: unknown name {quote(name)}{suggestion(name, names)}'
    expected = ' or '.join(dict.fromkeys(_expected(other, path) for other in errors)).replace(' or it should be', ' or')
    text = f'{start}: {key}: {expected}' if path else f'{start}: {expected}'
    if error['type'] == 'value_error' and isinstance(error['input'], Mapping):
        return f'{text}.'  # names the settings that do not fit together; the value would be the section
    return f'{text}; it is {quote(error["input"])}.'


def _expected(error: Any, path: list[str]) -> str:
    """What the value of a setting should be."""

    match error['type']:
        case 'model_type':
            return 'expected settings, lines of the form `key: value`'
        case 'model_attributes_type' | 'union_tag_not_found':
            name = error['input'] if isinstance(error['input'], str) else 'NAME'
            return f'expected settings with a name: write {".".join(path)}.name={name}'
        case 'tuple_type' | 'list_type':
            return 'it should be a list, such as [a, b]'
        case 'too_short' | 'string_too_short' if error['ctx']['min_length'] == 1:
            return 'it should not be empty'
        case 'too_long':
            return f'it should have at most {error["ctx"]["max_length"]} entries'
        case 'invalid_key':
            return 'keys should be strings'
    text = str(error['msg']).removeprefix('Value error, ').replace('Input', 'it', 1).replace('a valid ', 'a ', 1)
    text = text.replace('a integer', 'a whole number').replace('a string', 'a text')
    return text[0].lower() + text[1:]


def _key_suggestion(word: str, known: set[str], section: type[BaseModel], raw: Any) -> str:
    """The end of the message for an unknown key: the key of this section, or else of another one, that was meant."""

    key = _MISTAKES.get(word, word)
    if key in known:
        return f', did you mean {quote(key)}?'
    paths = [path for path in _paths(section, raw) if path.split('.')[-1] == key]
    return f', did you mean {" or ".join(paths)}?' if paths else suggestion(word, known)


def _paths(section: type[BaseModel], raw: Any, prefix: str = '') -> Iterator[str]:
    """All settings of a section as dotted paths, including those of the optimizer and so on that `raw` selects."""

    for key in section.model_fields:
        value = raw.get(key) if isinstance(raw, Mapping) else None
        yield prefix + key
        if inner := _field_section(section, key, value):
            yield from _paths(inner, value, f'{prefix}{key}.')


def _locate(
        section: type[BaseModel], raw: Any, location: tuple[Any, ...], *, missing: bool) -> tuple[set[str], list[str]]:
    """The keys of the section that has the error, and the error's path. Pydantic's location also names the members of
    unions; parts that are not in the recipe are left out of the path, except a missing key.
    """

    path, known = list[str](), set(section.model_fields)
    inner: type[BaseModel] | None = section
    for position, part in enumerate(location):
        exists = _contains(raw, part)
        if not exists and not (missing and position == len(location) - 1):
            continue
        known = set(inner.model_fields) if inner else known
        path.append(str(part))
        raw = raw[part] if exists else None
        inner = _field_section(inner, part, raw)
    return known, path


def _contains(raw: Any, part: Any) -> bool:
    if isinstance(raw, Mapping):
        return part in raw
    return isinstance(raw, (list, tuple)) and part in range(len(raw))


def _field_section(section: type[BaseModel] | None, key: Any, raw: Any) -> type[BaseModel] | None:
    """The section class of a field, None if the field is not a section; `name` decides between several classes."""

    field = section.model_fields.get(key) if section else None
    annotation = field.annotation if field else None
    members = getattr(annotation, '__args__', (annotation,))
    options = [member for member in members if isinstance(member, type) and issubclass(member, BaseModel)]
    if len(options) == 1:
        return options[0]
    name = raw.get('name') if isinstance(raw, Mapping) else None
    for option in options:
        if name in getattr(option.model_fields['name'].annotation, '__args__', ()):
            return option
    return None
