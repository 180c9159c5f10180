"""Measure the trained networks of a run on other images: corrupted ones, or the test images of another data set."""
import hashlib
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from lth.analysis import evaluation
from lth.analysis.statistics import Interval, confidence_interval
from lth.datasets import DATASETS, Dataset, Split, foreign_sources
from lth.datasets.corrupted_images import CORRUPTED, EXTRA
from lth.datasets.resizing import resize_dataset
from lth.datasets.source import resized_shape
from lth.errors import LthError
from lth.experiments import open_run, provenance
from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget, set_up_engine
from lth.recipes.schema import DataSettings, merge, validate_section
from lth.runs.folder import Run
from lth.runs.removed_weights import Needed, refuse_missing
from lth.runs.run_path import RunPath
from lth.training.engines import select
from lth.training.loop import accuracy
from lth.training.task import Engine

# The settings that decide how images are stored, not how they are trained on.
_STORAGE = ('size', 'channels', 'resolution', 'normalization')


class Network(NamedTuple):
    """A trained network of a run: seed, the number of its round in the folder and in tables, its density, and its
    accuracy on the test images of the run's own data set.
    """

    seed: int
    round: int
    source_round: int
    density: float
    test_accuracy: float


class Part(NamedTuple):
    """A part of the other images, `corruption` and `severity` as published; '' and 0 for images without corruptions.
    `accuracies` are those of the networks, in their order.
    """

    corruption: str
    severity: int
    accuracies: list[float]

    @property
    def counts(self) -> bool:
        """Whether the part is in the mean."""

        return self.corruption not in EXTRA


class OtherDataReport(NamedTuple):
    """The networks of a run, and their accuracy on each part of other images. `images` are those of a part, `digest`
    that of all other images and labels.
    """

    run: Run
    seeds: Sequence[int]
    data: str
    images: int
    digest: str
    networks: list[Network]
    parts: list[Part]

    @property
    def rounds(self) -> list[Network]:
        """One network of each round."""

        return list({network.round: network for network in reversed(self.networks)}.values())[::-1]

    @property
    def corruptions(self) -> list[str]:
        """The names of the corruptions, [] if the images have none."""

        return list(dict.fromkeys(part.corruption for part in self.parts if part.corruption))

    def own(self, number: int) -> Interval:
        """The accuracy of a round on the run's own test images, a mean over seeds."""

        return confidence_interval([network.test_accuracy for network in self.networks if network.round == number])

    def mean(self, number: int, corruption: str | None = None, severity: int | None = None) -> Interval:
        """The accuracy of a round, a mean over seeds: of each seed over all parts that count, or over those of a
        corruption or a severity.
        """

        rows = [row for row, network in enumerate(self.networks) if network.round == number]
        return confidence_interval([self.seed_mean(row, corruption, severity) for row in rows])

    def seed_mean(self, row: int, corruption: str | None = None, severity: int | None = None) -> float:
        """As `mean`, of the network in this row."""

        parts = [part for part in self.parts if severity in (None, part.severity) and (
            part.counts if corruption is None else part.corruption == corruption)]
        return math.fsum(part.accuracies[row] for part in parts) / len(parts)


def evaluate_on(
        path: RunPath, data: str, target: RunTarget, *, rounds: Sequence[int] | None = None) -> OtherDataReport:
    """Measure the run, seed or round at this path on the images `data`: cifar10-c, cifar100-c, or the test images of
    another data set. `rounds` are by default all. Images are normalized with the mean and standard deviation of the
    run's own training images. LthError if the images have another shape or other classes than those of the run.
    """

    plan, run = open_run.open_run(path)
    seeds = run.seeds() if path.seed is None else [path.seed]
    numbers = _numbers(run, seeds, path.round, rounds)
    own, parts = _own_and_other(plan, data, target.datasets)
    engine = set_up_engine(plan, target.resumed(run))
    own = own.to(engine.device)
    provenance.refuse_changed_run(run, provenance.inputs(plan, own))
    networks = _own_networks(plan, run, own, engine, numbers)
    digest, measured_parts, count = hashlib.blake2b(digest_size=12), list[Part](), 0
    for corruption, splits in parts:
        _update_digest(digest, splits)
        others = [replace(own, test=split).to(engine.device) for split in splits]
        rows = list(_measure(plan, run, others, engine, numbers))
        measured_parts += [Part(corruption, severity, list(accuracies))
                           for severity, accuracies in enumerate(zip(*rows), 1 if corruption else 0)]
        count = len(splits[0].labels)
    return OtherDataReport(run, seeds, data, count, digest.hexdigest(), networks, measured_parts)


