"""Damaged runs × commands: every command that reads a run refuses a damaged file that it needs, in one paragraph that
names the file and what to do, and writes nothing; a file that it does not need changes nothing.

A new command is covered by adding it to `COMMANDS`, a new kind of damage by adding it to `DAMAGES`.
"""
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import safetensors.numpy
from safetensors import safe_open

import lth as package
from lth.errors import LthError
from tests.conftest import Result
from tests.round_files import sign

SPARSE_TRAINING = (
    'train-sparse', 'lenet-300-100', 'digits', '--density', '0.1', '-e', '2', '--seeds', '0-1', '--run', 'sparse',
    '--update-every', '5', '--set', 'algorithm.save_every=10 iterations')
SEARCH = ('find-ticket', 'lenet-300-100', 'digits', '-i', '3', '-e', '1', '--seeds', '0-1', '--run', 'base')
TENSORS = {'mask.safetensors', 'ticket.safetensors', 'trained.safetensors'}
Lth = Callable[..., Result]


class Command(NamedTuple):
    """A command on a run, whose last completed round is 2 of 3 or more, and the files of that round that it needs."""

    arguments: tuple[str, ...]
    needs: set[str]
    run: str = 'base'


COMMANDS = {
    'resume': Command(SEARCH, TENSORS | {'metrics.jsonl', 'round.json'}),
    'evaluate': Command(('evaluate', 'base/seed-0/round-02'), TENSORS),
    'finetune': Command(('finetune', 'base/seed-0/round-02', '-e', '2'), {'mask.safetensors', 'ticket.safetensors'}),
    'sanity-check': Command(('sanity-check', 'base/seed-0/round-02', '-e', '2', '--checks', 'reinit'),
                            {'mask.safetensors', 'ticket.safetensors'}),
    'transfer': Command(('transfer', 'base/seed-0', '--to', 'digits', '--rounds', '2', '-e', '1'),
                        {'mask.safetensors', 'ticket.safetensors'}),
    'pool': Command(('pool', 'base/seed-0'), TENSORS | {'metrics.jsonl', 'round.json'}),
    'align': Command(('align', 'base', '--rounds', '2'), TENSORS | {'metrics.jsonl'}),
    'stability': Command(('stability', 'base', '--rounds', '2'), {'mask.safetensors', 'ticket.safetensors'}),
    'stability --between-rounds': Command(
        ('stability', 'base', '--between-rounds', '--rounds', '2', '--points', '3'), TENSORS | {'metrics.jsonl'}),
    'stability --curvature': Command(('stability', 'base', '--curvature', '--rounds', '2', '--images', '5'),
                                     TENSORS | {'metrics.jsonl'}),
    'report': Command(('report', 'base', '-o', 'report.html'), TENSORS | {'round.json', 'metrics.jsonl'}),
    'plot': Command(('plot', 'base', '--figure', 'learning-curves,mask-overlap'),
                    {'mask.safetensors', 'metrics.jsonl', 'round.json'}),
    'show': Command(('show', 'run', 'base'), {'round.json'}),
    'show --signs': Command(('show', 'run', 'base', '--signs'), TENSORS | {'round.json'}),
    'compare': Command(('compare', 'base', 'base/seed-1'), {'round.json'}),
    'export-metrics': Command(('export-metrics', 'base', '-o', 'metrics.csv'), {'round.json', 'metrics.jsonl'}),
    'resume sparse training': Command(
        SPARSE_TRAINING, TENSORS | {'metrics.jsonl', 'round.json', 'events.jsonl', 'ever-active.safetensors',
                                    'optimizer.safetensors'}, 'sparse'),
    'plot mask-churn': Command(('plot', 'sparse', '--figure', 'mask-churn'), {'events.jsonl', 'round.json'}, 'sparse'),
    'card': Command(('card', 'base'), {'round.json'}),
    'push': Command(('push', 'base', 'alice/base', '--unfinished', '--dry-run'),
                    TENSORS | {'round.json', 'metrics.jsonl'}),
    'export': Command(('export', 'base/seed-0/round-02', '--format', 'torch', '-o', 'out'), TENSORS | {'round.json'}),
    'load_ticket': Command((), {'mask.safetensors', 'ticket.safetensors'})}


def flip(file: str) -> Callable[[Path], Path]:
    """Flips the lowest bit of the last byte of a file of the round: of a number in a tensor, of the last digit."""

    def damage(round_: Path) -> Path:
        path = round_ / file
        content = bytearray(path.read_bytes())
        content[-8 if path.suffix == '.json' else -1] ^= 1
        path.write_bytes(content)
        return path
    return damage


