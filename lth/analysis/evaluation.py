"""Measure a run again from its files, and describe its layers, scores and connected units."""
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from lth.algorithms.retraining.finetune import is_finetuning
from lth.analysis.answers.answer import Answer, view_answers
from lth.analysis.answers.levels import MARGIN
from lth.analysis.operation_counts import LayerOperations, Operations, total_operations
from lth.analysis.run_view import view_run
from lth.analysis.statistics import Interval
from lth.analysis.training_operations import mean_training_operations
from lth.datasets import Dataset, sampling
from lth.errors import LthError, LthWarning
from lth.experiments import derived_runs, open_run, provenance
from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget, set_up_engine
from lth.pruning.effective_sparsity import ConnectedLayer, connected_layers
from lth.pruning.tickets import Round
from lth.runs import run_source
from lth.runs.folder import Run
from lth.runs.round_encoding import layer_records
from lth.runs.removed_weights import MissingWeights, Needed, refuse_missing
from lth.runs.run_path import RunPath, runs_in
from lth.training.engines import select
from lth.training.loop import accuracy
from lth.training.task import Engine, Task


class LayerDensity(NamedTuple):
    """Number of kept weights of a layer; all of them if the layer is not pruned. Where scores were trained,
    `above_threshold` counts the weights that are used at the end of the round. `multiply_adds` for an image of the kept
    weights, and of all weights (`dense_multiply_adds`), are None if they cannot be counted.
    """

    name: str
    kept: int
    weights: int
    above_threshold: int | None
    multiply_adds: int | None = None
    dense_multiply_adds: int | None = None


class ScoreSummary(NamedTuple):
    """Trained scores: how many are active (not frozen), how many of these are above the threshold and how many are 0;
    minimum, quartiles and maximum of the active ones. `drawn` is the mean test accuracy of masks sampled from the
    scores, None for algorithms that sample none. `selected` and `penalty` as in RoundFacts, None if not recorded.
    """

    active: int
    above_threshold: int
    least: float
    lower: float
    median: float
    upper: float
    largest: float
    zeros: int
    drawn: float | None
    selected: int | None = None
    penalty: float | None = None


class Evaluation(NamedTuple):
    """One round of one seed: its test accuracy measured again and as recorded, its layers, its scores if they were
    trained, and the connected units of each layer, empty if they cannot be determined. `source_round` is the number
    that tables show, see RoundSummary.
    """

    seed: int
    round: int
    kept: int
    density: float
    test_accuracy: float
    recorded: float
    layers: list[LayerDensity]
    scores: ScoreSummary | None
    connected: list[ConnectedLayer]
    source_round: int

    @property
    def operations(self) -> Operations | None:
        """The multiply-adds of the network for an image; None if they cannot be counted."""

        return total_operations(
            LayerOperations(layer.name, layer.dense_multiply_adds, layer.multiply_adds) for layer in self.layers)


class EvaluationReport(NamedTuple):
    """The rounds of a run, measured again, and the runs next to it that finetune its last round, by folder. `notes`
    says which of these runs could not be measured. `training` are the multiply-adds of the training of a seed, None if
    they are unknown. `answers` is what the recorded accuracies say, empty for one round.
    """

    run: Run
    seeds: Sequence[int]
    evaluations: list[Evaluation]
    finetuned: dict[Path, list[Evaluation]]
    notes: list[str]
    training: Interval | None
    answers: list[Answer]


def evaluate(path: RunPath, datasets: Path, *, device: str = 'auto', threads: int = 1,
             margin: float = MARGIN) -> EvaluationReport:
    """Measure the run, seed or round at this path again from its files. `margin` is that of `make_answer`."""

    plan, run = open_run.open_run(path)
    seeds = run.seeds() if path.seed is None else [path.seed]
    engine = set_up_engine(plan, RunTarget(path.folder, datasets, device, threads, compile='off').resumed(run))
    data = plan.load(datasets, engine.device)
    provenance.refuse_changed_run(run, provenance.inputs(plan, data))
    evaluations = list(evaluate_rounds(plan, run, data, engine, seeds, path.round))
    finetuned, notes = dict[Path, list[Evaluation]](), []
    for folder in _finetuned_runs(path.folder, evaluations[-1].round):
        try:
            finetuned[folder] = _evaluate_finetuned(folder, datasets, engine, seeds)
        except LthError as error:
            notes.append(f'{folder} cannot be evaluated: {error}')
    answers = view_answers(view_run(path), margin) if path.round is None else []
    return EvaluationReport(run, seeds, evaluations, finetuned, notes, mean_training_operations(run, seeds), answers)


