"""Faulty input × commands: what a user can get wrong ends with exit code 2 (3: the environment) and one paragraph that
says where and what, in every command that takes it; nothing is written.

A new option is covered by itself; a new place by a line in a table of commands,
    a new fault by one in a table of faults.
"""
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import lth as package
from lth.cli import app
from lth.registry import user_modules
from tests.conftest import Result
from tests.foreign.foreign_files import save_pruned

Lth = Callable[..., Result]

MODELS = '''
import math
import sys
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.first, self.output = nn.Linear(math.prod(shape), 8), nn.Linear(8, classes)

    def forward(self, images):
        return self.output(self.first(images.flatten(1)).relu())

def variant(forward):
    return type('Variant', (Net,), {'forward': forward})

def raises(shape, classes):
    raise ValueError('the model [/bold] fails')

def exits(shape, classes):
    sys.exit(0)

def recursive(shape, classes):
    return recursive(shape, classes)

def no_module(shape, classes):
    return 5

def no_arguments():
    return 5

def empty(shape, classes):
    return nn.Sequential(nn.Flatten())

plain = Net
number = 5
raises_in_forward = variant(lambda self, images: 1 / 0)
exits_in_forward = variant(lambda self, images: sys.exit(0))
too_few_classes = variant(lambda self, images: Net.forward(self, images)[:, 1:])
no_tensor = variant(lambda self, images: None)
fails_in_evaluation = variant(lambda self, images: Net.forward(self, images) if self.training else 1 / 0)
fails_on_large_batches = variant(lambda self, images: Net.forward(self, images) if len(images) < 3 else 1 / 0)
not_differentiable = variant(lambda self, images: Net.forward(self, images).detach())

class Failing(torch.autograd.Function):
    @staticmethod
    def forward(context, outputs):
        return outputs.clone()

    @staticmethod
    def backward(context, gradient):
        1 / 0

fails_backward = variant(lambda self, images: Failing.apply(Net.forward(self, images)))
'''
MODEL_FAULTS = {
    'raises': 'fails', 'exits': 'exit', 'recursive': 'recursion', 'no_module': 'Module', 'no_arguments': 'argument',
    'empty': 'Sequential has no convolution', 'number': '', 'raises_in_forward': 'division',
    'exits_in_forward': 'exit', 'too_few_classes': '10',
    'no_tensor': '', 'fails_in_evaluation': 'division', 'fails_on_large_batches': 'division', 'not_differentiable': '',
    'fails_backward': 'division', 'missing': 'missing'}
MODEL_COMMANDS: dict[str, tuple[str, ...]] = {
    'find-ticket': ('find-ticket', 'MODEL', 'digits', '-i', '1', '-e', '1', '--run', 'new'),
    'find-ticket --dry-run': ('find-ticket', 'MODEL', 'digits', '--dry-run'),
    'find-gem': ('find-gem', 'MODEL', 'digits', '--density', '0.5', '-e', '1', '--run', 'new',
                 '--set', 'algorithm.freeze_every=1 iterations'),
    'find-gem --algorithm snip': (
        'find-gem', 'MODEL', 'digits', '--density', '0.5', '--algorithm', 'snip', '--run', 'new'),
    'train-sparse': (
        'train-sparse', 'MODEL', 'digits', '--density', '0.5', '--method', 'set', '-e', '1', '--run', 'new',
        '--update-every', '2'),
    'bench': ('bench', 'MODEL', 'digits', '--turns', '1')}

