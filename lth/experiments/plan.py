"""A recipe made ready to run: every name resolved, every length and count checked, nothing touched yet."""
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lth.algorithms import ALGORITHMS, Algorithm
from lth.datasets import DATASETS, Dataset, Source, sampling
from lth.datasets.resizing import resize_dataset
from lth.errors import LthError
from lth.models.network import Network
from lth.models.registry import MODELS, settings_class
from lth.recipes.durations import Duration
from lth.recipes.schema import Multistep, Recipe, TrainingSettings, merge, validate_recipe
from lth.system.files import Raw
from lth.training.engines import select
from lth.training.task import Engine, OnStep, Task, ignore_step, steps_per_epoch


@dataclass(frozen=True)
class Plan:
    """What will be done; `kept` counts the prunable weights left in each round."""

    recipe: Recipe
    source: Source
    network: Network
    algorithm: Algorithm
    kept: list[int]
    notes: tuple[str, ...]

    @property
    def streamed(self) -> bool:
        """Whether pictures are read as they are needed, not kept in memory."""

        return self.source.is_streamed(self.recipe.data)

    @property
    def capturable(self) -> bool:
        """Whether a step needs nothing from the host."""

        return not (self.streamed or self.network.stochastic or self.network.has_user_code or self.recipe.algorithm.stochastic)

    @property
    def obstacle(self) -> str | None:
        """What keeps it from the sparse engine, None if nothing does."""

        if self.recipe.algorithm.trains != 'each':
            return 'what is trained is not weights'
        return select.sparse_obstacle(self.network, self.recipe.data, self.recipe.training, streamed=self.streamed)

    def read(self, datasets: Path) -> Dataset:
        """The pictures, from the folder where data sets lie or are put, in the shape that the recipe keeps them in."""

        data = resize_dataset(self.source.read(datasets, self.recipe.data), self.source.stored_shape(self.recipe.data))
        if self.recipe.data.labels == 'true':
            return data
        return replace(data, train=data.train._replace(
            labels=sampling.random_labels(data.train.labels, self.source.classes)))

    def for_data(self, data: Dataset) -> 'Plan':
        """The plan for as many pictures as there really are: those that do not decode may have been left out."""

        source = replace(self.source, image_counts=(len(data.train.labels), len(data.test.labels)))
        plan = replace(self, source=source)
        self.recipe.algorithm.check(self.recipe.training, plan.steps_per_epoch)
        return plan

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""

        return steps_per_epoch(self.source.image_counts[0], self.recipe.data, self.recipe.training)

    @property
    def steps(self) -> int:
        """Iterations of one whole training."""

        return self.recipe.training.length.steps(self.steps_per_epoch)

    def for_round(self, number: int) -> 'Plan':
        """The plan by which what is found in a round is trained, then or later."""

        training = self.recipe.algorithm.training_for_round(number, self.recipe.training, self.steps_per_epoch)
        return replace(self, recipe=self.recipe.model_copy(update={'training': training}))

    @property
    def total_steps(self) -> int:
        """Iterations of the whole search of one seed."""

        return {'each': self.steps * len(self.kept), 'throughout': self.steps, 'never': 0}[self.recipe.algorithm.trains]

    def steps_done(self, number: int, step: int) -> int:
        """Iterations of the search that lie behind a seed at this iteration of round `number`."""

        if self.recipe.algorithm.trains == 'each':
            return number * self.steps + min(step, self.steps)
        return min(self.total_steps, max(step, number * self.steps // len(self.kept)))

    def task(self, data: Dataset, seeds: Sequence[int], engine: Engine, watch: OnStep = ignore_step) -> Task:
        """The plan on real pictures."""

        return Task(self.network, data, self.recipe.data, self.recipe.training, tuple(seeds), engine, watch)

    def outline(self) -> dict[str, Any]:
        """The plan in plain types, counts included."""

        layout = self.network.layout
        return {
            'model': self.recipe.model.name, 'dataset': self.recipe.data.name,
            'prunable': layout.prunable_count, 'weights': layout.weight_count,
            'layers': [{'name': slot.name, 'shape': list(slot.shape), 'weights': slot.size, 'kind': slot.kind,
                        'prunable': slot.prunable} for slot in layout.slots if slot.kind != 'other'],
            'rounds': [{'round': number, 'kept': count, 'density': layout.density(count)}
                       for number, count in enumerate(self.kept)],
            'iterations': self.steps, 'recipe': self.recipe.dump()}


def make_plan(raw: Raw, origin: str, notes: tuple[str, ...] = ()) -> Plan:
    """The plan of a recipe as written; an LthError for whatever cannot work out. Reads and writes no files."""

    name = DATASETS.canonical(_named(raw, 'data', origin))
    model, algorithm = settings_class(_named(raw, 'model', origin)), ALGORITHMS.find(_named(raw, 'algorithm', origin))
    source = DATASETS.find(name)
    raw = merge({'data': source.settings}, raw)
    raw['data']['name'], raw['model']['name'] = name, MODELS.canonical(raw['model']['name'])
    raw['algorithm']['name'] = ALGORITHMS.canonical(raw['algorithm']['name'])
    recipe = validate_recipe(raw, origin, model=model, algorithm=algorithm.settings)
    epoch = steps_per_epoch(source.image_counts[0], recipe.data, recipe.training)
    recipe.algorithm.check(recipe.training, epoch)
    source.is_streamed(recipe.data)  # refuses what cannot be
    network = Network.of(recipe.model, source.input_shape(recipe.data), source.classes, recipe.algorithm.keep_out)
    kept = recipe.algorithm.kept_counts(network.layout, recipe.training, epoch)
    if network.has_fixed_weights:
        notes = (*notes, 'all seeds start from the weights of the given module and differ only in the order of the '
                 'data; the setting model.initializer draws weights for each seed')
    notes = (*notes, *_beyond(recipe.training, epoch), *(_idle(kept) if recipe.algorithm.trains == 'each' else ()))
    return Plan(recipe, source, network, algorithm, kept, notes)


def _named(raw: Raw, section: str, origin: str) -> str:
    """The name that a section gives, without which nothing else in it can be understood."""

    content = raw.get(section)
    if not isinstance(content, dict) or not isinstance(content.get('name'), str):
        raise LthError(f'{origin}: {section}: expected settings with a name, such as `{section}: {{name: ...}}`; '
                       f'it is {content!r}.')
    return str(content['name'])


def _idle(kept: list[int]) -> list[str]:
    """A remark on rounds that prune nothing, since the rate of so few weights is less than one."""

    idle = [number for number, (before, after) in enumerate(itertools.pairwise(kept), 1) if before == after]
    return [f'{len(idle)} rounds from round {idle[0]} on prune nothing: they only train again'] if idle else []


def _beyond(training: TrainingSettings, epoch: int) -> list[str]:
    """Remarks on parts of the schedule that training ends before."""

    spans: list[tuple[str, Duration]] = [('warm-up', training.warmup)]
    if isinstance(training.schedule, Multistep):
        spans += [('milestone', milestone) for milestone in training.schedule.milestones]
    end = training.length.steps(epoch)
    return [f'the {what} at {span} lies beyond the end of training, {training.length} (iteration {end})'
            for what, span in spans if span.steps(epoch) >= end]
