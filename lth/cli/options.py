"""Arguments and options that several commands share. Every option has an explicit name."""
import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from lth.cli.option_values import number, number_in, whole_number
from lth.errors import LthError, quote
from lth.registry import trust
from lth.training.checkpoint_interval import CheckpointInterval, checkpoint_interval
from lth.training.engines.names import EngineChoice, engine_choice

# The heading in --help of the options that say where and how it is computed, not what.
COMPUTATION = 'Computation'


def _parse_engine(text: str) -> EngineChoice:
    try:
        return engine_choice(text)
    except LthError as error:
        raise typer.BadParameter(str(error)) from None


def _parse_interval(text: str) -> CheckpointInterval:
    try:
        return checkpoint_interval(text)
    except LthError as error:
        raise typer.BadParameter(str(error)) from None


def refuse_run(folder: Path | None) -> Path | None:
    """The folder of the data sets, if it is not a second run; None if it is not given."""

    if folder is None:
        return None
    run = folder if os.path.exists(folder) else Path('runs') / folder  # unlike Path.exists, for names of any length
    if os.path.isfile(run / 'recipe.yaml'):
        raise typer.BadParameter(f'{quote(str(folder))} is a run and not the folder of the data sets. The command '
                                 'takes one run: run it once for each.')
    return folder


Model = Annotated[str, typer.Argument(
    metavar='MODEL', callback=trust.add, show_default=False, help='Name of a model, see `lth list models`.')]
DatasetName = Annotated[str, typer.Argument(
    metavar='DATASET', callback=trust.add, show_default=False, help='Name of a data set, see `lth list datasets`.')]
Datasets = Annotated[Path, typer.Argument(
    metavar='DATASETS', envvar='LTH_DATASETS', callback=refuse_run,
    help='Folder that contains the files of the data sets. Files that are missing are downloaded to it.')]
RecipeName = Annotated[str | None, typer.Option(
    '--recipe', metavar='RECIPE', show_default=False,
    help='Take the settings from this recipe: a name from `lth list recipes`, or a YAML file.')]
Overrides = Annotated[list[str] | None, typer.Option(
    '--set', metavar='KEY=VALUE', show_default=False,
    help='Change one setting of the recipe, such as training.batch_size=128. Can be repeated.')]
Device = Annotated[str, typer.Option(
    '--device', metavar='DEVICE', rich_help_panel=COMPUTATION,
    help='Where to compute: cpu, cuda, one of several GPUs such as cuda:1, or auto (cuda if available, else cpu).')]
Precision = Annotated[Literal['fp32', 'tf32', 'bf16'] | None, typer.Option(
    '--precision', show_default=False,
    help='Floating-point precision of training. Default: as in the recipe; otherwise fp32 on a CPU, and on a GPU from '
         'Ampere on bf16 for networks with BatchNorm, tf32 for other networks with convolutions, fp32 for the rest.')]
Threads = Annotated[int, typer.Option(
    '--threads', parser=whole_number(smallest=1), metavar='N', rich_help_panel=COMPUTATION,
    help='CPU threads for each seed. Only runs with the same number of threads give bitwise equal results.')]
EngineOption = Annotated[EngineChoice | None, typer.Option(
    '--engine', parser=_parse_engine, metavar='ENGINE', show_default=False, rich_help_panel=COMPUTATION,
    help='How training steps are computed: eager on all weights; sparse on the remaining weights, for networks of '
         'dense and convolutional layers in a chain, on a CPU; auto uses the faster one by a fixed rule. Default: the '
         'engine that the run was started with, or auto.')]
Deterministic = Annotated[bool | None, typer.Option(
    '--deterministic/--no-deterministic', show_default=False, rich_help_panel=COMPUTATION,
    help='Let runs repeat bit for bit on the same GPU, by algorithms that may be slower. On a CPU they always do. '
         'Default: as the run was started, or --no-deterministic.')]
SyncBatchNorm = Annotated[bool | None, typer.Option(
    '--sync-batch-norm/--no-sync-batch-norm', show_default=False, rich_help_panel=COMPUTATION,
    help='With several ranks of torchrun: let BatchNorm normalize over the complete batch, as one process does, not '
         'over the part of each rank. Default: as the run was started, or --no-sync-batch-norm.')]