DATA = '''
import sys
import numpy as np
import torch

images, labels = np.zeros((40, 8, 8), np.uint8), np.arange(40) % 4
pair = images, labels
number = 5

def raises():
    raise ValueError('the data [/bold] fail')

def exits():
    sys.exit(0)

def nothing():
    pass

def one_pair():
    return pair

def no_images():
    return (images[:0], labels[:0]), pair

def other_counts():
    return (images, labels[:-1]), pair

def other_shapes():
    return pair, (images[:, 1:], labels)

def flat():
    return (images.reshape(40, 64), labels), pair

def ragged():
    return ([images[0], images[0, 1:]], labels[:2]), pair

def not_whole_labels():
    return (images, labels + .5), pair

def negative_labels():
    return (images, labels - 1), pair

def huge_labels():
    return (images, labels + 10 ** 12), pair

def text_labels():
    return (images, np.array(['cat'] * 40)), pair

def nan_images():
    return (np.full((40, 8, 8), np.nan), labels), pair

def complex_images():
    return (images.astype(complex), labels), pair

def texts():
    return 'ab', 'cd'

def needs_argument(folder):
    return pair, pair
'''
DATA_FAULTS = {
    'raises': 'fail', 'exits': 'exit', 'nothing': 'None', 'one_pair': '', 'no_images': '', 'other_counts': '39',
    'other_shapes': '', 'flat': '64', 'ragged': '', 'not_whole_labels': 'label', 'negative_labels': '-1',
    'huge_labels': '', 'text_labels': '', 'nan_images': '', 'complex_images': 'complex', 'texts': '',
    'needs_argument': 'argument', 'number': '', 'missing': 'missing'}
DATA_COMMANDS: dict[str, tuple[str, ...]] = {
    'find-ticket': ('find-ticket', 'lenet-300-100', 'DATASET', '-i', '1', '-e', '1', '-b', '4', '--run', 'new'),
    'find-ticket --dry-run': ('find-ticket', 'lenet-300-100', 'DATASET', '-b', '4', '--dry-run'),
    'find-gem': ('find-gem', 'lenet-300-100', 'DATASET', '--density', '0.5', '-e', '1', '-b', '4', '--run', 'new'),
    'train-sparse': (
        'train-sparse', 'lenet-300-100', 'DATASET', '--density', '0.5', '--method', 'static', '-e', '1', '-b', '4',
        '--run', 'new'),
    'transfer': ('transfer', 'base', '--to', 'DATASET', '-e', '1', '-b', '4'),
    'finetune': ('finetune', 'base', '--dataset', 'DATASET', '-e', '1', '-b', '4'),
    'prepare': ('prepare', 'DATASET'),
    'bench': ('bench', 'lenet-300-100', 'DATASET', '--turns', '1')}

# Texts that are no recipe, and texts that YAML can make large or endless.
TEXTS = {
    'empty': '', 'a list': '- 1\n', 'a word': 'word\n', 'a comment': '# nothing\n', 'null': 'null\n',
    'two documents': 'a: 1\n---\nb: 2\n', 'broken': 'training: [1, 2\n', 'a tab': 'training:\n\tlength: 1\n',
    'a tag': 'training: !!bool x\n', 'an empty number': 'training: !!int ""\n', 'a date': 'training: 2020-13-45\n',
    'a Python object': 'training: !!python/object/apply:os.system ["touch executed"]\n',
    'itself': 'training: &a [*a]\n', 'itself as a mapping': '&a {training: *a}\n', 'itself as a key': '&a ? *a\n: 1\n',
    'unknown alias': 'training: *nothing\n', 'a key twice': 'training: {length: 1 epochs, length: 2 epochs}\n',
    'a list as a key': '? [1, 2]\n: 3\n', 'a null key': '~: 1\n', 'a long key': 'a' * 100_000 + ': 1\n',
    'a long value': 'training: ' + 'b' * 100_000 + '\n', 'many keys': ''.join(f'key{i}: 1\n' for i in range(60_000)),
    'deep lists': 'training: ' + '[' * 10_000 + ']' * 10_000 + '\n',
    'deep mappings': 'training: ' + '{a: ' * 3_000 + '1' + '}' * 3_000 + '\n',
    'deep blocks': ''.join(' ' * depth + 'a:\n' for depth in range(1_500)),
    'doubled lists': 'a0: &a0 [x, x]\n' + ''.join(f'a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n' for i in range(1, 29)),
    'doubled merges': 'a0: &a0 {x: 1}\n' + ''.join(
        f'a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}\n' for i in range(1, 29)),
    'a large document': 'training: [' + '1, ' * 700_000 + '1]\n', 'a huge number': 'training: 1' + '0' * 50_000 + '\n',
    'base sixty': 'training: 1' + ':10' * 50_000 + '\n', 'not UTF-8': 'training: \udcff\n', 'a zero byte': 'a: \0\n',
    'binary': 'training: !!binary "x"\n', 'a set': 'training: !!set {a, b}\n', 'markup': 'training: "[/bold]"\n'}
