"""Upload a run to the Hugging Face Hub, with the runs that start from it and a model card."""
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lth import __version__
from lth.analysis.answers.levels import MARGIN
from lth.analysis.model_card.card import check_license
from lth.errors import LthError, quote
from lth.runs.run_path import RunPath
from lth.sharing import hub
from lth.sharing.hub import RepositoryState
from lth.sharing.manifest import CARD, FIGURE, MANIFEST, Manifest, read_manifest
from lth.sharing.shared_runs import shared_runs
from lth.sharing.staging import stage
from lth.system import temporary_folders

# A repository with nothing else is empty: the Hub and its users write these before anything is uploaded.
_INITIAL = ('.gitattributes', '.gitignore', CARD, FIGURE, 'LICENSE', 'LICENSE.md', 'LICENSE.txt')


@dataclass(frozen=True)
class PushOptions:
    """How a run is pushed: `private` creates a private repository, `license_` is named in the card, `unfinished` also
    shares runs that are not complete, and `dry_run` uploads nothing. `margin` is that of the answers in the card.
    """

    private: bool = False
    license_: str | None = None
    unfinished: bool = False
    dry_run: bool = False
    margin: float = MARGIN


@dataclass(frozen=True)
class Pushed:
    """A run on the Hub: the repository with its address and commit (None in a dry run), the runs by their paths in it,
    all files, their number of bytes, and what is missing.
    """

    repository: str
    url: str | None
    commit: str | None
    runs: tuple[str, ...]
    files: tuple[str, ...]
    size: int
    notes: tuple[str, ...]


def push_run(
        path: RunPath, repository: str, options: PushOptions = PushOptions(),
        on_message: Callable[[str], None] = lambda text: None) -> Pushed:
    """Upload the run at a path to the repository OWNER/NAME, which is created if it does not exist. One commit has all
    files. LthError if the run is damaged or not complete, if the repository holds something else, or if the Hub cannot
    be written; then nothing is uploaded.
    """

    hub.check_name(repository)
    check_license(options.license_)
    if path.seed is not None:
        raise LthError(f'{path.folder}/seed-{path.seed} is a part of a run, and whole runs are shared. Give '
                       f'{path.folder}.')
    if not options.dry_run:
        hub.require_token()
    shared = shared_runs(path.folder, unfinished=options.unfinished)
    with temporary_folders.create('lth-push') as temporary:
        root = temporary / 'content'
        root.mkdir()
        staged = stage(shared, root, repository, license_=options.license_, margin=options.margin)
        manifest = staged.manifest
        on_message(f'{len(manifest.files) + 1} files of {len(shared.folders)} runs, {manifest.size / 2 ** 20:.1f} MiB')
        commit = None if options.dry_run else _upload(root, repository, manifest, options)
    return Pushed(
        repository, commit and commit.url, commit and commit.oid, tuple(map(shared.name, shared.folders)),
        (*sorted(manifest.files), MANIFEST), manifest.size,
        tuple(note.rstrip('.') for note in (*shared.left_out, *staged.notes)))


def _upload(root: Path, repository: str, manifest: Manifest, options: PushOptions) -> hub.Commit:
    hub.create(repository, private=options.private)
    state = hub.read_state(repository)
    if options.private and not state.private:
        raise LthError(f'{repository} exists and is public. Make it private on its page on the Hub, or leave out '
                       '--private. Nothing was uploaded.')
    outdated = _earlier_files(repository, state, manifest) - set(manifest.files)
    message = f'Upload the run {manifest.run} with lth {__version__}'
    return hub.commit(repository, root, deleted=sorted(outdated), message=message)


def _earlier_files(repository: str, state: RepositoryState, manifest: Manifest) -> set[str]:
    """The files of an earlier push that the repository has. LthError if it has other files, or another run."""

    if MANIFEST not in state.sizes:
        if other := sorted(set(state.sizes) - set(_INITIAL)):
            raise LthError(f'{repository} exists and holds files that lth did not write, such as {quote(other[0])}. '
                           'Choose another repository. Nothing was uploaded.')
        return set()
    with tempfile.TemporaryDirectory() as folder:
        hub.download(repository, state.commit, [MANIFEST], Path(folder))
        earlier = read_manifest(Path(folder) / MANIFEST, repository)
    if earlier.run != manifest.run:
        raise LthError(f'{repository} holds the run {quote(earlier.run)}, which {quote(manifest.run)} would replace. '
                       'Choose another repository. Nothing was uploaded.')
    return set(earlier.files) & set(state.sizes)
