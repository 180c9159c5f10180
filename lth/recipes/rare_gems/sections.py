"""The sections model, data and training of a recipe, from rare-gems settings.

A network or data set that rare-gems has is a line in `_NETWORKS` or `_DATASETS`; one that has no equal here stands
below with the way out.
"""
from typing import NamedTuple

from lth.recipes.rare_gems.keys import TAKEN
from lth.recipes.rare_gems.reader import Reader
from lth.system.files import Raw


class _Network(NamedTuple):
    """A model of ours with its options, the weight that sees the pictures, and what differs in what is counted."""

    name: str
    options: Raw
    first: str
    norm: bool = True
    differs: str = ''


_BIAS = 'its classifier has a bias, which starts at 0, is never pruned, and trains when weights do'
_SHORTCUTS = 'its projection shortcuts, 2,776,576 weights, are pruned and counted here, and neither in rare-gems'
_BIASES = 'its layers have biases, which start at 0, are never pruned, and train when weights do'
_NETWORKS = {
    'resnet20': _Network('resnet20', {'shortcut': 'identity'}, 'stem.0.weight'),
    'resnet32': _Network('resnet32', {'shortcut': 'identity'}, 'stem.0.weight'),
    'cResNet18': _Network('resnet18', {}, 'stem.0.weight', differs=_BIAS),
    'TinyResNet18': _Network('resnet18', {}, 'stem.0.weight', differs=_BIAS),
    'ResNet50': _Network('resnet50', {}, '0.0.weight', differs=f'{_SHORTCUTS}; {_BIAS}'),
    'ResNet101': _Network(
        'torchvision:resnet101', {}, 'conv1.weight', norm=False,
        differs=f'{_SHORTCUTS}; {_BIAS}, as do scale and shift of its BatchNorm'),
    'vgg16': _Network('vgg16', {}, 'conv1.weight', differs=_BIAS),
    'tinyvgg16': _Network('vgg16', {}, 'conv1.weight', differs=_BIAS),
    'MobileNetV2': _Network('mobilenet-v2', {}, '0.weight', differs=_BIAS),
    'WideResNet28': _Network('wide-resnet28-2', {}, 'stem.weight', differs=_BIAS),
    'Conv2': _Network('conv-2', {}, 'conv1.weight', norm=False, differs=_BIASES),
    'Conv4': _Network('conv-4', {}, 'conv1.weight', norm=False, differs=_BIASES),
    'Conv6': _Network('conv-6', {}, 'conv1.weight', norm=False, differs=_BIASES)}
_OWN = 'a function of your own can be such a network, as in `lth find-gem FILE.py:FUNCTION DATASET --sparsity PERCENT`'
_NO_NETWORKS = {
    'resnet32_double': f'resnet32 has widths 16, 32 and 64 here, not 32, 64 and 128; {_OWN}',
    'FC': f'dense networks are lenet-300-100 here; {_OWN}'}
_DENSE = ('', 'Normal')  # `resnet20Normal` is the network without scores

_CIFAR = {'normalization': 'standardize', 'crop': 4, 'flip': True}
_IMAGENET = {
    'name': 'imagenet', 'normalization': 'standardize', 'resolution': 224, 'resized_crop': 0.08, 'flip': True}
_DATASETS: dict[str, Raw] = {
    'CIFAR10': {'name': 'cifar10', **_CIFAR}, 'CIFAR100': {'name': 'cifar100', **_CIFAR},
    'TinyImageNet': {'name': 'tiny-imagenet', **_CIFAR}, 'ImageNet': _IMAGENET, 'FfcvImageNet': _IMAGENET,
    'MNIST': {'name': 'mnist', 'normalization': 'standardize'}}
_NO_DATASETS = {
    'Caltech101': 'give its pictures as a folder, as in `lth find-gem MODEL folder:PATH --sparsity PERCENT`'}

_INITIALIZERS = {
    'signed_constant': 'signed-constant', 'unsigned_constant': 'unsigned-constant', 'kaiming_normal': 'kaiming-normal',
    'kaiming_uniform': 'kaiming-uniform', 'xavier_normal': 'glorot-normal'}
_NORMS = {'NonAffineBatchNorm': 'plain', 'AffineBatchNorm': 'affine'}
_OPTIMIZERS = {'sgd': 'sgd', 'adam': 'adam'}
_POLICIES = {'constant_lr': 'constant', 'constant': 'constant', 'cosine_lr': 'cosine', 'multistep_lr': 'multistep'}