def replace(file: str, make: Callable[[Path], object]) -> Callable[[Path], Path]:
    """Puts something else in the place of a file of the round."""

    def damage(round_: Path) -> Path:
        path = round_ / file
        path.unlink()
        make(path)
        return path
    return damage


def swap(file: str, other: str) -> Callable[[Path], Path]:
    """Swaps a file with the one of another seed or round; checksums are computed again."""

    def damage(round_: Path) -> Path:
        path, there = round_ / file, (round_ / other / file).resolve()
        here, content = path.read_bytes(), there.read_bytes()
        path.write_bytes(content)
        there.write_bytes(here)
        sign(round_)
        sign(there.parent)
        return path
    return damage


def swap_rounds(other: str) -> Callable[[Path], Path]:
    """Swaps the folder of the round with that of another seed or round."""

    def damage(round_: Path) -> Path:
        there, aside = (round_ / other).resolve(), round_.with_name('aside')
        round_.rename(aside)
        there.rename(round_)
        aside.rename(there)
        return round_
    return damage


def header(change: Callable[[dict[str, Any]], object], file: str = 'ticket') -> Callable[[Path], Path]:
    """Changes the header of a tensor file; checksums are computed again."""

    def damage(round_: Path) -> Path:
        path = round_ / f'{file}.safetensors'
        with safe_open(path, 'np') as opened:
            content = json.loads(opened.metadata()['lth'])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}
        changed = change(content)
        text = changed if isinstance(changed, str) else json.dumps(content)
        path.write_bytes(safetensors.numpy.save(tensors, {'lth': text}))
        sign(round_)
        return path
    return damage


def tensors(change: Callable[[dict[str, Any]], object], file: str = 'ticket') -> Callable[[Path], Path]:
    """Changes the tensors of a file; checksums are computed again."""

    def damage(round_: Path) -> Path:
        path = round_ / f'{file}.safetensors'
        with safe_open(path, 'np') as opened:
            metadata, content = opened.metadata(), {name: opened.get_tensor(name) for name in opened.keys()}
        change(content)
        path.write_bytes(safetensors.numpy.save(content, metadata))
        sign(round_)
        return path
    return damage


def text(file: str, change: Callable[[str], str]) -> Callable[[Path], Path]:
    """Changes the text of a file of the round; checksums are computed again."""

    def damage(round_: Path) -> Path:
        path = round_ / file
        changed = change(path.read_text())
        assert changed != path.read_text()
        path.write_text(changed)
        sign(round_)
        return path
    return damage


def cast(dtype: Any) -> Callable[[Path], Path]:
    """Stores the weights of the ticket as numbers of another type."""

    return tensors(lambda content: content.update(
        {name: value.astype(dtype) for name, value in content.items()}))


def assign(value: float) -> Callable[[Path], Path]:
    """Sets a weight that the mask keeps, in both the ticket and the trained weights."""

    def damage(round_: Path) -> Path:
        with safe_open(round_ / 'mask.safetensors', 'np') as opened:
            name = next(iter(opened.keys()))
            kept = opened.get_tensor(name).argmax()
        tensors(lambda content: np.put(content[name], kept, value))(round_)
        return round_ / 'ticket.safetensors'
    return damage


def set_mask_byte(round_: Path) -> Path:
    """A mask whose last byte is 254."""

    path = round_ / 'mask.safetensors'
    path.write_bytes(path.read_bytes()[:-1] + b'\xfe')
    sign(round_)
    return path


def remove_sums(round_: Path) -> Path:
    """Leaves a round without checksums, which only earlier versions wrote."""

    (round_ / 'SHA256SUMS').unlink()
    return round_ / 'SHA256SUMS'


def nested(depth: int) -> str:
    return '[' * depth + ']' * depth


def without(field: str) -> Callable[[dict[str, Any]], object]:
    return lambda content: content.pop(field)


