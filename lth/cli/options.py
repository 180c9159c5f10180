"""What several commands ask for alike, and how they end."""
import contextlib
import functools
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal, NoReturn, ParamSpec

import typer
from rich.console import Console

from lth.errors import LthError
from lth.training.engines.names import EngineChoice, engine_choice

P = ParamSpec('P')


def _parse_engine(text: str) -> EngineChoice:
    try:
        return engine_choice(text)
    except LthError as error:
        raise typer.BadParameter(str(error)) from None


Model = Annotated[str, typer.Argument(
    metavar='MODEL', help='A model: `lth list models` shows them.', show_default=False)]
DatasetName = Annotated[str, typer.Argument(
    metavar='DATASET', help='A data set: `lth list datasets` shows them.', show_default=False)]
Datasets = Annotated[Path, typer.Argument(
    metavar='DATASETS', help='The folder where data sets lie, or are downloaded to.', envvar='LTH_DATASETS')]
RecipeName = Annotated[str | None, typer.Option(
    '--recipe', metavar='FILE', help='Settings from a YAML file, or by name from `lth list recipes`.')]
Overrides = Annotated[list[str] | None, typer.Option(
    '--set', metavar='KEY=VALUE',
    help='Change one setting of the recipe, such as `training.optimizer.learning_rate=0.01`; may be repeated.')]
Device = Annotated[str, typer.Option(help='Where to compute: auto, cpu, cuda, or one GPU of several as cuda:1.')]
Precision = Annotated[Literal['fp32', 'tf32', 'bf16'] | None, typer.Option(
    show_default=False, help="Arithmetic of training: the recipe's, else fp32 on a CPU and, on a GPU, tf32 with "
                             'convolutions and bf16 with BatchNorm.')]
Threads = Annotated[int, typer.Option(
    min=1, help='CPU threads for each seed. Results are the same bits only for the same number.')]
EngineOption = Annotated[EngineChoice | None, typer.Option(
    '--engine', parser=_parse_engine, metavar='[auto|eager|sparse]', show_default=False,
    help='How training steps are computed: eager on all weights; sparse on the remaining weights, for networks of '
         'dense and convolutional layers in a chain; auto uses the faster one by a fixed rule. Default: the engine '
         'that the run was started with, or auto.')]
Epochs = Annotated[int | None, typer.Option(
    '-e', '--number-of-epochs', metavar='N', show_default=False, help='Train each round, or the scores, for N epochs.')]
BatchSize = Annotated[int | None, typer.Option(
    '-b', '--batch-size', metavar='N', show_default=False, help='Pictures in a batch.')]
LearningRate = Annotated[float | None, typer.Option(
    '-l', '--learning-rate', metavar='RATE', show_default=False, help="The optimizer's learning rate.")]
Seeds = Annotated[str, typer.Option(
    metavar='SEEDS', help='Seeds, such as 0-4 or 0,2,7: each is a search of its own.')]
RunName = Annotated[str | None, typer.Option(
    '--run', metavar='NAME', show_default=False,
    help='The run folder: a name below ./runs, or a path; else named after model and data set.')]
DryRun = Annotated[bool, typer.Option(
    '--dry-run', help='Print all settings, layers and exact counts; touch neither data nor disk.')]
Json = Annotated[bool, typer.Option('--json', help='Print one JSON object to standard output, for programs to read.')]


class _Terminated(KeyboardInterrupt):
    """SIGTERM, as a cluster or `timeout` sends it: ends as Ctrl-C does."""


class _Console(Console):
    """rich's console, which leaves a closed pipe to us."""

    def on_broken_pipe(self) -> None:
        """Passes on that the reader of our output has gone."""

        raise BrokenPipeError


# A colon is part of many a name here, and no smiley.
# A file or a pipe has no width, and tables in it are not to be folded at 80 columns.
out = _Console(emoji=False, width=None if sys.stdout.isatty() or 'COLUMNS' in os.environ else 160)
err = _Console(emoji=False, stderr=True)


def command(command: Callable[P, None]) -> Callable[P, None]:
    """The command, ending as all do: 2 with a paragraph for the user's mistake, 130 and how to go on if interrupted."""

    @functools.wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with _heeding_termination():
                command(*args, **kwargs)
                sys.stdout.flush()
        except LthError as error:
            _fail(str(error))
        except KeyboardInterrupt as interruption:
            again = _escaped(shlex.join(['lth', *sys.argv[1:]]))
            told = f'Interrupted. What is whole is kept. To go on, type:\n  {again}'
            err.print(told, soft_wrap=True, highlight=False)
            raise typer.Exit(143 if isinstance(interruption, _Terminated) else 130) from None
        except BrokenPipeError:
            # The reader of our output has gone, as in `lth list models | head -1`.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except OSError as error:
            _fail(f'{error.filename or "standard output"}: {error.strerror}.')
    return wrapped


def _fail(paragraph: str) -> NoReturn:
    err.print(f'[bold red]Error:[/] {_escaped(paragraph)}', soft_wrap=True, highlight=False)
    raise typer.Exit(2) from None


@contextlib.contextmanager
def _heeding_termination() -> Iterator[None]:
    def terminate(_signal: int, _frame: FrameType | None) -> None:
        raise _Terminated
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def parse_seeds(text: str, option: str = '--seeds') -> list[int]:
    """`0-4`, `0,2,7` or a mixture, ascending and each once."""

    seeds: set[int] = set()
    for part in text.split(','):
        match = re.fullmatch(r'\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?\s*', part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last - first > 10_000:
            raise LthError(f'{option}: cannot read {text!r}: write numbers from 0 and ranges, such as 0-4 or 0,2,7.')
        seeds.update(range(first, last + 1))
    return sorted(seeds)


def _escaped(text: str) -> str:
    return text.replace('[', r'\[')
