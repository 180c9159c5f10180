"""Checksums of the files in a folder: written with them as SHA256SUMS, and compared whenever a file is read.

    folder = open_folder(round_folder)
    content = folder.read('mask.safetensors', at_most=10_000)

The command `sha256sum -c SHA256SUMS` reads the same file. It ignores the comment lines, which name the files that the
option --keep removed.
"""
import hashlib
import os
import re
import shlex
import warnings
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lth.errors import LthError, LthWarning, quote
from lth.system import files
from lth.system.reading import read_bytes, read_error

SUMS = 'SHA256SUMS'
_MOST_BYTES_OF_SUMS = 2 ** 16
_LINE = re.compile(r'(?P<sum>[0-9a-f]{64}) [ *](?P<name>[\w.-]+)', re.ASCII)
_REMOVED_LINE = re.compile(r'# removed by --keep (?P<keep>\w+): (?P<name>[\w.-]+) (?P<sum>[0-9a-f]{64})', re.ASCII)


# In the place of a value of --keep: the file never existed, as an imported run did not have it.
UNKNOWN = 'import'


class Removal(NamedTuple):
    """A file that `--keep` removed: the value of the option, and the checksum that the file had."""

    keep: str
    sum: str


@dataclass(frozen=True)
class CheckedFolder:
    """A folder whose files are compared with their checksums when they are read. `sums` is None in a round that version
    0.1.0 wrote; `removed` holds the files that --keep removed.
    """

    folder: Path
    sums: Mapping[str, str] | None
    removed: Mapping[str, Removal] = field(default_factory=dict)
    advice: str = 'Restore it from a copy.'

    def read(self, name: str, *, at_most: int) -> bytes:
        """The content of a file of at most so many bytes. LthError unless it is the file that was written."""

        path = self.folder / name
        if removed := self.removal_error(name):
            raise removed
        if self.sums is not None and name not in self.sums:
            raise LthError(f'{path} is missing: {SUMS} next to it does not list it. {self.advice}')
        content = self._content(name, at_most=at_most)
        if self.sums is not None and hashlib.sha256(content).hexdigest() != self.sums[name]:
            raise LthError(f'{path} is damaged or was changed: its checksum is not the one in {SUMS} next to it. '
                           f'{self.advice}')
        return content

    def removal_error(self, name: str) -> LthError | None:
        """The error for a file that --keep removed, which names the option; None if it was not removed."""

        if name not in self.removed:
            return None
        if self.removed[name].keep == UNKNOWN:
            return LthError(f'{self.folder / name} is not there: the run was imported, and the imported files have no '
                            'weights from before training. Import them again with these weights: lth import … '
                            '--rewind FILE.')
        return LthError(f'{self.folder / name} was removed by the option --keep {self.removed[name].keep}. Restore it '
                        'from a copy, choose a round that still has this file, such as the last one, or train the run '
                        'again with --keep all.')

    def _content(self, name: str, *, at_most: int) -> bytes:
        return read_bytes(self.folder / name, at_most=at_most, advice=self.advice)


@dataclass(frozen=True)
class CheckedContents(CheckedFolder):
    """A folder whose files are not on disk yet: `contents` by name."""

    contents: Mapping[str, bytes] = field(default_factory=dict)

    def _content(self, name: str, *, at_most: int) -> bytes:
        return self.contents[name]


def with_sums(contents: Mapping[str, bytes], *, unknown: Collection[str] = ()) -> dict[str, bytes]:
    """The files with SHA256SUMS, in the order in which they are written, without the `unknown` ones."""

    sums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    removed = {name: Removal(UNKNOWN, sums.pop(name)) for name in unknown}
    known = {name: content for name, content in contents.items() if name not in removed}
    return {**known, SUMS: _encode(sums, removed)}


def open_folder(folder: Path, advice: str) -> CheckedFolder:
    """The folder with its checksums; none are read of a folder without SHA256SUMS. LthError, which ends with the
    advice, if that file is corrupt, or if a file is missing or was added.
    """

    try:
        names = {name for name in os.listdir(folder) if _belongs(name)}
    except OSError as error:
        raise read_error(folder, error, advice) from None
    if SUMS not in names:
        return CheckedFolder(folder, None, {}, advice)
    checked = _parse(folder, read_bytes(folder / SUMS, at_most=_MOST_BYTES_OF_SUMS, advice=advice), advice)
    _refuse_other_names(checked, names)
    return checked