def is_dense(given: Reader) -> bool:
    """Whether the network's name says that it has no scores."""

    return given.text('arch').lower().endswith('normal')


def model(given: Reader) -> Raw:
    """The network and how its weights are drawn."""

    network = _network(given)
    if network.differs:
        given.note(f'{network.name}: {network.differs}')
    norm = {'norm': given.choice('bn_type', _NORMS)} if network.norm else {}
    return {'name': network.name, 'initializer': given.choice('init', _INITIALIZERS), **network.options, **norm}


def keep_out(given: Reader) -> Raw:
    """The layers that are not pruned."""

    first = [_network(given).first] if given.truth('first_layer_dense') else []
    last = ['output'] if given.truth('last_layer_dense') else []
    return {'keep_out': first + last} if first or last else {}


def data(given: Reader) -> Raw:
    """The pictures, moved and mirrored as they are there."""

    settings = given.choice('dataset', _DATASETS, refused=_NO_DATASETS)
    if given.truth('use_full_data'):
        given.note('use_full_data trains on all pictures there; here some always validate, as many as '
                     'data.validation says')
    if settings is _IMAGENET:
        given.note('ImageNet is looked for in the folder imagenet below that of the data sets; `lth prepare '
                     'imagenet` writes it for FFCV')
    return dict(settings)


def search_training(given: Reader, epochs: int) -> Raw:
    """How scores are trained, or the weights of a search that trains these."""

    return _training(given, epochs, '', _schedule(given, epochs))


def finetuning(given: Reader, epochs: int) -> Raw:
    """How weights are trained once a subnetwork is found: as long as the search, dropping where rare-gems drops."""

    name = given.choice('fine_tune_lr_policy', _POLICIES)
    schedule = _multistep(finetuning_milestones(epochs)) if name == 'multistep' else _smooth(name)
    return _training(given, epochs, 'fine_tune_', schedule)


def finetuning_milestones(epochs: int) -> list[int]:
    """The epochs at which the learning rate drops when a gem is finetuned for so many, as the paper's code has it."""

    published = {100: [50, 80], 150: [80, 120], 160: [80, 120], 200: [100, 150], 300: [150, 250]}
    return published.get(epochs, sorted({epochs // 2, epochs * 2 // 3} - {0}))


def _network(given: Reader) -> _Network:
    return given.choice(
        'arch', {f'{name}{suffix}': network for suffix in _DENSE for name, network in _NETWORKS.items()},
        refused={f'{name}{suffix}': why for suffix in _DENSE for name, why in _NO_NETWORKS.items()})


def _training(given: Reader, epochs: int, prefix: str, schedule: Raw) -> Raw:
    precision = {'precision': 'bf16'} if given.truth('mixed_precision') else {}
    return {'length': f'{epochs} epochs', 'batch_size': given.whole('batch_size', least=1),
            'optimizer': _optimizer(given, prefix), 'schedule': schedule, **precision}


def _optimizer(given: Reader, prefix: str) -> Raw:
    """The optimizer whose keys begin so; momentum and its kind are those of both."""

    name = given.choice(f'{prefix}optimizer', _OPTIMIZERS)
    settings = {'name': name, 'learning_rate': given.number(f'{prefix}lr', above=0),
                'weight_decay': given.number(f'{prefix}wd', least=0)}
    if name == 'adam':
        return settings
    momentum, nesterov = given.number('momentum', least=0, below=1), given.truth('nesterov')
    if nesterov and not momentum:
        given.complain('nesterov', 'needs a momentum above 0.')
    return settings | {'momentum': momentum, 'nesterov': nesterov}


def _schedule(given: Reader, epochs: int) -> Raw:
    """The schedule of the search; milestones are those of rare-gems for so many epochs unless they are given."""

    name = given.choice('lr_policy', _POLICIES)
    if name != 'multistep':
        return _smooth(name)
    factors = {key: given.number(key, above=0, below=1) for key in ('lr_gamma', 'gamma') if key in given}
    if len(set(factors.values())) > 1:
        given.complain('gamma', f'is not lr_gamma, {factors["lr_gamma"]:g}: leave one out.')
    milestones = given.wholes('milestones') or finetuning_milestones(epochs)
    return _multistep(milestones) | {'factor': next(iter(factors.values()), TAKEN['gamma'])}


def _smooth(name: str) -> Raw:
    return {'name': name, 'per': 'epoch'} if name == 'cosine' else {'name': name}


def _multistep(milestones: list[int]) -> Raw:
    return {'name': 'multistep', 'milestones': [f'{epoch} epochs' for epoch in milestones]}
