"""Verify downloaded runs before they are used: every file by its checksums, and what files say about their places.

No code of a recipe is imported, and no network is built.
"""
import os
from pathlib import Path

from lth.analysis import checks_file
from lth.errors import LthError, quote
from lth.runs import seed_folders, sessions
from lth.runs.checked_json import read_checked
from lth.runs.recipe_digest import recipe_digest
from lth.runs.round_check import check_round
from lth.runs.stored_run import StoredRun
from lth.sharing.manifest import Manifest, file_checksum, run_folders

_ADVICE = 'Ask its owner to push the run again, or pull another --revision.'


def verify(root: Path, manifest: Manifest, repository: str) -> None:
    """LthError, which names the file, if a file below the folder is not the one in the manifest, or no part of its run.
    """

    for name, file in manifest.files.items():
        path = root / name
        if path.is_symlink() or not path.is_file() or path.stat().st_size != file.size \
                or file_checksum(path) != file.sha256:
            raise LthError(f'{repository} was not pulled: {name} is damaged or was changed, as its checksum is not the '
                           f'one in lth.json. {_ADVICE}')
    folders = run_folders(manifest.files)
    if manifest.run not in folders:
        raise LthError(f'{repository} was not pulled: it has no {quote(manifest.run)}/recipe.yaml. {_ADVICE}')
    try:
        for folder in folders:
            _verify_run(root, root / folder)
        _verify_measurements(root, manifest)
    except LthError as error:
        raise LthError(f'{repository} was not pulled: {str(error).replace(f"{root}/", "")}') from None


def _verify_run(root: Path, folder: Path) -> None:
    """LthError unless the rounds and sessions of a run are intact and of its recipe."""

    run = StoredRun.open(folder)
    source = run.source_folder
    if source is not None and not Path(os.path.abspath(source)).is_relative_to(root):
        raise LthError(f'{folder}/recipe.yaml names a run outside of the repository, {quote(str(source))}. {_ADVICE}')
    digest = recipe_digest(run.recipe, run.recipe)
    for seed in seed_folders.seed_folders(folder):
        for number in range(run.round_count(seed)):
            place = seed_folders.round_folder(folder, seed, number)
            if check_round(place, seed=seed, number=number, advice=_ADVICE) not in (None, digest):
                raise LthError(f'{place} is of another recipe than recipe.yaml. {_ADVICE}')
    sessions.read(folder, digest)


def _verify_measurements(root: Path, manifest: Manifest) -> None:
    """LthError unless the reports of sanity checks and the files of stability are intact."""

    for name in manifest.files:
        path = root / name
        if path.name == checks_file.CHECKS:
            checks_file.read_checks(path.parent)
        elif path.parent.parent == root and path.parent.name.endswith('-stability'):
            read_checked(path, at_most=manifest.files[name].size, advice=_ADVICE)
