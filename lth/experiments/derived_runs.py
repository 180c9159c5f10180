"""Runs that start from a round of another run, the source run: their recipes, and the rounds that they start from."""
import itertools
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lth import rng
from lth.errors import LthError
from lth.experiments.open_run import SourceRound
from lth.experiments.plan import Plan, make_plan
from lth.pruning.output_layer import output_prefix, transplant
from lth.pruning.tickets import Round, initial_ticket
from lth.recipes import presets
from lth.recipes.schema import AlgorithmSettings, layer_settings
from lth.registry import user_code
from lth.runs import seed_folders
from lth.runs.collapsed_layers import collapse_note
from lth.runs.folder import Run
from lth.runs.removed_weights import MissingWeights, Needed
from lth.runs.round_record import RoundRecord
from lth.runs.stored_run import StoredRun
from lth.system import yaml_text
from lth.system.yaml_text import Raw
from lth.training.task import Engine


def derived_recipe(
        source: SourceRound, folder: Path, *, control: str = 'original', found_in: Path | None = None,
        dataset: str | None = None) -> Raw:
    """The recipe of a run in `folder` that finetunes the source's tickets under a control: a gem as its recipe says, a
    ticket as in its search. `found_in` is the folder of another run whose round of the same number is finetuned
    instead, and `dataset` another data set to train on.
    """

    raw = source.plan.for_round(source.number).recipe.dump()
    found_in = found_in or source.run.folder
    raw['training']['precision'] = source.plan.recipe.training.precision
    raw['algorithm'] = {
        'name': 'finetune', **layer_settings(raw), 'source': os.path.relpath(found_in, folder),
        'round': source.number, 'control': control,
        'kept': source.plan.network.layout.prunable_count if control == 'dense' else source.kept}
    raw['source'] = f'{found_in}, round {source.number}'
    if dataset is not None:
        settings = presets.default_recipe(raw['model']['name'], dataset).settings.get('data', {})
        raw['data'] = {**settings, 'name': dataset}
    return raw


def derived_plan(source: SourceRound, raw: Raw, origin: str) -> Plan:
    """The plan of a recipe that finetunes the source's tickets. LthError if it would train for no iteration."""

    plan = make_plan(raw, origin)
    iteration = source.run.record(source.seeds[0], source.number).iteration
    if iteration >= plan.steps:
        raise LthError(f'Nothing would be trained: the ticket starts at iteration {iteration}, and training ends at '
                       f'iteration {plan.steps}. Train for more epochs (-e counts from iteration 0).')
    first = plan.recipe.training.cycle_ends(plan.steps_per_epoch)[0]
    if iteration >= first:
        raise LthError(f'training.cycles: the ticket starts at iteration {iteration}, but the first of '
                       f'{plan.recipe.training.cycles} cycles ends at iteration {first}. Use fewer cycles, or longer '
                       'ones (-e, or training.cycle_budget=each).')
    return plan


def source_run(run: Run) -> Run:
    """The run that this run starts from."""

    folder = run.source_folder()
    recipe = yaml_text.read_yaml(folder / 'recipe.yaml')
    user_code.require_trust(recipe)
    plan = make_plan(recipe, str(folder / 'recipe.yaml'))
    return plan.run(folder)


def source_rounds(plan: Plan, run: Run, seeds: Sequence[int], engine: Engine) -> Sequence[Round]:
    """The rounds of the source run that the run's algorithm needs, in the order of its `source_rounds`. Where the
    algorithm finetunes one ticket, the output layer is re-initialized if the classes differ.
    """

    source, settings = source_run(run), plan.recipe.algorithm
    stored, numbers = source.stored_rounds(seeds, engine.device), settings.source_rounds()
    donors = [_source_seed(settings, seed) for seed in seeds]
    donated = source.stored_rounds(donors, engine.device)
    if max(numbers) >= len(donated):
        raise LthError(f'{source.folder} has no round {max(numbers)} of all seeds {donors}, from which this run '
                       'starts. Resume that run first.')
    if settings.shares_rounds:
        return [stored[0], *(donated[number] for number in numbers)]
    if not settings.fits_output_layer:
        return replace(stored, numbers=tuple(numbers))
    initial = initial_ticket(plan.network, [rng.derive_seed(seed, 'output') for seed in seeds], engine.device)
    rounds = [stored[number] for number in numbers]
    tickets = [transplant(round_.ticket, source.network, plan.network, initial) for round_ in rounds]
    return [replace(round_, ticket=ticket) for round_, ticket in zip(rounds, tickets, strict=True)]