Compile = Annotated[Literal['auto', 'on', 'off'] | None, typer.Option(
    '--compile', show_default=False, rich_help_panel=COMPUTATION,
    help='Compile the forward and backward pass with torch.compile. auto: on a GPU, if the run is long enough to save '
         'twice the time of compiling; networks that cannot be compiled are trained without. on: always, also on a '
         'CPU. Default: as in the last session of the run, or auto.')]
Replicates = Annotated[Literal['branches', 'stacked'] | None, typer.Option(
    '--replicates', show_default=False, rich_help_panel=COMPUTATION,
    help='How several seeds of a network with convolutions train at once on a GPU. branches: each with kernels of its '
         'own, in parallel. stacked: one kernel for each convolution of all seeds (not measured yet). Default: as in '
         'the last session of the run, or branches.')]
CheckpointEvery = Annotated[CheckpointInterval | None, typer.Option(
    '--checkpoint-every', parser=_parse_interval, metavar='INTERVAL', show_default=False, rich_help_panel=COMPUTATION,
    help="How often a round in progress is saved, such as '10 minutes' or '200 iterations', or off. A checkpoint is "
         'also saved when the command is interrupted. Default: 10 minutes.')]
Epochs = Annotated[int | None, typer.Option(
    '-e', '--number-of-epochs', parser=whole_number(smallest=1, largest=999_999_999), metavar='N', show_default=False,
    help='Train for N epochs. In a search for tickets, this is the length of each round.')]
BatchSize = Annotated[int | None, typer.Option(
    '-b', '--batch-size', parser=whole_number(), metavar='N', show_default=False,
    help='Number of images in a batch.')]
LearningRate = Annotated[float | None, typer.Option(
    '-l', '--learning-rate', parser=number, metavar='RATE', show_default=False,
    help='Learning rate of the optimizer.')]
Optimizer = Annotated[Literal['adam', 'sgd'] | None, typer.Option(
    '--optimizer', show_default=False,
    help='Train with another optimizer: adam (learning rate 0.001) or sgd (learning rate 0.01, momentum 0.9). Use -l '
         'to set another learning rate.')]
Seeds = Annotated[str, typer.Option(
    '--seeds', metavar='SEEDS', help='Random seeds, such as 0-4 or 0,2,7. Each seed is a separate search.')]
RunName = Annotated[str | None, typer.Option(
    '--run', metavar='NAME', show_default=False,
    help='Run folder: a name in ./runs, or a path. Default: a name made from the model and the data set.')]
SourceRun = Annotated[str, typer.Argument(
    metavar='RUN', show_default=False,
    help='A run, one of its seeds (RUN/seed-S) or one of its rounds (RUN/seed-S/round-NN). RUN is a name in ./runs, or '
         'a path.')]
RoundNumber = Annotated[int | None, typer.Option(
    '--round', parser=whole_number(smallest=0), metavar='N', show_default=False,
    help='Number of the round. Default: the last round.')]
LogOption = Annotated[str | None, typer.Option(
    '--log', metavar='NAMES', show_default=False, rich_help_panel=COMPUTATION,
    help='Log all measurements while the run is trained: tensorboard, in RUN/tensorboard; trackio, in its own folder; '
         'or both, as tensorboard,trackio.')]
KeepOption = Annotated[Literal['all', 'last', 'tickets'], typer.Option(
    '--keep',
    help='Which weights stay on disk when the command is complete. tickets: of the rounds between the first and the '
         'last, the trained weights are removed; last: their tickets too. Masks and measurements always stay.')]
Margin = Annotated[float, typer.Option(
    '--margin', parser=number_in(0, 100), metavar='POINTS',
    help='A ticket matches the dense network if it is at most this many percentage points worse.')]
EarlyBirdThreshold = Annotated[float, typer.Option(
    '--threshold', parser=number_in(0, 1), metavar='D',
    help='Largest normalised distance to each of the last four masks. At 50% kept, 0.2 is the published limit.')]
Restart = Annotated[bool, typer.Option(
    '--restart',
    help='Start over: first move the run folder, and all runs derived from it, aside to RUN-set-aside-TIME.')]
DryRun = Annotated[bool, typer.Option(
    '--dry-run', help='Print the plan with all settings and counts, and stop. Reads no images and writes no files.')]
Json = Annotated[bool, typer.Option('--json', help='Print the result as one JSON object to standard output.')]
