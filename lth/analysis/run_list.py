"""The runs below a folder: what each of them is, how far it is, and from which other run it starts.

This reads recipes, sessions and the records of rounds, but no tensors, and does not import torch.
"""
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lth.errors import LthError
from lth.runs import run_locks
from lth.runs.stored_run import StoredRun

State = Literal['complete', 'unfinished', 'in training', 'damaged', 'unknown']
# Deeper than any folder of lth: RUNS/GROUP/RUN-checks-round-NN/NAME.
_DEPTH = 6
_PART_OF_RUN = re.compile(r'seed-\d+|sessions|\..*|.*\.partial')


@dataclass(frozen=True)
class ListedRun:
    """A run. `rounds` are the numbers of completed rounds of the `seeds`, `planned` that of each seed when the run is
    complete, None if an earlier version did not record it. `test_accuracy` is a share: the mean over the seeds in the
    last round that all of them have. `state` is unknown if `planned` is. `detail` says who trains the run, what is
    damaged, or that its source was replaced. `source` is the run in the list from which it starts, `depth` how many
    such runs come before it. Without a readable recipe, model, data set and algorithm are None.
    """

    folder: Path
    model: str | None = None
    dataset: str | None = None
    algorithm: str | None = None
    seeds: tuple[int, ...] = ()
    rounds: tuple[int, ...] = ()
    planned: int | None = None
    test_accuracy: float | None = None
    state: State = 'unknown'
    detail: str = ''
    source: Path | None = None
    depth: int = 0


def list_runs(folder: Path) -> list[ListedRun]:
    """All runs below the folder, in alphabetical order; runs that start from another one follow it. A damaged run is in
    the list with the reason. LthError if there is no such folder.
    """

    if not folder.is_dir():
        raise LthError(f'{folder} is not a folder. Give a folder with runs, such as ./runs.')
    stored = {path: _open(path) for path in sorted(_run_folders(folder, _DEPTH))}
    listed = {path: _describe(path, run) for path, run in stored.items()}
    by_path = {Path(os.path.abspath(path)): path for path in stored}
    for path, run in stored.items():
        if isinstance(run, StoredRun) and run.source_folder:
            source = by_path.get(Path(os.path.abspath(run.source_folder)))
            listed[path] = _with_source(listed[path], run, source, stored)
    return list(_in_tree_order(listed))


def list_run(folder: Path) -> ListedRun:
    """The run in the folder. A damaged run has the reason."""

    return _describe(folder, _open(folder))


def _run_folders(folder: Path, depth: int) -> Iterator[Path]:
    """The folders with a recipe.yaml at or below the folder. Folders that cannot be read are left out."""

    if (folder / 'recipe.yaml').exists():
        yield folder
    elif depth:
        try:
            names = [entry.name for entry in os.scandir(folder) if entry.is_dir()]
        except OSError:
            return
        for name in names:
            if not _PART_OF_RUN.fullmatch(name):
                yield from _run_folders(folder / name, depth - 1)


def _open(path: Path) -> StoredRun | LthError:
    try:
        return StoredRun.open(path)
    except LthError as error:
        return error


def _describe(path: Path, run: StoredRun | LthError) -> ListedRun:
    """The run without its source."""

    if isinstance(run, LthError):
        return ListedRun(path, state='damaged', detail=str(run))
    model, dataset, algorithm = (run.recipe[section]['name'] for section in ('model', 'data', 'algorithm'))
    listed = ListedRun(path, model, dataset, algorithm)
    try:
        listed = _with_rounds(listed, run)
        trained = run_locks.seeds_in_training(path)
    except LthError as error:
        return replace(listed, state='damaged', detail=str(error))
    except OSError as error:  # a folder that this user may not read
        return replace(listed, state='damaged', detail=f'{error.filename}: {error.strerror}')
    if trained:
        return replace(listed, state='in training', detail=f'by {", ".join(sorted(set(trained.values())))}')
    return listed


def _with_rounds(listed: ListedRun, run: StoredRun) -> ListedRun:
    """The run with its rounds and its accuracy. LthError if a file is damaged."""

    seeds = tuple(sorted({*run.seeds(), *run.requested_seeds}))
    rounds = tuple(map(run.round_count, seeds))
    common = [seed for seed, count in zip(seeds, rounds, strict=True) if count]
    accuracy = None
    if common:
        last = min(map(run.round_count, common)) - 1
        accuracy = sum(run.record(seed, last).last.test_accuracy for seed in common) / len(common)
    return replace(listed, seeds=seeds, rounds=rounds, planned=run.planned_rounds, test_accuracy=accuracy,
                   state=_state(rounds, run.planned_rounds))


def _state(rounds: Sequence[int], planned: int | None) -> State:
    if not rounds or (planned is not None and min(rounds) < planned):
        return 'unfinished'
    return 'unknown' if planned is None else 'complete'


def _with_source(
        listed: ListedRun, run: StoredRun, source: Path | None,
        stored: Mapping[Path, StoredRun | LthError]) -> ListedRun:
    """The run with its source, unless that is not listed, is damaged, or was replaced."""

    source_run = stored[source] if source else None
    if not isinstance(source_run, StoredRun) or listed.state == 'damaged':
        return listed
    try:
        if run.starts_from(source_run):
            return replace(listed, source=source)
    except (LthError, OSError):
        return listed  # the source is listed as damaged
    detail = f'trained from other tickets than those that are now in {source}'
    return replace(listed, detail='; '.join(filter(None, [listed.detail, detail])))


def _in_tree_order(listed: Mapping[Path, ListedRun]) -> Iterator[ListedRun]:
    """Each run before those that start from it."""

    children: dict[Path | None, list[Path]] = {}
    for path, run in listed.items():
        children.setdefault(run.source, []).append(path)
    # Runs whose recipes name each other as sources have no first one: they come last.
    waiting = [(path, 0) for path in reversed([*children.get(None, ()), *listed])]
    shown: set[Path] = set()
    while waiting:
        path, depth = waiting.pop()
        if path not in shown:
            shown.add(path)
            yield replace(listed[path], depth=depth)
            waiting += [(child, depth + 1) for child in reversed(children.get(path, ()))]
