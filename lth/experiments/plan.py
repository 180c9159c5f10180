"""A plan: a recipe with its model, data set and algorithm found, and all lengths and counts checked before training."""
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from lth.algorithms import ALGORITHMS, Algorithm
from lth.datasets import DATASETS, Dataset, Source, foreign_sources, sampling
from lth.datasets.resizing import resize_dataset
from lth.datasets.source import resized_shape
from lth.errors import LthError, quote
from lth.experiments.plan_notes import plan_notes
from lth.models import homogeneity
from lth.models.initializers import INITIALIZERS
from lth.models.network import Network
from lth.models.registry import MODELS, OWN, settings_class
from lth.models.trial import Use, try_network
from lth.recipes.schema import Recipe, TrainingSettings, merge, validate_recipe
from lth.registry import user_code
from lth.registry.code_fingerprints import Fingerprint
from lth.registry.registry import BaseRegistry
from lth.runs.folder import Run
from lth.system.yaml_text import Raw
from lth.training.engines import select
from lth.training.engines.metrics import evaluation_batch_size
from lth.training.task import Engine, OnStep, Task, ignore_step, steps_per_epoch

# The learning rate of each is kept in memory. 90 epochs of ImageNet in batches of 32 have 3,600,000.
_MOST_STEPS = 20_000_000


