"""Names in rare-gems files and what they become: networks, data sets, initializers, algorithms and so on.

A new network or data set is a line in NETWORKS or DATASETS; one that lth does not have is a line in NO_NETWORKS or
NO_DATASETS with an alternative.
"""
from dataclasses import dataclass, field, replace

from lth.system.yaml_text import Raw


@dataclass(frozen=True)
class NetworkSettings:
    """A model of lth with its options, the name of its first weight, whether it has the option `norm`, and how it
    differs from the network of rare-gems. `trains_scores` is False for dense networks.
    """

    name: str
    first: str
    options: Raw = field(default_factory=dict)
    norm: bool = True
    differs: str = ''
    trains_scores: bool = True


_IDENTITY = {'shortcut': 'identity'}
_BIAS = 'its classifier has a bias, which starts at 0, is never pruned, and is trained whenever weights are'
_BIASES = 'its layers have biases, which start at 0, are never pruned, and are trained whenever weights are'
_SHORTCUTS = 'its projection shortcuts, 2,768,896 weights, are pruned and counted, which rare-gems does not do'
_TINY_SHORTCUTS = 'its projection shortcuts, 172,032 weights, are pruned and counted, which rare-gems does not do'
_NETWORKS = {
    'resnet20': NetworkSettings('resnet20', 'stem.0.weight', _IDENTITY),
    'resnet32': NetworkSettings('resnet32', 'stem.0.weight', _IDENTITY),
    'cResNet18': NetworkSettings('resnet18', 'stem.0.weight', differs=_BIAS),
    'TinyResNet18': NetworkSettings(
        'resnet18-imagenet', 'stem.0.weight', differs=f'{_TINY_SHORTCUTS}; {_BIAS}'),
    'ResNet50': NetworkSettings('resnet50', '0.0.weight', differs=f'{_SHORTCUTS}; {_BIAS}'),
    'ResNet101': NetworkSettings(
        'torchvision:resnet101', 'conv1.weight', norm=False,
        differs=f'{_SHORTCUTS}; {_BIAS}, as are scale and shift of its BatchNorm'),
    'vgg16': NetworkSettings('vgg16-max-pool', 'conv1.weight', differs=_BIAS),
    'tinyvgg16': NetworkSettings('vgg16-max-pool', 'conv1.weight', differs=_BIAS),
    'MobileNetV2': NetworkSettings('mobilenet-v2', '0.weight', differs=_BIAS),
    'WideResNet28': NetworkSettings('wide-resnet28-2', 'stem.weight', differs=_BIAS),
    'Conv2': NetworkSettings('conv-2', 'conv1.weight', norm=False, differs=_BIASES),
    'Conv4': NetworkSettings('conv-4', 'conv1.weight', norm=False, differs=_BIASES),
    'Conv6': NetworkSettings('conv-6', 'conv1.weight', norm=False, differs=_BIASES)}
# `resnet20Normal` is ResNet-20 without scores.
NETWORKS = _NETWORKS | {f'{name}Normal': replace(network, trains_scores=False) for name, network in _NETWORKS.items()}
_FUNCTION = 'write it as a function, as in `lth find-gem FILE.py:FUNCTION DATASET --sparsity PERCENT`'
_DOUBLE = f'resnet32 has widths 16, 32 and 64 in lth, not 32, 64 and 128; {_FUNCTION}'
_FC = f'the dense network of lth is lenet-300-100; {_FUNCTION}'
NO_NETWORKS = {'resnet32_double': _DOUBLE, 'resnet32_doubleNormal': _DOUBLE, 'FC': _FC, 'FCNormal': _FC}

_CIFAR = {'normalization': 'standardize', 'crop': 4, 'flip': True}
IMAGENET = {'name': 'imagenet', 'normalization': 'standardize', 'resolution': 224, 'resized_crop': 0.08, 'flip': True}
DATASETS: dict[str, Raw] = {
    'CIFAR10': {'name': 'cifar10', **_CIFAR}, 'CIFAR100': {'name': 'cifar100', **_CIFAR},
    'TinyImageNet': {'name': 'tiny-imagenet', **_CIFAR}, 'ImageNet': IMAGENET, 'FfcvImageNet': IMAGENET,
    'MNIST': {'name': 'mnist', 'normalization': 'standardize'}}
NO_DATASETS = {
    'Caltech101': 'give its images as a folder, as in `lth find-gem MODEL folder:PATH --sparsity PERCENT`'}

INITIALIZERS = {
    'signed_constant': 'signed-constant', 'unsigned_constant': 'unsigned-constant', 'kaiming_normal': 'kaiming-normal',
    'kaiming_uniform': 'kaiming-uniform', 'xavier_normal': 'glorot-normal'}
NORMS = {'NonAffineBatchNorm': 'plain', 'AffineBatchNorm': 'affine'}
OPTIMIZERS = {'sgd': 'sgd', 'adam': 'adam'}
SCHEDULES = {'constant_lr': 'constant', 'constant': 'constant', 'cosine_lr': 'cosine', 'multistep_lr': 'multistep'}
SCORES = {'unif': 'uniform', 'half': 'half', 'bern': 'bernoulli', 'bimodal': 'bimodal', 'skew': 'skew'}

ALGORITHMS = {name: name for name in ('hc_iter', 'hc', 'ep', 'global_ep', 'global_ep_iter', 'imp', 'training')}
NO_ALGORITHMS = dict.fromkeys(
    ('pt', 'pt_hack'), 'its behavior is not documented and could not be checked; choose hc_iter, hc or ep')
REGULARIZERS = {
    'L2': 'l2', 'L1': 'l1', 'L1_L2': 'l1-l2', 'var_red_1': 'variance', 'var_red_2': 'weighted-variance',
    'bin_entropy': 'entropy', 'True': '', 'False': '', 'None': ''}