FILE_COMMANDS: dict[str, tuple[str, ...]] = {
    'find-ticket --recipe': ('find-ticket', 'lenet-300-100', 'digits', '--recipe', 'FILE', '--run', 'new'),
    'find-gem --recipe': (
        'find-gem', 'lenet-300-100', 'digits', '--density', '0.5', '--recipe', 'FILE', '--run', 'new'),
    'train-sparse --recipe': (
        'train-sparse', 'lenet-300-100', 'digits', '--density', '0.5', '--recipe', 'FILE', '--run', 'new'),
    'find-gem --config': ('find-gem', '--config', 'FILE', '--run', 'new'),
    'transfer --recipe': ('transfer', 'base', '--to', 'digits', '--recipe', 'FILE'),
    'sweep run': ('sweep', 'run', 'FILE'), '--executor-config': (
        'find-ticket', 'lenet-300-100', 'digits', '--executor-config', 'FILE', '--run', 'new'),
    'bench --recipe': ('bench', 'lenet-300-100', 'digits', '--recipe', 'FILE'),
    'convert-config': ('convert-config', 'FILE'),
    'import': ('import', 'torch-prune', 'FILE', '--model', 'lenet-300-100', '--dataset', 'digits', '--run', 'new'),
    'show recipe': ('show', 'recipe', 'FILE'),
    'reproduce': ('reproduce', 'FILE', '--run', 'new')}
SPECIAL_FILES: dict[str, Callable[[Path], object]] = {
    'missing': lambda path: None, 'a folder': Path.mkdir, 'a FIFO': os.mkfifo,
    'a device': lambda path: path.symlink_to('/dev/zero'), 'a loop': lambda path: path.symlink_to(path.name)}

SETTINGS = (
    '', '=', 'a', 'a=1', 'training=', 'training=null', 'training=5', 'training.length=', 'training.length=null', '=1',
    'training.length=1e999 epochs', 'training.length=[1', 'training..length=1 epochs', '.training=1', 'training.=1',
    'training.batch_size=0', 'training.batch_size=-1', 'training.batch_size=1e30', 'training.batch_size=!!int ""',
    'training.batch_size=&a [*a]', 'training.batch_size=.nan', 'training.optimizer=.inf', 'model=null', 'data=null',
    'training.batch_size=true', 'training.optimizer.learning_rate=.nan', 'training.optimizer.learning_rate=.inf',
    'training.optimizer.learning_rate=-1', 'training.optimizer=[]', 'algorithm=null', 'algorithm.name=nope',
    'algorithm.name=[/bold]', 'data.size=10000000', 'data.size=0', 'data.size=-5', 'data.name=', 'name=[/bold]',
    'a' * 100_000 + '=1', 'training.batch_size=' + 'b' * 100_000, 'training.batch_size=' + '[' * 5_000,
    'a.' * 5_000 + 'a=1',
    '\0=1', 'training.batch_size=\0', 'algorithm.round=0', 'algorithm.kept=5', 'source=1', 'format=1')
SETTING_COMMANDS: dict[str, tuple[str, ...]] = {
    'find-ticket': ('find-ticket', 'lenet-300-100', 'digits', '--dry-run', '--set'),
    'find-gem': ('find-gem', 'lenet-300-100', 'digits', '--density', '0.5', '--dry-run', '--set'),
    'finetune': ('finetune', 'base', '--dry-run', '--set'),
    'sanity-check': ('sanity-check', 'base', '--dry-run', '--set'),
    'transfer': ('transfer', 'base', '--to', 'digits', '--dry-run', '--set'),
    'align': ('align', 'base', '--dry-run', '--set'),
    'bench': ('bench', 'lenet-300-100', 'digits', '--set')}

RUNS = ('', ' ', '.', '..', '/', '/dev/null', '/dev/zero', '/proc/x', 'nope', 'base/seed-0/round-99', 'base/seed-7',
        'base/recipe.yaml', 'base/sessions', 'a' * 300, 'a/' * 3_000, '[/bold]', '\udcff', 'no\0name', '~nobody/x', '-')
