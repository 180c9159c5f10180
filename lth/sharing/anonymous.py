"""What a shared run does not say: names of machines and users, and where its folders were.

A recipe or a session may name files. Their paths are shortened to the name of the file, except where the recipe needs
them: such a run is refused.
"""
import os
import re
import struct
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lth.errors import LthError, quote
from lth.system.yaml_text import Raw

# Facts of a session that are shared: others name the machine, the process, the job or folders.
_FACTS = frozenset((
    'lth', 'torch', 'python', 'machine', 'cpu', 'cores', 'memory_mib', 'gpus', 'packages', 'lth_commit', 'engine',
    'device', 'choice', 'compile', 'replicates', 'deterministic', 'threads', 'ranks', 'sync_batch_norm', 'reader',
    'pictures', 'images', 'network', 'code', 'seconds', 'rounds', 'recipe', 'planned_rounds', 'seeds'))
# A path that starts at the root, at a home folder, or above the current folder.
_PATH = re.compile(r'(?:~[\w.-]*|\.\.)?/[^\s\'",:;()\[\]]*')
_IN_TEXT = re.compile(rf'(?<![\w.~/-]){_PATH.pattern}')
_IN_ARGUMENT = re.compile(r'(^|[=:,])((?:~[^/]*|\.\.)?/.*)$', re.DOTALL)
_ABSOLUTE = re.compile(r'(?:^|[:=,\s])(?:/|~|\.\./\.\.)')
_LONGEST_HEADER = 2 ** 24


def session(entry: Raw) -> Raw:
    """The entry of a session without the machine, process, job and folders; paths in its command are shortened."""

    shared = {key: value for key, value in entry.items() if key in _FACTS}
    if entry.get('command'):
        program, *arguments = entry['command']
        shared['command'] = [os.path.basename(program), *map(argument, arguments)]
    if entry.get('start'):
        start = datetime.fromisoformat(entry['start']).astimezone(UTC)
        shared['start'] = start.isoformat(timespec='milliseconds')
    return shared


def argument(text: str) -> str:
    """An argument of a command, whose paths outside of the current folder are shortened to their last part."""

    return _IN_ARGUMENT.sub(lambda match: match[1] + os.path.basename(match[2].rstrip('/')), text)


def text_of(text: str, parent: Path) -> str:
    """A text for readers in which runs are named without the folder that they lie in, and paths are shortened."""

    for folder in (str(parent), os.path.relpath(parent)):
        text = text.replace(f'{folder}/', '')
    return _IN_TEXT.sub(lambda match: os.path.basename(match[0].rstrip('/')), text)


def refuse_paths(recipe: Mapping[str, Any], folder: Path) -> None:
    """LthError if a setting of a recipe names a path outside of the current folder. Rounds record these settings."""

    for name, value in _texts(recipe):
        if name != 'source' and name != 'algorithm.source' and _ABSOLUTE.search(value):
            raise LthError(f'{folder}/recipe.yaml names a path on this machine, which would be published: {name} is '
                           f'{quote(value)}. Make the run with a relative path, such as nets.py:make or folder:images, '
                           'then push that run.')


def refuse_private_paths(root: Path, private: Mapping[str, str]) -> None:
    """LthError if a file below a folder has one of these texts, such as the path of a home folder; the keys say what
    they are. Of tensor files, the headers are read.
    """

    for path in sorted(root.rglob('*')):
        if path.is_file():
            content = _text_bytes(path)
            for what, text in private.items():
                if text.encode() in content:
                    raise LthError(f'{path.relative_to(root)} was not shared: it names {what}, {text}. Nothing was '
                                   'uploaded. Report this to the developers of lth, with that file.')


def private_paths(run: Path) -> dict[str, str]:
    """Paths that no shared file may name, by what they are: the folders of the run and of the user. Short ones such as
    / or /a are left out, as other texts contain them too.
    """

    found = {'the folder of the run': str(run.parent.absolute()), 'the current folder': os.getcwd(),
             'your home folder': os.path.expanduser('~')}
    return {what: path for what, path in found.items() if path.count('/') > 1 or len(path) > 4}


def _texts(value: Any, name: str = '') -> Iterator[tuple[str, str]]:
    """All texts in settings, with their dotted names."""

    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _texts(part, f'{name}.{key}' if name else str(key))
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part, name)


def _text_bytes(path: Path) -> bytes:
    """The bytes of a file in which there can be text."""

    with open(path, 'rb') as file:
        if path.suffix != '.safetensors':
            return file.read()
        (length,) = struct.unpack('<Q', file.read(8))
        return file.read(min(length, _LONGEST_HEADER))
