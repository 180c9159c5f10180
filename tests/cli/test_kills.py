"""Commands that write are killed or interrupted at random instants, and killed before they change a file, and repeated:
what they write equals what an undisturbed command writes, no process is left, and none hangs.

A command is covered by adding it to `COMMANDS`. Instants and changes are drawn from a seed, so that a failure can be
repeated.
"""
import os
import random
import shlex
import shutil
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from lth.runs.run_locks import LOCK
from tests.command_server import CommandServer
from tests.foreign.foreign_files import save_pruned
from tests.running_processes import running_in_session

# A command ends within 5 s of a signal and the time to write a checkpoint; more is for a busy machine.
SECONDS_TO_END = 30.
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
USER_CODE = '''
from torch import nn


def net(shape, classes):
    pixels = shape[0] * shape[1] * shape[2]
    return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 100), nn.ReLU(), nn.Dropout(0.2), nn.Linear(100, classes))
'''
BASE = 'find-ticket lenet-300-100 digits -i 2 -e 4 --seeds 0-1 --run base'
WATCHED = 'find-ticket lenet-300-100 digits -i 1 -e 6 --early-bird --run watched'
COMMANDS = {
    'tickets': 'find-ticket lenet-300-100 digits -i 3 -e 8 --run new',
    'tickets of convolutions': 'find-ticket conv-2 digits -i 1 -e 1 --run new',
    'tickets of the user with dropout': 'find-ticket net.py:net digits -i 2 -e 6 --engine eager --run new '
                                        '--set data.crop=1',
    'seeds and controls': 'find-ticket lenet-300-100 digits -i 2 -e 4 --seeds 0-1 --run base '
                          '--controls reinit,random-layer',
    'longer ladder': 'find-ticket lenet-300-100 digits -i 4 -e 4 --seeds 0-1 --run base',
    'thinned': 'find-ticket lenet-300-100 digits -i 3 -e 4 --run new --keep last',
    'gem': 'find-gem lenet-300-100 digits --sparsity 20 -e 10 --run new --finetune',
    'supermask': 'find-gem lenet-300-100 digits --sparsity 20 --algorithm supermask -e 15 --run new '
                 '--set "algorithm.save_every=3 epochs"',
    'sparse training': 'train-sparse lenet-300-100 digits --density 0.05 -e 15 --run new',
    'finetuned': 'finetune base/seed-0 -e 12',
    'transferred': 'transfer base/seed-0 --to digits -e 5 --random-tickets',
    'soups': 'find-ticket lenet-300-100 digits -i 1 -e 4 --copies 3 --controls reinit --run new',
    'cycles': 'finetune base/seed-0 -e 5 --cycles 2 --then-prune 0.1',
    'early birds': 'find-ticket lenet-300-100 digits -i 1 -e 8 --early-bird --run new '
                   '--set "algorithm.rewind=50 iterations"',
    'early bird tickets': 'train-early-birds watched --threshold 0.4',
    'pool': 'pool base',
    'aligned': 'align base -e 5',
    'stability': 'stability base --pairs 2',
    'stability between rounds': 'stability base --between-rounds',
    'curvature': 'stability base --curvature --images 50',
    'sanity checks': 'sanity-check base --seeds 0 -e 6',
    'restart': 'find-ticket lenet-300-100 digits -i 1 -e 4 --run base --restart',
    'repair': 'repair broken',
    'exported': 'export base/seed-0/round-02 --format compacted',
    'imported': 'import torch-prune pruned --model lenet-300-100 --dataset digits --rewind initial.pt --run new',
    'sweep': 'sweep run grid.yaml'}
GRID = '''
command: find-ticket lenet-300-100 digits -i 1 -e 4 --checkpoint-every '5 iterations'
seeds: 0-1
folder: rates
grid: {algorithm.rates: [0.2, 0.5]}
'''
# Without dense checkpoints, a round that was killed is trained again from its start.
DENSE_CHECKPOINTS = " --checkpoint-every '5 iterations'"
WITHOUT_CHECKPOINTS = {
    'imported', 'pool', 'stability', 'stability between rounds', 'curvature', 'repair', 'exported', 'sweep'}
# Once they have written their folder, they refuse to replace it.
NEVER_REPEATED = {'exported'}


class Kill(NamedTuple):
    """A signal that a command gets some seconds after its start."""

    signal: int
    seconds: float


@pytest.fixture(scope='module')
def server() -> Iterator[CommandServer]:
    with CommandServer() as started:
        yield started


