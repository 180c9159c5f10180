"""A run measured afresh from its files: what its numbers are worth is what its files give."""
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from lth.algorithms.retraining.finetune import is_finetuning
from lth.datasets import Dataset, sampling
from lth.errors import LthError
from lth.experiments import open_run
from lth.experiments.plan import Plan
from lth.experiments.runner import RunTarget, select_engine
from lth.pruning.effective_sparsity import ConnectedLayer, connected_layers
from lth.pruning.tickets import Round
from lth.runs.folder import Run
from lth.system import files
from lth.system.files import Raw
from lth.training.engines import select
from lth.training.loop import accuracy
from lth.training.task import Engine, Task


class LayerDensity(NamedTuple):
    """One layer: how many of its weights are left; all of them where it was kept out of pruning. Where scores were
    trained, also how many take part as these are rounded.
    """

    name: str
    kept: int
    weights: int
    above_threshold: int | None


class ScoreSummary(NamedTuple):
    """Trained scores: how many are active, not frozen, and how many of those are in force as they are rounded; the
    active ones' least, quartiles and largest, and how many are exactly 0. `drawn` is the mean test accuracy of masks
    drawn from them, where that was recorded.
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


class Evaluation(NamedTuple):
    """One round of one seed: its test accuracy measured now and as recorded, its layers, its scores if it has any, and
    what of the layers carries anything if that can be told.
    """

    seed: int
    round: int
    kept: int
    density: float
    test_accuracy: float
    recorded: float
    layers: list[LayerDensity]
    scores: ScoreSummary | None
    carrying: list[ConnectedLayer]


class EvaluationReport(NamedTuple):
    """The rounds of a run, measured again, and the runs next to it that finetune its last round, by folder. `notes`
    says which of these runs could not be measured.
    """

    run: Run
    seeds: Sequence[int]
    evaluations: list[Evaluation]
    finetuned: dict[Path, list[Evaluation]]
    notes: list[str]


def evaluate(path: open_run.RunPath, datasets: Path, *, device: str = 'auto', threads: int = 1) -> EvaluationReport:
    """Measure the run, seed or round at this path again from its files."""

    plan, run = open_run.open_run(path)
    seeds = run.seeds() if path.seed is None else [path.seed]
    engine = select_engine(plan, RunTarget(path.folder, datasets, device, threads, run.engine_choice()))
    select.configure_process(threads=threads, device=engine.device)
    data = plan.read(datasets).to(engine.device)
    evaluations = list(evaluate_rounds(plan, run, data, engine, seeds, path.round))
    finetuned, notes = dict[Path, list[Evaluation]](), []
    for folder in finetuned_runs(path.folder, evaluations[-1].round):
        try:
            finetuned[folder] = evaluate_finetuned(folder, datasets, engine, seeds)
        except LthError as error:
            notes.append(f'{folder} cannot be evaluated: {error}')
    return EvaluationReport(run, seeds, evaluations, finetuned, notes)


def evaluate_rounds(
        plan: Plan, run: Run, data: Dataset, engine: Engine, seeds: Sequence[int], number: int | None,
) -> Iterator[Evaluation]:
    """Every round asked for, measured from its files."""

    nonzero_pixels = sampling.nonzero_pixels(data, plan.recipe.data)
    for seed in seeds:
        task = plan.task(data, [seed], engine)
        for chosen in range(run.round_count(seed)) if number is None else [number]:
            found = run.load_round(seed, chosen)
            state = found.trained.to(engine.device)
            kept = int(found.ticket.mask.sum())
            yield Evaluation(seed, chosen, kept, plan.network.layout.density(kept), accuracy(task, state)[0],
                             run.header(seed, chosen)['test_accuracy'], _layers(plan, found),
                             _scores(plan, task, found.to(engine.device)),
                             connected_layers(plan.network, found.ticket.mask[0], nonzero_pixels))


def finetuned_runs(folder: Path, number: int) -> list[Path]:
    """The runs beside a run that finetune its tickets of this round as they are."""

    found = []
    for beside in sorted(folder.resolve().parent.glob('*/recipe.yaml')):
        settings = _settings_in(beside)
        if is_finetuning(settings, number):
            if (beside.parent / settings['source']).resolve() == folder.resolve():
                found.append(folder.parent / beside.parent.name)
    return found


def _settings_in(recipe: Path) -> Raw:
    """The algorithm's settings in a recipe; none in a neighbour that is no recipe of ours."""

    try:
        settings = files.read_yaml(recipe).get('algorithm')
    except LthError:
        return {}
    return settings if isinstance(settings, dict) else {}


def evaluate_finetuned(
        folder: Path, datasets: Path, engine: Engine, seeds: Sequence[int]) -> list[Evaluation]:
    """What finetuning made of these seeds, those that the run has."""

    plan, run = open_run.open_run(open_run.RunPath(folder, None, None))
    data = plan.read(datasets).to(engine.device)
    return list(evaluate_rounds(plan, run, data, engine, [seed for seed in seeds if seed in run.seeds()], 0))


def _layers(plan: Plan, found: Round) -> list[LayerDensity]:
    layout = plan.network.layout
    masks = layout.unpack(found.ticket.mask[0])
    above_threshold = layout.unpack(_in_force(plan, found)) if found.search else {}
    return [LayerDensity(slot.name, int(masks[slot.name].sum()) if slot.prunable else slot.size, slot.size,
                         int(above_threshold[slot.name].sum()) if slot.name in above_threshold else None)
            for slot in layout.slots if slot.kind != 'other']


def _scores(plan: Plan, task: Task, found: Round) -> ScoreSummary | None:
    if found.search is None:
        return None
    active = found.search.scores[0][found.ticket.mask[0]]
    ranked = active.sort().values.tolist()
    least, lower, median, upper, largest = (
        ranked[round((len(ranked) - 1) * part)] for part in (0, 0.25, 0.5, 0.75, 1))
    settings, drawn = plan.recipe.algorithm, None
    if found.search.sampled_accuracy and settings.sampled_masks:
        (drawn,) = settings.sampled_accuracy(task, found.search.scores)
    return ScoreSummary(len(ranked), int(_in_force(plan, found).sum()), least, lower, median, upper, largest,
                  int((active == 0).sum()), drawn)


def _in_force(plan: Plan, found: Round) -> Tensor:
    """The weights that took part when the round ended: (P,)."""

    return found.trained.weights[0, :plan.network.layout.prunable_count] != 0