RUN_COMMANDS: dict[str, tuple[str, ...]] = {
    'evaluate': ('evaluate', '--', 'RUN'), 'finetune': ('finetune', '--', 'RUN'),
    'pool': ('pool', '--', 'RUN'), 'early-bird': ('early-bird', '--', 'RUN'),
    'train-early-birds': ('train-early-birds', '--', 'RUN'),
    'stability': ('stability', '--', 'RUN'), 'stability --curvature': ('stability', '--curvature', '--', 'RUN'),
    'stability --between-rounds': ('stability', '--between-rounds', '--', 'RUN'),
    'plot': ('plot', '-o', 'figures', '--', 'RUN'),
    'report': ('report', '-o', 'report.html', '--', 'RUN'),
    'card': ('card', '-o', 'card.md', '--', 'RUN'), 'push': ('push', '--dry-run', '--', 'RUN', 'alice/run'),
    'sanity-check': ('sanity-check', '--', 'RUN'), 'repair': ('repair', '--', 'RUN'),
    'show': ('show', '--', 'run', 'RUN'), 'show --signs': ('show', '--signs', '--', 'run', 'RUN'),
    'compare': ('compare', '--', 'RUN', 'base'),
    'export-metrics': ('export-metrics', '-o', 'metrics.csv', '--', 'RUN'),
    'export': ('export', '--format', 'torch', '--', 'RUN'),
    'transfer': ('transfer', '--to', 'digits', '--', 'RUN'), 'align': ('align', '--', 'RUN'),
    'sweep': ('sweep', '--', 'status', 'RUN')}

# Values for every option of every command, most of which no option accepts.
VALUES = (
    '', ' ', '0', '-1', '1e999', 'nan', 'null', '99999999999', '0-99999999', '0,0', ',', '[/bold]', 'nope', '!!bool x',
    '\udcff', 'a' * 10_000, '[' * 2_000)
OPTION_COMMANDS: dict[str, tuple[str, ...]] = {
    'show': ('run', 'base'),
    'find-ticket': ('lenet-300-100', 'digits', '--dry-run'),
    'find-gem': ('lenet-300-100', 'digits', '--dry-run'),
    'train-sparse': ('lenet-300-100', 'digits', '--density', '0.5', '--dry-run'),
    'finetune': ('base', '--dry-run'), 'sanity-check': ('base', '--dry-run'),
    'reproduce': ('lth-figure-9', '--dry-run'),
    'transfer': ('base', '--to', 'digits', '--dry-run'), 'pool': ('base', '--dry-run'),
    'early-bird': ('base',), 'train-early-birds': ('base', '--dry-run'), 'card': ('base',),
    'push': ('base', 'alice/base', '--dry-run'), 'pull': ('nope',),
    'export': ('base/seed-0/round-00', '--format', 'torch'),
    'align': ('base', '--dry-run'),
    'evaluate': ('base',), 'plot': ('base', '--figure', 'accuracy'), 'report': ('base',), 'export-metrics': ('base',),
    'compare': ('base', 'base/seed-0'), 'stability': ('base', '--points', '3'), 'prepare': ('digits',),
    'sweep': ('run', 'grid.yaml', '--dry-run'), 'import': ('torch-prune', 'pruned.pt', '--dry-run'),
    'bench': ('lenet-300-100', 'digits', '--turns', '1', '--densities', '0.5')}


def options() -> Iterator[Any]:
    """Every option that takes a value, of every command, but for the folder of bench: digits do not need it, so bench
    measures for minutes.
    """

    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for option in command.params:
            takes_value = option.param_type_name == 'option' and not option.is_flag
            if takes_value and (name, option.opts[-1]) != ('bench', '--data-dir'):
                yield pytest.param(name, option.opts[-1], id=f'{name} {option.opts[-1]}')


def cases(commands: dict[str, tuple[str, ...]], faults: Any, fast: str) -> list[Any]:
    """Commands × faults; the default suite runs one command on all faults."""

    return [pytest.param(command, fault, id=f'{command}-{fault!r:.60}', marks=slow)
            for command in commands for slow in [[] if command == fast else [pytest.mark.slow]] for fault in faults]


@pytest.fixture(scope='module')
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""

    folder: Path = tmp_path_factory.mktemp('base') / 'base'
    package.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=1, run=folder)
    return folder