@pytest.fixture(scope='module')
def start_folder(server: CommandServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the commands start from: runs, a damaged one, and the user's code."""

    folder: Path = tmp_path_factory.mktemp('start')
    (folder / 'net.py').write_text(USER_CODE)
    (folder / 'grid.yaml').write_text(GRID)
    save_pruned(folder / 'pruned', rounds=4)
    for command in (BASE, WATCHED):
        assert finish(server, folder, command) == 0, errors(folder)
    broken = shutil.copytree(folder / 'runs/base', folder / 'runs/broken')
    (broken / 'seed-1/round-01/ticket.safetensors').unlink()
    return folder


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize('name', COMMANDS)
def test_a_command_that_is_killed_a_few_times_equals_an_undisturbed_one(server, start_folder, tmp_path, name):
    kill_and_compare(server, start_folder, tmp_path, name, kills=2, seed=1)
    crash_and_compare(server, start_folder, tmp_path, name, crashes=2)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize('name', COMMANDS)
def test_a_command_that_is_killed_at_many_instants_equals_an_undisturbed_one(server, start_folder, tmp_path, name):
    kill_and_compare(server, start_folder, tmp_path, name, kills=36, seed=2)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize('name', COMMANDS)
def test_a_command_that_is_killed_before_any_change_equals_an_undisturbed_one(server, start_folder, tmp_path, name):
    crash_and_compare(server, start_folder, tmp_path, name, crashes=None)


def kill_and_compare(
        server: CommandServer, start_folder: Path, tmp_path: Path, name: str, *, kills: int, seed: int) -> None:
    """Kill the command so many times, completing it in between, and compare what it wrote each time."""

    complete = shutil.copytree(start_folder, tmp_path / 'complete')
    start = time.monotonic()
    assert finish(server, complete, COMMANDS[name]) == 0, errors(complete)
    seconds = time.monotonic() - start
    rng, attempt = random.Random(f'{name} {seed}'), 0
    while kills > 0:
        attempt += 1
        killed = shutil.copytree(start_folder, tmp_path / f'killed-{attempt}')
        command = COMMANDS[name]
        if name not in WITHOUT_CHECKPOINTS:
            command += rng.choice(['', DENSE_CHECKPOINTS])
        for _ in range(min(kills, rng.randrange(1, 8))):
            kills -= 1
            kill = Kill(rng.choice(SIGNALS), rng.random() * seconds)
            if interrupt(server, killed, command, kill) == 0:
                break
        finish_and_compare(server, killed, name, command, contents(complete))


def crash_and_compare(
        server: CommandServer, start_folder: Path, tmp_path: Path, name: str, *, crashes: int | None) -> None:
    """Kill the command before so many of its changes, None for each of them, and compare what it wrote when it was
    completed.
    """

    complete = shutil.copytree(start_folder, tmp_path / 'counted')
    assert finish(server, complete, COMMANDS[name], kill_before=0) == 0, errors(complete)
    changes: Sequence[int] = range(1, (complete / 'changes').stat().st_size + 1)
    for change in changes if crashes is None else random.Random(name).sample(changes, crashes):
        killed = shutil.copytree(start_folder, tmp_path / f'killed-before-{change}')
        assert finish(server, killed, COMMANDS[name], kill_before=change) in (-signal.SIGKILL, 0), errors(killed)
        finish_and_compare(server, killed, name, COMMANDS[name], contents(complete))


def finish_and_compare(
        server: CommandServer, folder: Path, name: str, command: str, expected: Mapping[str, bytes]) -> None:
    """Complete the command in the folder, which then has the expected contents and is removed."""

    assert finish(server, folder, command) == 0 or name in NEVER_REPEATED, errors(folder)
    found = contents(folder)
    assert sorted(found) == sorted(expected)
    assert [path for path in found if found[path] != expected[path]] == []
    shutil.rmtree(folder)


def interrupt(server: CommandServer, folder: Path, command: str, kill: Kill) -> int:
    """Start the command, send it the signal, and return its exit code. It ends soon, quietly and with its workers."""

    process = server.start(shlex.split(command), folder)
    end, code = time.monotonic() + kill.seconds, None
    while time.monotonic() < end and code is None:
        time.sleep(0.005)
        code = server.poll(process)
    if code is None:
        os.kill(process, kill.signal)
        code = wait(server, process, f'{kill} of `{command}`')
    assert code in (0, {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}[signal.Signals(kill.signal)]), (
        kill, errors(folder))
    assert_none_is_left(process)
    assert 'Traceback' not in errors(folder) and 'Exception ignored' not in errors(folder), (kill, errors(folder))
    return code


def finish(server: CommandServer, folder: Path, command: str, *, kill_before: int | None = None) -> int:
    """Run the command to its end, or to the change before which it is killed, and return its exit code."""

    (folder / 'errors').unlink(missing_ok=True)
    process = server.start(shlex.split(command), folder, kill_before=kill_before)
    code = wait(server, process, command, seconds=300.)
    assert_none_is_left(process)
    return code


def wait(server: CommandServer, process: int, what: str, *, seconds: float = SECONDS_TO_END) -> int:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        code = server.poll(process)
        if code is not None:
            return code
        time.sleep(0.01)
    os.killpg(process, signal.SIGKILL)
    pytest.fail(f'still running {seconds} s after {what}')


def assert_none_is_left(session: int) -> None:
    """Workers end soon after their parent."""

    end = time.monotonic() + SECONDS_TO_END
    while left := running_in_session(session):
        assert time.monotonic() < end, left
        time.sleep(0.02)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of the runs, without records of sessions and what was moved aside, whose names contain times, and
    without the lock file of a complete seed, which a process leaves that is killed before it removes the file.
    """

    def has_time(path: Path) -> bool:
        return not {'sessions', 'damaged'}.isdisjoint(path.parts) or 'set-aside' in str(path)
    files = (path.relative_to(folder) for path in (folder / 'runs').rglob('*') if path.is_file())
    return {str(path): (folder / path).read_bytes() for path in files if not has_time(path) and path.name != LOCK}


def errors(folder: Path) -> str:
    path = folder / 'errors'
    return path.read_text() if path.exists() else ''
