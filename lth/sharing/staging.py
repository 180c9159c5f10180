"""A copy of runs as they are shared: completed rounds with their checksums, recipes and sessions without names of
machines and paths, sanity checks, and the model card. The runs themselves are never changed.
"""
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lth.analysis import checks_file
from lth.analysis.answers.levels import MARGIN
from lth.analysis.model_card.card import write_card
from lth.analysis.model_card.sections import CardLocation
from lth.errors import LthError
from lth.experiments import folders
from lth.runs import integrity, packed_folders, seed_folders, sessions
from lth.runs.checked_json import encode_checked, read_checked
from lth.runs.run_path import RunPath
from lth.runs.stored_run import StoredRun
from lth.sharing import anonymous
from lth.sharing.manifest import CARD, Manifest, write_manifest
from lth.sharing.shared_runs import SharedRuns
from lth.system import files, yaml_text

_TIME = re.compile(r'\d{8}T\d{6}\.\d{3}Z', re.ASCII)
_MOST_BYTES = 2 ** 24


class Staged(NamedTuple):
    """What a folder holds that is shared, and sentences about what is missing in its card."""

    manifest: Manifest
    notes: list[str]


def stage(shared: SharedRuns, root: Path, repository: str, *, license_: str | None, margin: float = MARGIN) -> Staged:
    """Copy runs to the folder `root`, which is empty, as they are shared in the repository OWNER/NAME. LthError if a
    file is damaged, or if one would name a path on this machine.
    """

    for folder in shared.folders:
        _copy_run(folder, root / shared.name(folder), shared.parent)
    for folder in shared.folders:
        _copy_measurements(folder, shared, root)
    run = shared.name(shared.folders[0])
    location = CardLocation(run, f'{repository.partition("/")[2]}/{run}', repository)
    card = write_card(RunPath(root / run), root / CARD, license_=license_, margin=margin, location=location)
    private = {'a temporary folder': str(root), **anonymous.private_paths(shared.folders[0])}
    anonymous.refuse_private_paths(root, private)
    notes = [note.replace(f'{root}/', '') for note in card.notes]
    return Staged(write_manifest(root, run), notes)


def _copy_run(folder: Path, target: Path, parent: Path) -> None:
    """Copy what is shared of a run. Each file is compared with its checksum again, since another process may have
    changed it after it was checked.
    """

    run = StoredRun.open(folder)
    anonymous.refuse_paths(run.recipe, folder)
    _refuse_distant_source(run, parent)
    recipe = dict(run.recipe)
    if isinstance(recipe.get('source'), str):
        recipe['source'] = anonymous.text_of(recipe['source'], parent)
    files.create_folder(target)
    files.write(target / 'recipe.yaml', yaml_text.dump_yaml(recipe).encode())
    for name, content in _sessions(run):
        files.create_folder((target / name).parent)
        files.write(target / name, content)
    for seed in run.seeds():
        for number in range(run.round_count(seed)):
            packed = packed_folders.pack(folder, seed_folders.round_folder(folder, seed, number))
            packed_folders.unpack(target, packed)


def _sessions(run: StoredRun) -> Iterator[tuple[str, bytes]]:
    """The files of the sessions, which are numbered in the place of the machine and the process."""

    advice = integrity.repair_advice(run.folder)
    if old := sessions.read_old(run.folder / sessions.OLD_FILE, advice):
        yield sessions.OLD_FILE, json.dumps(list(map(anonymous.session, old)), indent=2).encode()
    for number, path in enumerate(sessions.session_files(run.folder), 1):
        time = _TIME.match(path.name)
        name = f'{time[0]}-{number:03d}.json' if time else f'{number:03d}.json'
        entry = anonymous.session(sessions.read_entry(path, advice))
        yield f'{sessions.FOLDER}/{name}', encode_checked(entry)


def _copy_measurements(folder: Path, shared: SharedRuns, root: Path) -> None:
    """Copy the report of the sanity checks in whose folder a run is, and what was measured of its stability."""

    advice = 'Move it away, or restore it from a copy.'
    report = folder.parent / checks_file.CHECKS
    if folder.parent != shared.parent and report.is_file():
        checks_file.read_checks(folder.parent)
        content = read_checked(report, at_most=_MOST_BYTES, advice=advice)
        content['run'] = anonymous.text_of(str(content['run']), shared.parent)
        files.write(root / folder.parent.name / checks_file.CHECKS, encode_checked(content))
    for path in sorted(folders.sibling_folder(folder, 'stability').glob('*.json')):
        if folder.parent == shared.parent:
            content = read_checked(path, at_most=_MOST_BYTES, advice=advice)
            files.create_folder(root / path.parent.name)
            files.write(root / path.parent.name / path.name, encode_checked(content))


def _refuse_distant_source(run: StoredRun, parent: Path) -> None:
    """LthError if a run starts from a run that does not lie next to it: its recipe has the path."""

    source = run.source_folder
    if source is not None and not source.is_relative_to(parent):
        raise LthError(f'{run.folder} starts from {source}, which does not lie next to it, and its recipe has the path '
                       'from one to the other. Train it again next to its source, then push it.')