@dataclass(frozen=True)
class Plan:
    """What will be trained. `kept` has the number of prunable weights left in each round, and `notes` what the user
    should know about the recipe.
    """

    recipe: Recipe
    source: Source
    network: Network
    algorithm: Algorithm
    kept: list[int]
    notes: tuple[str, ...]

    @property
    def streamed(self) -> bool:
        """Whether images are read when they are needed instead of being kept in memory."""

        return self.source.is_streamed(self.recipe.data)

    @property
    def capturable(self) -> bool:
        """Whether a step needs nothing from the CPU, so that a GPU can repeat it as a captured graph."""

        return not (self.streamed or self._draws_in_steps or self.network.has_user_code)

    @property
    def compile_obstacle(self) -> str | None:
        """Why a step cannot be compiled, None if it can, except for what only its code shows."""

        if self.streamed:
            return 'its images are streamed'
        reason = 'it draws random numbers in every step, which compiled code does not repeat'
        return reason if self._draws_in_steps else None

    @property
    def _draws_in_steps(self) -> bool:
        """Whether each step draws random numbers, for dropout, a mask or normalization layers."""

        return self.network.stochastic or self.recipe.algorithm.stochastic or self.recipe.training.aws

    @property
    def sparse_obstacle(self) -> str | None:
        """Why the sparse engine cannot train the plan, None if it can."""

        if not self.recipe.algorithm.trains_weights:
            return 'the algorithm trains scores or nothing, not weights'
        return select.sparse_obstacle(self.network, self.recipe.data, self.recipe.training, streamed=self.streamed)

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches in an epoch."""

        return steps_per_epoch(self.source.image_counts[0], self.recipe.data, self.recipe.training)

    @property
    def steps(self) -> int:
        """Iterations of one training from start to end."""

        return self.recipe.training.steps(self.steps_per_epoch)

    @property
    def total_steps(self) -> int:
        """Iterations of all rounds of one seed."""

        trains = self.recipe.algorithm.trains
        return {'each': self.steps * len(self.kept), 'throughout': self.steps, 'never': 0}[trains]

    def steps_done(self, number: int, step: int) -> int:
        """How many of the total steps a seed has completed at this iteration of round `number`."""

        if self.recipe.algorithm.trains == 'each':
            return number * self.steps + min(step, self.steps)
        return min(self.total_steps, max(step, number * self.steps // len(self.kept)))

    @property
    def code(self) -> dict[str, Fingerprint]:
        """Digests of the code that the plan uses and that is not of lth, by what it is: for example
        {'model net.py:net': {'net.py': ..., 'layers': ...}}.
        """

        recipe = self.recipe
        uses: list[tuple[BaseRegistry[Any], str]] = [
            (MODELS, recipe.model.name), (DATASETS, recipe.data.name), (ALGORITHMS, recipe.algorithm.name),
            *recipe.algorithm.entries()]
        if recipe.model.initializer != OWN:
            uses.append((INITIALIZERS, recipe.model.initializer))
        files = {f'{registry.kind} {name}': registry.code(name) for registry, name in uses if registry.has(name)}
        return {use: digests for use, digests in files.items() if digests}

    def read(self, datasets: Path) -> Dataset:
        """The data set, from the folder of all data sets, with images of the size that the recipe stores. LthError if
        they need more memory than there is.
        """

        self.source.image_bytes(self.recipe.data)
        shape = resized_shape(self.source.shape, self.recipe.data)
        data = resize_dataset(foreign_sources.read(self.source, datasets, self.recipe.data), shape)
        if self.recipe.data.labels == 'true':
            return data
        labels = sampling.random_labels(data.train.labels, self.source.classes)
        return replace(data, train=data.train._replace(labels=labels))

    def load(self, datasets: Path, device: torch.device) -> Dataset:
        """The data set with its tensors on the device; LthError if they do not fit into its memory."""

        remedies = ['--set data.storage=stream'] * (self.source.streams != 'never') + ['another device']
        with select.explain_failures(device, f'reading {self.recipe.data.name}', remedies):
            return self.read(datasets).to(device)

    def for_data(self, data: Dataset) -> 'Plan':
        """The plan for the images that were read: fewer than expected if some could not be decoded."""

        source = replace(self.source, image_counts=(len(data.train.labels), len(data.test.labels)))
        plan = replace(self, source=source)
        self.recipe.algorithm.check(self.recipe.training, plan.steps_per_epoch)
        return plan

    def for_round(self, number: int) -> 'Plan':
        """The plan with the training settings of a ticket of round `number`; for a gem those of its finetuning."""

        training = self.recipe.algorithm.training_for_round(number, self.recipe.training, self.steps_per_epoch)
        return replace(self, recipe=self.recipe.model_copy(update={'training': training}))

    def with_last_registered_output(self) -> 'Plan':
        """The plan with the layer that is registered last as output layer, not the one that forward uses last."""

        network = self.network.with_last_registered_output(
            self.recipe.algorithm.keep_out, self.recipe.algorithm.also_prune)
        return replace(self, network=network, kept=_kept_counts(self.recipe, network, self.steps_per_epoch))

    def run(self, folder: Path) -> Run:
        """The run of the plan in this folder, which need not exist."""

        return Run(folder, self.recipe.dump(), self.network, steps=self.steps)

    def task(self, data: Dataset, seeds: Sequence[int], engine: Engine, on_step: OnStep = ignore_step) -> Task:
        """The training task of these seeds on the data."""

        return Task(self.network, data, self.recipe.data, self.recipe.training, tuple(seeds), engine, on_step)


def make_plan(raw: Raw, origin: str, notes: tuple[str, ...] = (), *, device: str = 'auto') -> Plan:
    """The plan of a recipe; `origin` is where it was written. A precision `auto` becomes the default of the device.
    LthError for settings that cannot work. Reads and writes no files of data or runs.
    """

    names = {section: _section_name(raw, section, origin) for section in ('model', 'data', 'algorithm')}
    algorithm, source = ALGORITHMS.find(names['algorithm']), DATASETS.find(names['data'])
    recipe = validate_recipe(_with_registered_names(merge({'data': source.settings}, raw)), origin,
                             model=settings_class(names['model']), algorithm=algorithm.settings)
    epoch = steps_per_epoch(source.image_counts[0], recipe.data, recipe.training)
    _refuse_long_training(recipe.training, epoch)
    _refuse_wrong_cycles(recipe, epoch)
    recipe.algorithm.check(recipe.training, epoch)
    source.is_streamed(recipe.data)  # raises LthError for a way of storing that the data set does not have
    network = Network.of(recipe.model, source.input_shape(recipe.data), source.classes, recipe.algorithm.keep_out,
                         recipe.algorithm.also_prune)
    network = try_network(network, Use(
        recipe.training.batch_size, evaluation_batch_size(network), recipe.algorithm.second_derivatives))
    if recipe.algorithm.homogeneous:
        homogeneity.refuse_other_layers(network, recipe.algorithm.name)
    if recipe.training.precision == 'auto':
        precision = _default_precision(device, network)
        training = recipe.training.model_copy(update={'precision': precision})
        recipe = recipe.model_copy(update={'training': training})
    _refuse_aws_without_scales(recipe.training, network)
    kept = _kept_counts(recipe, network, epoch)
    return Plan(recipe, source, network, algorithm, kept, (*notes, *plan_notes(recipe, network, epoch)))


def _default_precision(device: str, network: Network) -> Literal['fp32', 'tf32', 'bf16']:
    """The default precision on a device. LthError if this machine does not have it: the plan may be for another one."""

    try:
        return select.default_precision(device, network)
    except LthError as error:
        if not device.startswith('cuda'):
            raise
        raise error.extended('To train on the GPU of another machine (--executor), give the precision too: --precision '
                             'bf16, tf32 or fp32.') from None


def _kept_counts(recipe: Recipe, network: Network, epoch: int) -> list[int]:
    """The numbers of weights left in each round; LthError if code outside of lth computes something else."""

    settings = recipe.algorithm
    entries = ((ALGORITHMS, settings.name), *settings.entries())
    if not any(registry.has(name) and registry.is_foreign(name) for registry, name in entries):
        return settings.kept_counts(network.layout, recipe.training, epoch)
    what, method = f'The number of weights that {settings.name} keeps', type(settings).kept_counts
    with user_code.guard(what, method):
        kept = settings.kept_counts(network.layout, recipe.training, epoch)
    if not isinstance(kept, list) or not kept or not all(isinstance(count, int) for count in kept):
        raise LthError(f'{what}{user_code.definition_place(method)} is {quote(kept)}. Let kept_counts return a list of '
                       'a whole number for each round.')
    return kept


def _refuse_long_training(training: TrainingSettings, epoch: int) -> None:
    steps = training.steps(epoch)
    if steps > _MOST_STEPS:
        cycles = f' in {training.cycles:,} cycles' if training.cycles > 1 else ''
        raise LthError(f'training.length: {training.length}{cycles} are {steps:,} iterations. Train for at most '
                       f'{_MOST_STEPS:,}, {max(1, _MOST_STEPS // epoch):,} epochs.')


def _refuse_wrong_cycles(recipe: Recipe, epoch: int) -> None:
    """LthError if the training cannot be divided into the cycles of the recipe."""

    training, cycles = recipe.training, recipe.training.cycles
    if cycles == 1:
        return
    if recipe.algorithm.trains == 'never' and recipe.algorithm.needs_source:
        return  # The recipe repeats how its source was trained, for those who train its tickets later.
    if recipe.algorithm.trains != 'each':
        weights = recipe.algorithm.trains == 'throughout' and not recipe.algorithm.trains_scores
        why = 'is a single training' if weights else 'trains no weights'
        raise LthError(f'training.cycles: {cycles} cycles repeat a training of weights, but {recipe.algorithm.name} '
                       f'{why}. Leave the setting out; lth finetune --cycles trains what it finds.')
    ends = (0, *training.cycle_ends(epoch))
    if any(start == end for start, end in itertools.pairwise(ends)):
        raise LthError(f'training.cycles: {training.length} in total, {training.length.steps(epoch):,} iterations, '
                       f'cannot be divided into {cycles:,} cycles. Use fewer cycles, or train longer.')


def _refuse_aws_without_scales(training: TrainingSettings, network: Network) -> None:
    if training.aws and not network.scales:
        raise LthError(f'training.aws: {network.settings.name} has no normalization layer with a scale, so there is '
                       'nothing to draw. Leave the setting out, or choose a network with BatchNorm or LayerNorm.')


def _with_registered_names(raw: Raw) -> Raw:
    model, data, algorithm = (raw[section]['name'] for section in ('model', 'data', 'algorithm'))
    return merge(raw, {'model': {'name': MODELS.canonical(model)}, 'data': {'name': DATASETS.canonical(data)},
                       'algorithm': {'name': ALGORITHMS.canonical(algorithm)}})


def _section_name(raw: Raw, section: str, origin: str) -> str:
    """The name in a section, which decides what else the section may contain."""

    content = raw.get(section)
    if not isinstance(content, dict) or not isinstance(content.get('name'), str):
        raise LthError(f'{origin}: {section}: expected settings with a name, such as `{section}: {{name: ...}}`, not '
                       f'{quote(content)}.')
    return str(content['name'])
