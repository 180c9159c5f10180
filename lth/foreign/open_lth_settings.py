"""hparams.log of open_lth, whose lines are `    * NAME => VALUE`, as sections of a recipe."""
import re
from pathlib import Path
from typing import Any, NamedTuple

from lth.system import reading

_LINE = re.compile(r'\s*\*\s*(\w+)\s*=>\s*(.*?)\s*')
_STEP = re.compile(r'(\d+)(ep|it)')
_MOST_BYTES = 2 ** 20
_DATA = {'mnist': 'mnist', 'cifar10': 'cifar10', 'imagenet': 'imagenet'}
# What lth has no setting for.
_OTHER = ('transformation_seed', 'subsample_fraction', 'random_labels_fraction', 'unsupervised_labels', 'blur_factor',
          'batchnorm_frozen', 'output_frozen', 'others_frozen')


class FoundSettings(NamedTuple):
    """The model and data set, '' if they are unknown, the sections of a recipe, and notes on what they lack."""

    model: str
    dataset: str
    sections: dict[str, Any]
    notes: list[str]


def read_settings(path: Path) -> FoundSettings:
    """The settings in a file; none if it is missing."""

    if not path.is_file():
        return FoundSettings('', '', {}, [f'{path} is missing, so training settings are those of the default recipe'])
    text = reading.read_bytes(path, at_most=_MOST_BYTES).decode('utf-8', errors='replace')
    values = {match[1]: match[2] for line in text.splitlines() if (match := _LINE.fullmatch(line))}
    sections = {'training': _training(values), 'data': {'normalization': 'standardize'}}
    if values.get('dataset_name') == 'cifar10' and values.get('do_not_augment') != 'True':
        sections['data'] |= {'crop': 4, 'flip': True}
    left_out = [name for name in _OTHER if values.get(name) not in (None, 'None', 'False')]
    notes = [f'{path.name} has settings that lth lacks: {", ".join(left_out)}'] if left_out else []
    return FoundSettings(
        _model(values.get('model_name', '')), _DATA.get(values.get('dataset_name', ''), ''), sections, notes)


def _model(name: str) -> str:
    """The model of lth that has the same layers; '' if there is none."""

    if name == 'mnist_lenet_300_100':
        return 'lenet-300-100'
    match = re.fullmatch(r'cifar_resnet_(20|32|44|56|110)(?:_16)?', name)
    return f'resnet{match[1]}' if match else ''


def _training(values: dict[str, str]) -> dict[str, Any]:
    """The section `training`, as far as the file has it."""

    found: dict[str, Any] = {}
    optimizer = _optimizer(values)
    milestones = [_duration(step) for step in values.get('milestone_steps', '').split(',')]
    if optimizer:
        found['optimizer'] = optimizer
    if _integer(values.get('batch_size')):
        found['batch_size'] = _integer(values.get('batch_size'))
    if length := _duration(values.get('training_steps', '')):
        found['length'] = length
    if all(milestones) and _number(values.get('gamma')):
        found['schedule'] = {'name': 'multistep', 'milestones': milestones, 'factor': _number(values.get('gamma'))}
    elif optimizer:
        found['schedule'] = {'name': 'constant'}
    if warmup := _duration(values.get('warmup_steps', '')):
        found['warmup'] = warmup
    return found


def _optimizer(values: dict[str, str]) -> dict[str, Any]:
    name, rate = values.get('optimizer_name'), _number(values.get('lr'))
    if name not in ('sgd', 'adam') or not rate:
        return {}
    found: dict[str, Any] = {'name': name, 'learning_rate': rate}
    if decay := _number(values.get('weight_decay')):
        found['weight_decay'] = decay
    nesterov, momentum = _number(values.get('nesterov_momentum')), _number(values.get('momentum'))
    if name == 'sgd' and (nesterov or momentum):
        found |= {'momentum': nesterov or momentum, 'nesterov': bool(nesterov)}
    return found


def _duration(text: str) -> str:
    """`160 epochs` for 160ep; '' for another text."""

    match = _STEP.fullmatch(text.strip())
    return f'{match[1]} {"epochs" if match[2] == "ep" else "iterations"}' if match else ''


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None


def _integer(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r'\d{1,9}', text) else None