def with_(**fields: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.update(fields)


DAMAGES: dict[str, Callable[[Path], Path]] = {
    **{f'bit flipped in {file}': flip(file) for file in sorted({*TENSORS, 'metrics.jsonl', 'round.json'})},
    **{f'{file} {what}': replace(file, make)
       for file in ('ticket.safetensors', 'metrics.jsonl', 'round.json', 'SHA256SUMS')
       for what, make in {
           'is missing': lambda path: None, 'is empty': Path.touch, 'is a folder': Path.mkdir,
           'is a FIFO': os.mkfifo, 'is a device': lambda path: path.symlink_to('/dev/zero'),
           'is a dangling link': lambda path: path.symlink_to('nowhere')}.items()},
    'ticket of another seed': swap('ticket.safetensors', '../../seed-1/round-02'),
    'ticket of another round': swap('ticket.safetensors', '../round-01'),
    'metrics of another seed': swap('metrics.jsonl', '../../seed-1/round-02'),
    'round.json of another round': swap('round.json', '../round-01'),
    'folder of another seed': swap_rounds('../../seed-1/round-02'),
    'folder of another round': swap_rounds('../round-01'),
    'no checksums': remove_sums,
    'mask byte 254': set_mask_byte,
    'ticket of float64': cast(np.float64), 'ticket of float16': cast(np.float16), 'ticket of int32': cast(np.int32),
    'ticket of bool': cast(np.bool_), 'ticket of complex numbers': cast(np.complex64),
    'NaN in a kept weight': assign(np.nan), 'infinity in a kept weight': assign(np.inf),
    'tensor missing': tensors(lambda content: content.popitem()),
    'tensor added': tensors(with_(another=np.zeros(3, np.float32))),
    **{f'header without {field}': header(without(field)) for field in (
        'measurements', 'iteration', 'kept', 'density', 'shape', 'classes', 'test_accuracy', 'format', 'recipe')},
    **{f'header with {field} {value!r:.20}': header(with_(**{field: value})) for field, value in (
        ('iteration', -1), ('iteration', None), ('iteration', 10 ** 30), ('iteration', '0'), ('kept', 1.5),
        ('kept', True), ('shape', []), ('shape', [[1], 8, 8]), ('classes', {}), ('measurements', 10 ** 9),
        ('test_accuracy', 'NaN'), ('recipe', 'another'), ('unknown', 1), ('format', 1), ('format', 3))},
    'header nested 10,000 deep': header(lambda content: nested(10_000)),
    'header of 20 MB': header(lambda content: json.dumps(content | {'engine': 'x' * 20_000_000})),
    'header that is no JSON': header(lambda content: '{'),
    'metrics nested 10,000 deep': text('metrics.jsonl', lambda content: nested(10_000) + '\n'),
    'metrics with NaN': text('metrics.jsonl', lambda content: re.sub(
        '"test_loss": [^,]*', '"test_loss": NaN', content)),
    'metrics without a column': text('metrics.jsonl', lambda content: re.sub('"test_loss": [^,]*,', '', content)),
    'metrics with iteration -1': text('metrics.jsonl', lambda content: re.sub(
        '"iteration": [0-9]+', '"iteration": -1', content, count=1)),
    'metrics with a line twice': text('metrics.jsonl', lambda content: content + content.splitlines()[-1] + '\n'),
    'record that is a list': text('round.json', lambda content: f'[{content}]'),
    'record with a field twice': text('round.json', lambda content: content.replace('{', '{"kept": 5, ', 1)),
    'record with null': text('round.json', lambda content: re.sub('"kept": [0-9]+', '"kept": null', content))}
MOVES_DAMAGES: dict[str, Callable[[Path], Path]] = {
    **{f'bit flipped in {file}': flip(file)
       for file in ('events.jsonl', 'ever-active.safetensors', 'optimizer.safetensors')},
    **{f'{file} is missing': replace(file, lambda path: None)
       for file in ('events.jsonl', 'ever-active.safetensors', 'optimizer.safetensors')},
    'events of another round': swap('events.jsonl', '../round-01'),
    'ever-active weights of another seed': swap('ever-active.safetensors', '../../seed-1/round-02'),
    'optimizer of another round': swap('optimizer.safetensors', '../round-01'),
    'events with another count': text('events.jsonl', lambda content: re.sub('"grown": [0-9]+', '"grown": 1', content)),
    'events with a line twice': text('events.jsonl', lambda content: content + content.splitlines()[-1] + '\n'),
    'fewer weights ever active than active': tensors(
        lambda content: [value.fill(0) for value in content.values()], 'ever-active')}
# In the default suite, all commands on one kind of damage, and some kinds of damage on the command that reads most. One
# process runs them, since it runs every command on the undamaged run first.
ALL_DAMAGES = DAMAGES | MOVES_DAMAGES
FAST = {(command, 'bit flipped in ticket.safetensors') for command in COMMANDS} | {('resume', damage) for damage in (
    'bit flipped in metrics.jsonl', 'ticket.safetensors is a FIFO', 'folder of another seed', 'mask byte 254',
    'NaN in a kept weight', 'header with iteration -1', 'header nested 10,000 deep')} | {
        ('resume sparse training', damage) for damage in MOVES_DAMAGES if 'is missing' not in damage}
IN_DEFAULT = pytest.mark.xdist_group('damaged runs')
CASES = [pytest.param(command, damage, id=f'{command}-{damage}',
                      marks=IN_DEFAULT if (command, damage) in FAST else pytest.mark.slow)
         for command in COMMANDS for damage in (ALL_DAMAGES if COMMANDS[command].run == 'sparse' else DAMAGES)
         # A ticket is loaded without its network, which alone knows the names of its tensors.
         if (command, damage) != ('load_ticket', 'tensor added')]


@pytest.fixture(scope='module')
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder `runs` with the run that is damaged. It lacks its last round."""

    folder: Path = tmp_path_factory.mktemp('base')
    package.find_ticket('lenet-300-100', 'digits', rounds=3, epochs=1, seeds=(0, 1), run=folder / 'runs/base')
    package.train_sparse(
        'lenet-300-100', 'digits', density=0.1, epochs=2, seeds=(0, 1), run=folder / 'runs/sparse',
        settings={'algorithm.update_every': '5 iterations', 'algorithm.save_every': '10 iterations'})
    for run_, last in (('base', 3), ('sparse', 3), ('sparse', 4)):
        for seed in (0, 1):
            shutil.rmtree(folder / f'runs/{run_}/seed-{seed}/round-{last:02d}')
    return folder / 'runs'


@pytest.fixture(scope='module')
def undamaged() -> dict[str, tuple[str, dict[str, bytes]]]:
    """What the commands print and write for the undamaged run, as far as it was needed."""

    return {}


@pytest.mark.parametrize(('command', 'damage'), CASES)
def test_a_damaged_file_is_refused_where_it_is_needed(lth, base, undamaged, command, damage):
    copy_run(base, COMMANDS[command].run)
    if command not in undamaged:
        before = files()
        result = run(lth, command)
        assert result.code == 0, result.err
        undamaged[command] = result.out, changes(before)
        copy_run(base, COMMANDS[command].run)
    path = ALL_DAMAGES[damage](Path(f'runs/{COMMANDS[command].run}/seed-0/round-02'))
    before = files()
    result = run(lth, command)
    if result.code == 0:
        assert path.name not in COMMANDS[command].needs | {'SHA256SUMS', 'round-02'}, 'the damage was not noticed'
        assert (result.out, changes(before)) == undamaged[command]
        return
    message = result.err.strip().splitlines()[-1]
    assert result.code in (2, 3) and message.startswith('Error: ') and len(message) < 1000, result.err
    assert re.search(r'runs/(base|sparse)/seed-\d/round-\d\d', message) and 'lth repair' in message
    assert files() == before


@pytest.mark.parametrize('damage', [
    pytest.param(damage, marks=IN_DEFAULT if damage == 'bit flipped in mask.safetensors' else pytest.mark.slow)
    for damage in DAMAGES])
def test_a_repaired_run_is_resumed_as_if_it_had_not_been_damaged(lth, base, undamaged, damage):
    copy_run(base, 'base')
    if 'repaired' not in undamaged:
        before = files()
        undamaged['repaired'] = lth(*SEARCH).out, {**before, **changes(before)}
        copy_run(base, 'base')
    DAMAGES[damage](Path('runs/base/seed-0/round-02'))
    result = lth('repair', 'base')
    assert result.code == 0 and Path('runs/base/damaged').is_dir(), result.err
    assert 'round-02' in result.out or 'round-01' in result.out
    assert lth(*SEARCH).code == 0
    assert {path: content for path, content in files().items() if '/damaged/' not in path} == undamaged['repaired'][1]


def copy_run(base: Path, name: str) -> None:
    """Puts a run of the folder `runs` in the place of all runs."""

    shutil.rmtree('runs', ignore_errors=True)
    shutil.copytree(base / name, f'runs/{name}')


def run(lth: Lth, command: str) -> Result:
    """Run the command; a function of the package as if it were one."""

    if command != 'load_ticket':
        return lth(*COMMANDS[command].arguments)
    try:
        ticket = package.load_ticket('runs/base/seed-0/round-02')
        return Result(0, str({name: value.sum() for name, value in sorted(ticket.weights.items())}), '')
    except LthError as error:
        return Result(error.exit_code, '', f'Error: {error}')


def changes(before: dict[str, bytes]) -> dict[str, bytes]:
    """The files that were written since then."""

    return {name: content for name, content in files().items() if before.get(name) != content}


def files() -> dict[str, bytes]:
    """All regular files of the runs, without records of sessions, which contain times."""

    paths = [path for path in Path('runs').rglob('*') if path.is_file() and path.parent.name != 'sessions']
    return {str(path): path.read_bytes() for path in paths}