# The name of a corruption, '' for images without one, and its images of each severity.
Parts = Iterator[tuple[str, list[Split]]]


def _own_and_other(plan: Plan, name: str, datasets: Path) -> tuple[Dataset, Parts]:
    """The run's own data set, and the parts of the other images, which are read one after another."""

    shape, classes = plan.source.input_shape(plan.recipe.data), plan.source.classes
    if CORRUPTED.has(name) and ':' not in name:
        corrupted = CORRUPTED.find(name)
        _require_same(plan, name, (3, 32, 32), shape, corrupted.classes, classes)
        return plan.read(datasets), _first_read(corrupted.corruptions(datasets))
    source = DATASETS.find(name)
    kept = {key: getattr(plan.recipe.data, key) for key in _STORAGE}
    settings = validate_section(DataSettings, merge(source.settings, {'name': name, **kept}), f'--on {name}')
    _require_same(plan, name, source.input_shape(settings), shape, source.classes, classes)
    source.image_bytes(settings)
    other = resize_dataset(foreign_sources.read(source, datasets, settings), resized_shape(source.shape, settings))
    return plan.read(datasets), iter([('', [other.test])])


def _first_read(parts: Parts) -> Parts:
    """The same parts, the first of which is read now, so that missing files are reported before anything is measured.
    """

    first = next(parts)

    def all_parts() -> Parts:
        yield first
        yield from parts
    return all_parts()


def _require_same(  # pylint: disable=too-many-arguments,too-many-positional-arguments # two facts of two data sets
        plan: Plan, name: str, shape: tuple[int, ...], own_shape: tuple[int, ...], classes: int, own_classes: int,
) -> None:
    if shape != own_shape or classes != own_classes:
        raise LthError(f'--on {name}: its images of shape {"×".join(map(str, shape))} have {classes} classes. The '
                       f'network was trained on {plan.recipe.data.name}, with images of '
                       f'{"×".join(map(str, own_shape))} in {own_classes} classes. Choose images of the same shape and '
                       'classes.')


def _numbers(run: Run, seeds: Sequence[int], number: int | None, rounds: Sequence[int] | None) -> dict[int, list[int]]:
    """The rounds of each seed that are measured."""

    if number is not None and rounds is not None:
        raise LthError(f'--rounds: the path of the run names round {number}. Leave one of them out.')
    selected = rounds if number is None else [number]
    if selected is None:
        return {seed: evaluation.measurable_rounds(run, seed) for seed in seeds}
    counts = {seed: run.round_count(seed) for seed in seeds}
    seed = min(counts, key=lambda one: counts[one])
    if max(selected) >= counts[seed]:
        raise LthError(f'--rounds: {run.folder} has no round {max(selected)} of seed {seed}; it has {counts[seed]} '
                       'rounds.')
    refuse_missing(run.folder, (Needed(one, number, 'trained') for one in seeds for number in selected),
                   ', so their accuracy cannot be measured')
    return dict.fromkeys(seeds, list(selected))


def _own_networks(
        plan: Plan, run: Run, own: Dataset, engine: Engine, numbers: dict[int, list[int]]) -> list[Network]:
    """The networks of these rounds, measured on the test images of the run's own data set."""

    measured = [accuracies for accuracies, in _measure(plan, run, [own], engine, numbers)]
    rounds = [(seed, number) for seed, numbers_of_seed in numbers.items() for number in numbers_of_seed]
    networks = []
    for (seed, number), test_accuracy in zip(rounds, measured, strict=True):
        density = plan.network.layout.density(run.record(seed, number).kept)
        networks.append(Network(seed, number, plan.recipe.algorithm.table_round(number), density, test_accuracy))
    return networks


def _update_digest(digest: hashlib.blake2b, splits: Sequence[Split]) -> None:
    """Add all images and labels to the digest."""

    for tensor in itertools.chain.from_iterable(splits):
        if isinstance(tensor, Tensor):
            digest.update(tensor.contiguous().numpy().tobytes())


def _measure(
        plan: Plan, run: Run, images: Sequence[Dataset], engine: Engine, numbers: dict[int, list[int]],
) -> Iterator[list[float]]:
    """The accuracies of each network on the test images of each of `images`. A network is read once."""

    for seed, rounds in numbers.items():
        tasks = [plan.task(data, [seed], engine) for data in images]
        for number in rounds:
            trained = run.load_round(seed, number).trained.to(engine.device)
            with select.explain_failures(engine.device, f'measuring {run.folder}'):
                accuracies = [accuracy(task, trained)[0] for task in tasks]
            yield accuracies
