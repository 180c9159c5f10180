"""What a run was made with, and what may be added to it: only rounds of the same recipe, code, data and sources."""
import os
import platform
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from lth import __version__
from lth.datasets import DATASETS, Dataset, foreign_sources
from lth.errors import LthError
from lth.experiments.plan import Plan, make_plan
from lth.experiments.reporter import seed_names
from lth.experiments.run_target import RunTarget
from lth.recipes.schema import differences
from lth.registry import code_fingerprints, user_code
from lth.registry.objects import is_object
from lth.runs.folder import Run
from lth.system import cluster_job, environment, yaml_text
from lth.system.yaml_text import Raw
from lth.training.engines import select
from lth.training.task import Engine

# Facts that no recipe has, as they are recorded for each session: user code or files may have changed.
_INPUTS = {'reader': 'another image reader', 'network': 'another network', 'pictures': 'other images',
           'images': 'other images'}
# The settings that decide which images are read.
_IMAGE_SETTINGS = ('name', 'labels', 'size', 'channels', 'storage', 'undecodable')


def refuse_other_recipe(run: Run) -> None:
    """LthError if the folder holds a run of another recipe. Both recipes are compared with all defaults and under
    registered names, so that a later version with more settings can resume the run. `source` texts do not count.
    """

    stored = run.stored_recipe()
    if stored is None:
        return
    refuse_other_objects(run.folder, {section: run.recipe[section]['name'] for section in ('model', 'data')})
    user_code.require_trust(stored)
    stored_recipe = make_plan(stored, str(run.folder / 'recipe.yaml')).recipe
    _refuse_other_kind(run, stored_recipe.algorithm.name)
    rows = differences(stored_recipe.dump() | {'source': ''}, run.recipe | {'source': ''})
    if not rows:
        return
    extended = stored_recipe.algorithm.finds == 'gems' and any(row.startswith('training.length') for row in rows)
    reason = ' A search for a gem cannot be extended, as its length decides all of its rounds.' if extended else ''
    raise LthError(f'{run.folder} holds a run of another recipe (there / here): {"; ".join(rows)}.{reason} Choose '
                   'another folder with --run, use the settings of that run, or start over with --restart, which moves '
                   'that run aside.')


def _refuse_other_kind(run: Run, stored: str) -> None:
    """LthError if the run in the folder was made with another algorithm, which has other settings."""

    wanted = run.recipe['algorithm']['name']
    if stored != wanted:
        raise LthError(f'{run.folder} holds a run of the algorithm {stored!r}, and this command uses {wanted!r}. '
                       'Choose another folder with --run, or start over with --restart, which moves that run aside.')


def refuse_other_objects(folder: Path, names: Mapping[str, str]) -> None:
    """LthError if the run in the folder has another model or other data than the ones with these names, by section
    ('model', 'data'), where one of them is a Python object.
    """

    path = folder / 'recipe.yaml'
    stored = yaml_text.read_yaml(path) if path.exists() else {}
    for section, name in names.items():
        settings = stored.get(section)
        recorded = str(settings.get('name', name)) if isinstance(settings, dict) else name
        if recorded != name and (is_object(recorded) or is_object(name)):
            contents, other = {'model': ('its source code, structure and weights', 'another model'),
                               'data': ('all images and labels', 'other data')}[section]
            raise LthError(f'{folder} was made with {other}: {recorded}, not {name}. The name of a Python '
                           f'object ends with a digest of {contents}. Give the same {section} again, or choose another '
                           'folder.')


def code_inputs(plan: Plan) -> Raw:
    """Fingerprints of the network and of all code that the plan uses and that is not of lth."""

    return {'network': plan.network.fingerprint, 'code': plan.code}


def inputs(plan: Plan, data: Dataset) -> Raw:
    """Fingerprints of all that decides a result and that no recipe has: images, their reader, network and code."""

    return {'reader': data.reader, 'pictures': data.fingerprint, 'images': data.image_digest, **code_inputs(plan)}


def session_entry(plan: Plan, engine: Engine, data: Dataset, target: RunTarget, seeds: Sequence[int]) -> Raw:
    """The entry of this session, which trains these seeds. The run folder keeps it in `sessions`."""

    return {'lth': __version__, 'torch': torch.__version__, 'python': platform.python_version(),
            **environment.environment(), 'gpus': select.gpu_names(engine.device), 'command': sys.argv,
            'host': socket.gethostname(), 'process': os.getpid(), 'job': cluster_job.in_words(), 'engine': engine.name,
            'device': str(engine.device), 'choice': target.engine,
            'compile': target.compile if 'compiled' in engine.name else 'off',
            'replicates': target.replicates or 'branches', 'deterministic': bool(target.deterministic),
            'threads': target.threads or torch.get_num_threads(), 'ranks': _rank_count(),
            'sync_batch_norm': bool(target.sync_batch_norm), **inputs(plan, data), 'directory': os.getcwd(),
            'start': datetime.now().astimezone().isoformat(timespec='milliseconds'), 'seconds': 0., 'rounds': 0,
            'planned_rounds': len(plan.kept), 'seeds': list(seeds)}