def check_contents(folder: Path, contents: Mapping[str, bytes], advice: str) -> CheckedContents:
    """The files of a folder that is not written yet, all compared with their SHA256SUMS. LthError, which ends with the
    advice, if one was changed, is missing or was added.
    """

    if SUMS not in contents:
        raise LthError(f'{folder / SUMS} is missing. {advice}')
    checked = _parse(folder, contents[SUMS], advice)
    _refuse_other_names(checked, set(contents))
    hidden = min((name for name in contents if not _belongs(name)), default=None)
    if hidden is not None:
        raise LthError(f'{folder / hidden} is not the name of a file of a run. {advice}')
    complete = CheckedContents(folder, checked.sums, checked.removed, advice, contents)
    for name in complete.sums or ():
        complete.read(name, at_most=len(contents[name]))
    return complete


def remove_files(checked: CheckedFolder, names: Iterable[str], keep: str) -> None:
    """Remove files of a complete folder for `--keep`, after they are marked in its SHA256SUMS. An interrupted call can
    be repeated. Names that the folder does not have, or no longer has, are ignored.
    """

    if checked.sums is None:
        raise LthError(f'{checked.folder} has no checksums, which --keep needs to mark what it removes: it was written '
                       'by version 0.1.0. Leave out --keep.')
    removed = {name: Removal(keep, checked.sums[name]) for name in names if name in checked.sums}
    if not removed and not any((checked.folder / name).exists() for name in checked.removed):
        return
    sums = {name: sum_ for name, sum_ in checked.sums.items() if name not in removed}
    files.write(checked.folder / SUMS, _encode(sums, {**checked.removed, **removed}))
    for name in (*checked.removed, *removed):
        (checked.folder / name).unlink(missing_ok=True)


def warn_of_missing_sums(run: Path) -> None:
    """Warn if a run has rounds of version 0.1.0, which wrote no checksums."""

    rounds = (path.parent for path in run.glob('seed-*/round-*/mask.safetensors'))
    if any(folder.suffix != '.partial' and not (folder / SUMS).exists() for folder in rounds):
        warnings.warn(f'{run} has rounds of version 0.1.0, which have no checksums: changed files are not noticed',
                      LthWarning, stacklevel=2)


def repair_advice(run: Path) -> str:
    """What to do about a damaged file of a run, for error messages."""

    return f'Restore it from a copy, or move the damaged files away with: lth repair {shlex.quote(str(run))}'


def _belongs(name: str) -> bool:
    """Whether a file counts: hidden files of file systems and browsers, and incomplete files of lth, do not."""

    return not name.startswith('.') and not name.endswith('.partial')


def _refuse_other_names(checked: CheckedFolder, names: set[str]) -> None:
    """LthError if a file is missing from these names, or does not belong there."""

    listed = {SUMS, *(checked.sums or ())}
    if missing := listed - names:
        raise LthError(f'{checked.folder / min(missing)} is missing: {SUMS} next to it lists it. {checked.advice}')
    # A session that was killed while it removed files has marked them, but may have left them.
    if added := names - listed - set(checked.removed):
        raise LthError(f'{checked.folder / min(added)} does not belong there: {SUMS} next to it does not list it. If '
                       f'you added the file, move it away. {checked.advice}')


def _encode(sums: Mapping[str, str], removed: Mapping[str, Removal]) -> bytes:
    lines = [f'{sums[name]}  {name}\n' for name in sorted(sums)]
    lines += [f'# removed by --keep {removed[name].keep}: {name} {removed[name].sum}\n' for name in sorted(removed)]
    return ''.join(lines).encode()


def _parse(folder: Path, content: bytes, advice: str) -> CheckedFolder:
    sums, removed = dict[str, str](), dict[str, Removal]()
    for line in content.decode('utf-8', errors='replace').splitlines():
        match = _LINE.fullmatch(line) or _REMOVED_LINE.fullmatch(line)
        if match is None or match['name'] in (*sums, *removed):
            raise LthError(f'{folder / SUMS} is corrupt: it has the line {quote(line)}. {advice}')
        if match.re is _LINE:
            sums[match['name']] = match['sum']
        else:
            removed[match['name']] = Removal(match['keep'], match['sum'])
    return CheckedFolder(folder, sums, removed, advice)
