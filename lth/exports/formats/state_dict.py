"""The format `torch`: a state_dict of the ordinary module, pruned weights included."""
from functools import partial
from pathlib import Path

from safetensors.torch import load_file

from lth.exports.export_format import EXPORT_FORMATS, Exported, Loaded
from lth.exports.exported_network import ExportedNetwork
from lth.system import tensor_files

WEIGHTS = 'model.safetensors'
_USAGE = '''
from safetensors.torch import load_file

module = ...  # {module}
module.load_state_dict(load_file('{weights}'))
module.eval()
logits = module(images)
'''
_MODULES = {
    'torchvision': 'torchvision.models.{name}(num_classes={classes})',
    'timm': "timm.create_model('{name}', num_classes={classes})"}


@EXPORT_FORMATS.register('torch')
def state_dict(network: ExportedNetwork) -> Exported:
    """All parameters and buffers as the state_dict of the ordinary module, with pruned weights at 0."""

    content = tensor_files.encode(network.state_dict(), network.facts)
    usage = _USAGE.format(module=_module_in_words(network), weights=WEIGHTS)
    return Exported({WEIGHTS: content}, partial(_load, network), usage)


def _load(network: ExportedNetwork, folder: Path) -> Loaded:
    module = network.fresh_module()
    module.load_state_dict(load_file(folder / WEIGHTS))
    return Loaded.of(module)


def _module_in_words(network: ExportedNetwork) -> str:
    """What makes the module, as far as it is not a model of lth."""

    family, _, name = network.name.partition(':')
    made = _MODULES.get(family, 'a module with the names that are in the file').format(
        name=name, classes=network.plan.network.classes)
    return f'the module of {network.name}: {made}'