def refuse_other_inputs(run: Run, entry: Raw) -> None:
    """LthError if a session of the run had another network, other code, other images or another image reader than this
    one, whose entry is given.
    """

    for session in run.sessions():
        if other := difference(session, entry):
            raise LthError(f'{run.folder} was started with {other}, and new rounds would not belong to it. '
                           'Restore the code, images and prepared files, choose another folder with --run, or start '
                           'over with --restart, which moves that run aside.')


def refuse_other_normalization(plan: Plan, run: Run, target: RunTarget) -> None:
    """LthError if BatchNorm would normalize over other parts of a batch than in an earlier session of the run."""

    parts = 1 if target.sync_batch_norm else _rank_count()
    for session in run.sessions() if plan.network.has_batch_norm else ():
        before = 1 if session.get('sync_batch_norm') else session.get('ranks', 1)
        if before != parts:
            raise LthError(f'{run.folder} was trained with BatchNorm over {_parts_in_words(before)}, and this command '
                           f'would normalize over {_parts_in_words(parts)}, which gives other results. '
                           f'{_remedy(before)}, or start over with --restart, which moves that run aside.')


def refuse_changed_run(run: Run, entry: Raw) -> None:
    """LthError if a session of a run that is only read had another network, other code or other images than those of
    the entry.
    """

    for session in run.sessions():
        if other := difference(session, _comparable_images(session, entry)):
            raise LthError(f'{run.folder} was made with {other}: what is measured now would not be this run. '
                           'Restore the code and the images.')


def refuse_changed_source(source: Run, run: Run, entry: Raw) -> None:
    """LthError if the run, whose session has this entry, would train the tickets of a source run with other code of the
    model than the source's, or with other images although both read the same data set.
    """

    same_images = _image_settings(source.recipe) == _image_settings(run.recipe)
    entry = {key: value for key, value in entry.items() if same_images or key == 'code'}
    entry['code'] = {use: files for use, files in entry['code'].items() if same_images or use.startswith('model ')}
    for session in source.sessions():
        if other := difference(session, _comparable_images(session, entry)):
            raise LthError(f'{run.folder} trains tickets of {source.folder}, which was made with {other}: the '
                           'results could not be compared. Restore the code and the images, or search again in '
                           'another folder.')


def refuse_changed_inputs(expected: Raw, entry: Raw, seeds: Sequence[int]) -> None:
    """LthError that names the seeds if the inputs are no longer the expected ones, with which this command started."""

    if other := difference(expected, entry):
        raise LthError(f'{seed_names(seeds)} cannot be trained: this command was started with {other}, which have '
                       'changed since, or are not the same each time. Restore them, and run the same command again: '
                       'it resumes after the last completed round.')


def refuse_changed_modules() -> None:
    """LthError if a module of the user was edited between the start of this session and its import."""

    if paths := code_fingerprints.changed_modules():
        raise LthError(f'{paths[0]} was changed after this session started and before it was imported, so the session '
                       'does not know which code it runs. Run the same command again: it resumes after the last '
                       'completed round.')


def refuse_random_data(plan: Plan, datasets: Path, data: Dataset) -> None:
    """LthError if a function of the user or of a plug-in returns other images when it is called again."""

    if not DATASETS.is_foreign(plan.recipe.data.name):
        return
    digest = data.image_digest  # before the second call, which may change the same arrays
    source = foreign_sources.second_source(plan.source, plan.recipe.data)
    if replace(plan, source=source).read(datasets).image_digest != digest:
        raise LthError(f'{plan.recipe.data.name} returns other images when it is called again, so a run could neither '
                       'be resumed nor its seeds be compared. Let it return the same images each time: seed its random '
                       'numbers, and leave augmentation to the settings data.crop, data.flip and data.resized_crop.')


def _rank_count() -> int:
    ranks = select.current_ranks()
    return ranks.size if ranks else 1


def _remedy(parts: int) -> str:
    return 'Use --sync-batch-norm' if parts == 1 else f'Start {parts} ranks with --no-sync-batch-norm'


def _parts_in_words(parts: int) -> str:
    return 'complete batches' if parts == 1 else f'each of {parts} parts of a batch'


def difference(recorded: Raw, entry: Raw) -> str:
    """How the recorded inputs differ from an entry, for a message; '' if they do not, as far as both have them."""

    keys = _INPUTS.keys() & recorded.keys() & entry.keys()
    if 'images' in keys:
        # This one contains the mean of all pixels, whose last bits depend on the number of threads.
        keys -= {'pictures'}
    for key, words in _INPUTS.items():
        if key in keys and recorded[key] != entry[key]:
            return f'{words} ({key}: {recorded[key]} / {entry[key]})'
    code, present = recorded.get('code', {}), entry.get('code', {})
    for use in code.keys() & present.keys():
        for file in sorted(code[use].keys() & present[use].keys()):
            if code[use][file] != present[use][file]:
                return f'other code of the {use} (in {file}: {code[use][file]} / {present[use][file]})'
    return ''


def _comparable_images(session: Raw, entry: Raw) -> Raw:
    """The entry, without what depends on the image reader if the session had another one."""

    if session.get('reader', entry.get('reader')) == entry.get('reader'):
        return entry
    return {key: value for key, value in entry.items() if key not in ('reader', 'pictures', 'images')}


def _image_settings(recipe: Raw) -> list[Any]:
    return [recipe['data'].get(key) for key in _IMAGE_SETTINGS]