def source_fingerprints(
        plan: Plan, run: Run, seeds: Sequence[int], rounds: Sequence[int]) -> dict[int, tuple[str, ...]]:
    """The fingerprints of the tickets from which these rounds of the run start, one for each seed."""

    source, settings = source_run(run), plan.recipe.algorithm
    return {number: tuple(ticket_fingerprint(source, _source_seed(settings, seed), settings.source_round(number))
                          for seed in seeds) for number in rounds}


def refuse_replaced_source(plan: Plan, run: Run, seeds: Sequence[int]) -> None:
    """LthError if the ticket from which a round of these seeds started is no longer the one in the source run. The last
    round that both runs have is checked: the rounds of a search depend on all before them.
    """

    source, settings = source_run(run), plan.recipe.algorithm
    for seed in seeds:
        from_seed = _source_seed(settings, seed)
        rounds, source_count = reversed(range(run.round_count(seed))), source.round_count(from_seed)
        last = next((number for number in rounds if settings.source_round(number) < source_count), None)
        if last is None:
            continue
        number = settings.source_round(last)
        recorded = run.record(seed, last).source  # runs of earlier versions did not record it
        if recorded and recorded != ticket_fingerprint(source, from_seed, number):
            raise LthError(f'{run.folder} was trained from another ticket than the one that is now round {number} of '
                           f'seed {from_seed} in {source.folder}: that run was replaced. Put it back; or train from '
                           'the present ticket with --restart, which moves the old run aside.')


def refuse_removed_sources(plans: Mapping[Path, Plan], seeds: Sequence[int], *, restart: bool = False) -> None:
    """LthError if weights are missing from which a missing round of these seeds starts, in one of the plans by folder:
    the option --keep removed them, or an imported run lacks them. So this is said before anything is printed, moved or
    trained. With `restart`, the runs in these folders will be moved aside, and all their rounds be trained.
    """

    moved = list(map(os.path.abspath, plans)) if restart else []
    for folder, plan in plans.items():
        if missing := missing_source_weights(plan, folder, seeds, moved=moved):
            raise missing.error(f', from which {folder} starts')


def missing_source_weights(
        plan: Plan, folder: Path, seeds: Sequence[int], *, moved: Container[str] = ()) -> MissingWeights:
    """The weights that the plan's run in `folder` still needs of the completed rounds of its source run, and that are
    missing there. The runs in the absolute paths `moved` will be moved aside, so they have no rounds.
    """

    settings, needed = plan.recipe.algorithm, set[Needed]()
    source = plan.run(folder).source_folder() if settings.needs_source else folder
    if settings.needs_source and os.path.abspath(source) not in moved:
        for seed in seeds:
            first = 0 if os.path.abspath(folder) in moved else seed_folders.round_count(folder, seed)
            from_seed = _source_seed(settings, seed)
            completed = seed_folders.round_count(source, from_seed)
            weights = (settings.source_weights(number) for number in range(first, len(plan.kept)))
            needed |= {Needed(from_seed, number, kind) for number, kind in itertools.chain.from_iterable(weights)
                       if number < completed}
    return MissingWeights.of(source, needed)


def collapse_notes(plans: Mapping[Path, Plan], seeds: Sequence[int]) -> list[str]:
    """Sentences on source tickets of these plans, by folder, that have layers without weights, each once. Sources that
    the plans themselves train are left out.
    """

    notes, own = dict[str, None](), list(map(os.path.abspath, plans))
    for folder, plan in plans.items():
        source = plan.run(folder).source_folder() if plan.recipe.algorithm.needs_source else folder
        if os.path.abspath(source) not in own:
            records = list(_source_records(plan, source, seeds))
            differ = any(record.classes != plan.network.classes for record in records)
            notes[collapse_note(source, records, new_output=output_prefix(plan.network) if differ else '')] = None
    return list(filter(None, notes))


def _source_records(plan: Plan, source: Path, seeds: Sequence[int]) -> Iterator[RoundRecord]:
    """The records of the rounds from which a plan starts, of those that the source has."""

    settings, stored = plan.recipe.algorithm, StoredRun.open(source)
    for seed, number in itertools.product(seeds, sorted(set(map(settings.source_round, range(len(plan.kept)))))):
        from_seed = _source_seed(settings, seed)
        if number < stored.round_count(from_seed):
            yield stored.record(from_seed, number)


def ticket_fingerprint(run: Run, seed: int, number: int) -> str:
    """The fingerprint of a ticket. It is read of the record, as --keep may have removed the ticket itself; rounds of
    version 0.1.0, which cannot be thinned, have none there.
    """

    return run.record(seed, number).ticket or run.load_ticket(seed, number).fingerprints()[0]


def _source_seed(settings: AlgorithmSettings, seed: int) -> int:
    """The seed of the source run whose tickets a seed starts from."""

    donor = settings.donor_seed()
    return seed if donor is None else donor