@pytest.fixture(autouse=True)
def files(lth, base):
    """The user's files in the current folder, and the run `base` in runs/."""

    Path('models.py').write_text(MODELS)
    Path('pictures.py').write_text(DATA)
    save_pruned(Path('pruned').absolute())[0].joinpath('round-9.pth').rename('pruned.pt')
    Path('grid.yaml').write_text('command: find-ticket lenet-300-100 digits -i 1 -e 1\nfolder: s\n')
    Path('runs').mkdir()
    Path('runs/base').symlink_to(base)
    yield
    user_modules.forget()


@pytest.mark.parametrize(('command', 'fault'), cases(MODEL_COMMANDS, MODEL_FAULTS, 'find-ticket --dry-run'))
def test_a_faulty_model_is_refused(lth, command, fault):
    message = refusal(lth, MODEL_COMMANDS[command], MODEL=f'models.py:{fault}')
    assert MODEL_FAULTS[fault] in message and ('models.py' in message or fault == 'empty')


@pytest.mark.parametrize(('command', 'fault'), cases(DATA_COMMANDS, DATA_FAULTS, 'find-ticket --dry-run'))
def test_a_faulty_data_set_is_refused(lth, command, fault):
    message = refusal(lth, DATA_COMMANDS[command], DATASET=f'pictures.py:{fault}')
    assert f'pictures.py:{fault}' in message and DATA_FAULTS[fault] in message


@pytest.mark.parametrize(('command', 'fault'), cases(FILE_COMMANDS, TEXTS, 'find-ticket --recipe'))
def test_a_text_that_is_no_recipe_is_refused_at_once(lth, command, fault):
    Path('mine.yaml').write_bytes(TEXTS[fault].encode('utf-8', 'surrogateescape'))
    assert 'mine.yaml' in refusal(lth, FILE_COMMANDS[command], FILE='mine.yaml')
    assert not Path('executed').exists()


@pytest.mark.parametrize(('command', 'fault'), cases(FILE_COMMANDS, SPECIAL_FILES, 'find-ticket --recipe'))
def test_a_special_file_is_refused_in_the_place_of_a_recipe(lth, command, fault):
    SPECIAL_FILES[fault](Path('mine.yaml'))
    assert 'mine.yaml' in refusal(lth, FILE_COMMANDS[command], FILE='mine.yaml')


@pytest.mark.parametrize(('command', 'fault'), cases(SETTING_COMMANDS, SETTINGS, 'find-ticket'))
def test_a_faulty_setting_is_refused_at_once(lth, command, fault):
    refusal(lth, (*SETTING_COMMANDS[command], fault))


@pytest.mark.parametrize(('command', 'fault'), cases(RUN_COMMANDS, RUNS, 'evaluate'))
def test_what_is_no_run_is_refused(lth, command, fault):
    refusal(lth, RUN_COMMANDS[command], RUN=fault)


@pytest.mark.slow
@pytest.mark.parametrize(('command', 'option'), [*options()])
def test_no_value_of_an_option_ends_in_a_traceback_or_takes_long(lth, command, option):
    for value in VALUES:
        began = time.monotonic()
        result = lth(command, *OPTION_COMMANDS[command], option, value)
        assert result.code in (0, 2, 3), value[:100]
        assert result.code == 0 or paragraph(result)
        assert time.monotonic() - began < 10, value[:100]


def refusal(lth: Lth, template: tuple[str, ...], **values: str) -> str:
    """The paragraph with which the command refuses its input. It comes within 10 s, and nothing is written."""

    arguments = [values.get(word, word) for word in template]
    before, began = written(), time.monotonic()
    result = lth(*arguments)
    assert result.code in (2, 3), result.out[:2000]
    assert time.monotonic() - began < 10 and written() == before
    return paragraph(result)


def paragraph(result: Result) -> str:
    """The error message, without the warnings and notes before it."""

    assert 'Traceback' not in result.err and 'Error: ' in result.err, result.err[:2000]
    message = ' '.join(result.err.split('Error: ', 1)[1].split())
    assert 10 < len(message) < 1200, message[:500]
    return message


def written() -> set[str]:
    """All files of the runs and of the current folder."""

    return {str(path) for path in Path.cwd().rglob('*') if '__pycache__' not in path.parts}