def evaluate_rounds(
        plan: Plan, run: Run, data: Dataset, engine: Engine, seeds: Sequence[int], number: int | None,
) -> Iterator[Evaluation]:
    """Measure round `number`, or for None every round, of these seeds; rounds whose trained weights --keep removed are
    left out, with a warning. LthError if those of round `number` were removed.
    """

    if number is not None:
        refuse_missing(run.folder, (Needed(seed, number, 'trained') for seed in seeds),
                       ', so their accuracy cannot be measured')
    nonzero_pixels = sampling.nonzero_pixels(data, plan.recipe.data)
    for seed in seeds:
        task = plan.task(data, [seed], engine)
        for round_number in measurable_rounds(run, seed) if number is None else [number]:
            round_ = run.load_round(seed, round_number)
            mask = round_.ticket.mask[0]
            kept = int(mask.sum())
            with select.explain_failures(engine.device, f'measuring {run.folder}'):
                measured = accuracy(task, round_.trained.to(engine.device))[0]
                scores = _scores(plan, task, round_.to(engine.device))
            yield Evaluation(
                seed, round_number, kept, plan.network.layout.density(kept), measured,
                run.record(seed, round_number).test_accuracy, _layers(plan, round_), scores,
                connected_layers(plan.network, mask, nonzero_pixels), plan.recipe.algorithm.table_round(round_number))


def measurable_rounds(run: Run, seed: int) -> list[int]:
    """The rounds of a seed whose trained weights are there."""

    rounds = range(run.round_count(seed))
    missing = MissingWeights.of(run.folder, (Needed(seed, number, 'trained') for number in rounds))
    if missing:
        warnings.warn(f'{missing.sentence()} of seed {seed}, so their accuracy cannot be measured', LthWarning,
                      stacklevel=2)
    return [number for number in rounds if not missing.includes(seed, number)]


def _finetuned_runs(folder: Path, number: int) -> list[Path]:
    """The runs next to a run that finetune its tickets of this round without a control."""

    runs = []
    for derived in runs_in(folder.resolve().parent):
        settings = run_source.algorithm_settings(derived)
        source = run_source.source_folder(derived, settings)
        if is_finetuning(settings, number) and source and source.resolve() == folder.resolve():
            runs.append(folder.parent / derived.name)
    return runs


def _evaluate_finetuned(folder: Path, datasets: Path, engine: Engine, seeds: Sequence[int]) -> list[Evaluation]:
    """Measure round 0 of a run that finetunes another, for the given seeds that it has. LthError if it was trained from
    other tickets.
    """

    plan, run = open_run.open_run(RunPath(folder))
    seeds = [seed for seed in seeds if seed in run.seeds()]
    derived_runs.refuse_replaced_source(plan, run, seeds)
    data = plan.load(datasets, engine.device)
    provenance.refuse_changed_run(run, provenance.inputs(plan, data))
    return list(evaluate_rounds(plan, run, data, engine, seeds, 0))


def _layers(plan: Plan, round_: Round) -> list[LayerDensity]:
    layout = plan.network.layout
    above = {name: int(mask.sum()) for name, mask in layout.unpack(_above_threshold(plan, round_)).items()}
    above = above if round_.search else {}
    rows = []
    for layer in layer_records(plan.network, round_.ticket.mask[0]):
        operations = LayerOperations.of(layer)
        rows.append(LayerDensity(layer.name, layer.kept, layer.weights, above.get(layer.name), operations.surviving,
                                 operations.dense))
    return rows


def _scores(plan: Plan, task: Task, round_: Round) -> ScoreSummary | None:
    if round_.search is None:
        return None
    active = round_.search.scores[0][round_.ticket.mask[0]].sort().values
    positions = [round((len(active) - 1) * part) for part in (0, 0.25, 0.5, 0.75, 1)]
    least, lower, median, upper, largest = active[positions].tolist()
    settings, search, sampled = plan.recipe.algorithm, round_.search, None
    if search.sampled_accuracy and settings.sampled_masks:
        (sampled,) = settings.sampled_accuracy(task, search.scores)
    above_threshold, zeros = int(_above_threshold(plan, round_).sum()), int((active == 0).sum())
    return ScoreSummary(len(active), above_threshold, least, lower, median, upper, largest, zeros, sampled,
                        next(iter(search.selected), None), next(iter(search.penalties), None))


def _above_threshold(plan: Plan, round_: Round) -> Tensor:
    """The weights that are used at the end of the round: (P,)."""

    return round_.trained.weights[0, :plan.network.layout.prunable_count] != 0
