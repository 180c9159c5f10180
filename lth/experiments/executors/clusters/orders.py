"""What a worker on another machine is sent for a task: files of the run and of its source, code of the user, settings.
"""
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from lth.algorithms import ALGORITHMS
from lth.errors import LthError, quote
from lth.experiments.executors.protocol import Task
from lth.recipes.schema import AlgorithmSettings
from lth.recipes.section import validate_section
from lth.registry import code_fingerprints, user_code
from lth.runs import packed_folders, run_source
from lth.runs.packed_folders import PackedFolder
from lth.system import yaml_text
from lth.system.reading import read_bytes
from lth.system.yaml_text import Raw

_RECIPE = 'recipe.yaml'
_MOST_BYTES_OF_RECIPE = 2 ** 24
# Of files that are sent at once; a single round may be larger.
_BYTES_AT_ONCE = 2 ** 26


class Parcel(NamedTuple):
    """A folder of the run at this path, an absolute one on the machine that sends it."""

    run: str
    folder: PackedFolder


@dataclass(frozen=True)
class SentCode:
    """The user's code: the current folder, the entries of sys.path below which its files are, their content by path,
    and the names in recipes, all of which may run.
    """

    directory: str
    search_paths: tuple[str, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    names: tuple[str, ...] = ()


class Order(NamedTuple):
    """A task with absolute paths, and the code that it uses."""

    task: Task
    code: SentCode


def parcels(task: Task) -> Iterator[list[Parcel]]:
    """The files that a worker needs before it trains a task: recipe, completed rounds and checkpoints of its seeds, and
    the rounds of another run from which it starts. Each list has about 64 MiB. LthError for damaged files.
    """

    together = list[Parcel]()
    for parcel in _parcels(task):
        together.append(parcel)
        if sum(parcel.folder.size for parcel in together) >= _BYTES_AT_ONCE:
            yield together
            together = []
    if together:
        yield together


def order(task: Task, *, on_gpu: bool) -> Order:
    """The order to train a task on another machine: on a CPU, or on the one GPU that the worker sees."""

    names = user_code.code_names(task.recipe)
    if source := _source(task):
        names += user_code.code_names(yaml_text.read_yaml(source / _RECIPE))
    target = replace(task.target, device='cuda' if on_gpu else 'cpu')
    return Order(replace(task, target=target), _user_code(tuple(dict.fromkeys(names))))


def _parcels(task: Task) -> Iterator[Parcel]:
    run = Path(os.path.abspath(task.target.folder))
    yield _recipe(run)
    for seed in task.seeds:
        for folder in packed_folders.pack_seed(run, seed):
            yield Parcel(str(run), folder)
    if source := _source(task):
        yield _recipe(source)
        settings = _settings(task.recipe)
        donor = settings.donor_seed()
        for seed in dict.fromkeys([*task.seeds, *([] if donor is None else [donor])]):
            for folder in packed_folders.pack_rounds(source, seed, set(settings.source_rounds())):
                yield Parcel(str(source), folder)


def _recipe(run: Path) -> Parcel:
    content = read_bytes(run / _RECIPE, at_most=_MOST_BYTES_OF_RECIPE)
    return Parcel(str(run), PackedFolder('.', {_RECIPE: content}))


def _source(task: Task) -> Path | None:
    """The run from which the run of a task starts, None if there is none."""

    settings = task.recipe['algorithm']
    if os.path.isabs(settings.get('source', '')):
        raise LthError(f'algorithm.source is {quote(settings["source"])}. Workers on other machines find the run only '
                       'by a path that is relative to the run folder: write such a path into recipe.yaml.')
    return run_source.source_folder(Path(os.path.abspath(task.target.folder)), settings)


def _settings(recipe: Raw) -> AlgorithmSettings:
    """The settings of the algorithm of a recipe."""

    raw = recipe['algorithm']
    return validate_section(ALGORITHMS.find(raw['name']).settings, raw, _RECIPE)


def _user_code(names: tuple[str, ...]) -> SentCode:
    """The code outside of lth and of installed packages that this process has read."""

    directory = os.getcwd()
    files = {str(path): content for path, content in code_fingerprints.user_files().items()}
    for path in list(map(Path, files)):
        # Whether a file belongs to a package decides from which folder it is imported.
        markers = (parent / '__init__.py' for parent in path.parents)
        files |= {str(marker): marker.read_bytes() for marker in markers if marker.is_file()}
    entries = [os.path.abspath(entry) for entry in sys.path]
    above = [entry for entry in dict.fromkeys(entries) if any(Path(file).is_relative_to(entry) for file in files)]
    return SentCode(directory, tuple(above), files, names)
