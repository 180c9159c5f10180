"""Download a run from the Hugging Face Hub, verify it, and put it in place as a whole."""
import contextlib
import glob
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lth.errors import ENVIRONMENT_ERROR, LthError, quote
from lth.sharing import hub
from lth.sharing.hub import RepositoryState
from lth.sharing.manifest import MANIFEST, MOST_BYTES, Manifest, read_manifest, run_folders
from lth.sharing.verification import verify
from lth.system import file_lock, files

_LOCK = 'lock'
# Files that the Hub writes itself.
_OF_THE_HUB = ('.gitattributes', MANIFEST)


@dataclass(frozen=True)
class Pulled:
    """A repository on disk: its commit, its folder, the run that was pushed, all runs, and the files of the repository
    that are not a part of them and were left out.
    """

    repository: str
    commit: str
    folder: Path
    run: Path
    runs: tuple[Path, ...]
    left_out: tuple[str, ...]


def pull_run(
        repository: str, output: str | Path | None = None, revision: str | None = None,
        on_message: Callable[[str], None] = lambda text: None) -> Pulled:
    """Download the runs of the repository OWNER/NAME to the folder `output`, by default runs/NAME. Every file is
    compared with its checksums, and only files of runs are downloaded: no code. LthError if the folder exists, if the
    repository is not a run, or if a file is damaged; then nothing is left.
    """

    hub.check_name(repository)
    target = Path('runs') / repository.partition('/')[2] if output is None else Path(output)
    _refuse_target(target)
    state = hub.read_state(repository, revision)
    if MANIFEST not in state.sizes:
        raise LthError(f'{repository} is not a run of lth: it has no {MANIFEST}, which lth push writes.')
    with _partial_folder(target) as partial:
        root = partial / 'content'
        manifest = _read_manifest(repository, state, root)
        _check_sizes(repository, state, manifest, partial)
        on_message(f'{len(manifest.files)} files, {manifest.size / 2 ** 20:.1f} MiB')
        hub.download(repository, state.commit, [*manifest.files], root)
        shutil.rmtree(root / '.cache', ignore_errors=True)  # where the Hub's package notes what it has
        verify(root.resolve(), manifest, repository)
        _put_in_place(root, target)
    runs = tuple(target / folder for folder in run_folders(manifest.files))
    left_out = set(state.sizes) - set(manifest.files) - set(_OF_THE_HUB)
    return Pulled(repository, state.commit, target, target / manifest.run, runs, tuple(sorted(left_out)))


def _refuse_target(target: Path) -> None:
    if not target.name.strip('.') or '\0' in str(target):
        raise LthError(f'-o {quote(str(target))} is not the name of a new folder. Give another one.')
    if os.path.lexists(target):
        raise LthError(f'{quote(str(target))} exists already. Remove it, or choose another folder with -o.')


def _read_manifest(repository: str, state: RepositoryState, root: Path) -> Manifest:
    if state.sizes[MANIFEST] > MOST_BYTES:
        raise LthError(f'{repository} is refused: its {MANIFEST} has {state.sizes[MANIFEST]:,} bytes, and at most '
                       f'{MOST_BYTES:,} are expected.')
    hub.download(repository, state.commit, [MANIFEST], root)
    return read_manifest(root / MANIFEST, repository)


def _check_sizes(repository: str, state: RepositoryState, manifest: Manifest, partial: Path) -> None:
    """LthError if the Hub has another size for a file than lth.json, or if the files do not fit on the disk."""

    for name, file in manifest.files.items():
        if name not in state.sizes:
            raise LthError(f'{repository} was not pulled: {name} is missing, which its {MANIFEST} names. Ask its owner '
                           'to push the run again.')
        if state.sizes[name] != file.size:
            raise LthError(f'{repository} was not pulled: {name} is damaged or was changed: it has '
                           f'{state.sizes[name]:,} bytes, and {file.size:,} in {MANIFEST}. Ask its owner to push the '
                           'run again.')
    free = shutil.disk_usage(partial).free
    if manifest.size > free:
        raise LthError(f'{repository} has {manifest.size:,} bytes, and {free:,} are free. Free some space, or choose '
                       'another disk with -o.', exit_code=ENVIRONMENT_ERROR)


@contextlib.contextmanager
def _partial_folder(target: Path) -> Iterator[Path]:
    """A folder next to the target, which is removed at the end of the block. Those of killed processes are too."""

    for folder in target.parent.glob(f'{glob.escape(target.name)}.*.partial'):
        if file_lock.holder(folder / _LOCK) is None:
            shutil.rmtree(folder, ignore_errors=True)
    partial = target.with_name(f'{target.name}.{os.getpid()}.partial')
    # At its end, the folders that the lock had to create are removed as far as they are empty.
    with file_lock.hold(partial / _LOCK, 'Remove that folder.'):
        try:
            yield partial
        finally:
            shutil.rmtree(partial / 'content', ignore_errors=True)


def _put_in_place(root: Path, target: Path) -> None:
    _refuse_target(target)  # another process may have made it
    files.move(root, target)
