"""What a run was made with, and what may be added to it: only rounds of the same recipe, code, data and sources."""
import os
import platform
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import torch

from lth import __version__
from lth.datasets import Dataset
from lth.errors import LthError
from lth.experiments.plan import Plan, make_plan
from lth.experiments.run_target import RunTarget
from lth.recipes.schema import differences
from lth.registry.objects import is_object
from lth.runs.folder import Run
from lth.system import files
from lth.system.files import Raw
from lth.training.task import Engine


# Facts that no recipe has, as they are recorded for each session: user code or files may have changed.
_INPUTS = {'reader': 'another image reader', 'network': 'another network', 'pictures': 'other images'}


def refuse_other_recipe(run: Run) -> None:
    """LthError if the folder holds a run of another recipe. Both recipes are compared with all defaults and under
    registered names, so that a later version with more settings can resume the run. `source` texts do not count.
    """

    stored = run.stored_recipe()
    if stored is None:
        return
    refuse_other_objects(run.folder, {section: run.recipe[section]['name'] for section in ('model', 'data')})
    stored = make_plan(stored, str(run.folder / 'recipe.yaml')).recipe.dump()
    rows = differences(stored | {'source': ''}, run.recipe | {'source': ''})
    if rows:
        raise LthError(f'{run.folder} holds a run of another recipe (there / here): {"; ".join(rows)}. Choose another '
                       'folder with --run, or use the settings of that run.')


def refuse_other_objects(folder: Path, names: Mapping[str, str]) -> None:
    """LthError if the run in the folder has another model or other data than the ones with these names, by section
    ('model', 'data'), where one of them is a Python object.
    """

    path = folder / 'recipe.yaml'
    stored = files.read_yaml(path) if path.exists() else {}
    for section, name in names.items():
        settings = stored.get(section)
        recorded = str(settings.get('name', name)) if isinstance(settings, dict) else name
        if recorded != name and (is_object(recorded) or is_object(name)):
            contents, other = {'model': ('its source code, structure and weights', 'another model'),
                               'data': ('all images and labels', 'other data')}[section]
            raise LthError(f'{folder} was made with {other}: {recorded}, not {name}. The name of a Python '
                           f'object ends with a digest of {contents}. Give the same {section} again, or choose another '
                           'folder.')


def refuse_other_inputs(run: Run, entry: Raw) -> None:
    """LthError if earlier sessions of the run had another network, other images or another image reader than this one,
    whose entry is given.
    """

    recorded: Raw = {}
    for session in run.sessions():
        recorded |= session
    for key, words in _INPUTS.items():
        if key in entry and recorded.get(key, entry[key]) != entry[key]:
            raise LthError(f'{run.folder} was started with {words} ({key}: {recorded[key]} / {entry[key]}), and new '
                           'rounds would not belong to it. Restore the code, images and prepared files, or choose '
                           'another folder with --run.')


def session_entry(plan: Plan, engine: Engine, data: Dataset, target: RunTarget) -> Raw:
    """The entry of this session in environment.json."""

    return {'lth': __version__, 'torch': torch.__version__, 'python': platform.python_version(),
            'machine': platform.platform(), 'command': sys.argv, 'engine': engine.name, 'device': str(engine.device),
            'choice': target.engine, 'compile': target.compile, 'replicates': target.replicates or 'branches',
            'deterministic': bool(target.deterministic), 'threads': target.threads or torch.get_num_threads(),
            'reader': data.reader, 'pictures': data.fingerprint, 'network': plan.network.fingerprint,
            'directory': os.getcwd(), 'start': datetime.now().astimezone().isoformat(timespec='seconds'),
            'seconds': 0., 'rounds': 0}
