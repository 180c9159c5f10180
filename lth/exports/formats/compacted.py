"""The format `compacted`: a smaller network, without the units and channels that carry nothing."""
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from lth.exports.compaction.compact import Compacted, compact
from lth.exports.export_format import EXPORT_FORMATS, Exported, Loaded
from lth.exports.exported_network import ExportedNetwork, parameters
from lth.exports.python_files import import_file
from lth.system import tensor_files

_WEIGHTS, _CODE = 'model.safetensors', 'model.py'
# As many are named.
_MOST_OPERATIONS = 8
_USAGE = '''
from model import load

model = load('model.safetensors')
logits = model(images)
'''


@EXPORT_FORMATS.register('compacted')
def compacted(network: ExportedNetwork) -> Exported:
    """A smaller network that computes the same, without units and channels that carry nothing, as model.py."""

    title = f'{network.name}, trained on {network.plan.recipe.data.name}, compacted: a network that needs torch only.'
    found = compact(network.module, network.example(), network.name, title)
    files = {_WEIGHTS: tensor_files.encode(found.source.tensors, network.facts), _CODE: found.source.code.encode()}
    return Exported(files, _load, _USAGE, _details(network, found), tuple(_notes(network, found)))


def _load(folder: Path) -> Loaded:
    code: ModuleType = import_file(folder / _CODE)
    return Loaded.of(code.load(folder / _WEIGHTS))


def _details(network: ExportedNetwork, found: Compacted) -> dict[str, Any]:
    return {'units': found.units, 'units_left': found.left, 'parameters': parameters(network.module),
            'parameters_left': found.parameters, 'kept_for': found.kept_for,
            'layers': {size.layer: {'units': size.outputs, 'left': size.left} for size in found.sizes}}


def _notes(network: ExportedNetwork, found: Compacted) -> Iterator[str]:
    """How much was removed, and which operations kept channels."""

    before = parameters(network.module)
    yield (f'{found.units - found.left:,} of {found.units:,} units and channels were removed, '
           f'{found.parameters:,} of {before:,} parameters are left')
    if found.kept_for:
        others = ' and others' * (len(found.kept_for) > _MOST_OPERATIONS)
        yield f'all channels stay in features that reach {", ".join(found.kept_for[:_MOST_OPERATIONS])}{others}'
