"""Open a run that a path names: a run folder, the folder of one of its seeds, or of one round of a seed."""
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lth.errors import LthError
from lth.experiments import provenance
from lth.experiments.plan import Plan, make_plan
from lth.registry import user_code
from lth.registry.registry import missing_entries_allowed
from lth.runs import integrity, sessions
from lth.runs.folder import Run
from lth.runs.run_path import RunPath
from lth.system import yaml_text
from lth.system.yaml_text import Raw


class SourceRound(NamedTuple):
    """A round of a run from which other runs start, for these seeds."""

    plan: Plan
    run: Run
    seeds: Sequence[int]
    number: int

    @property
    def kept(self) -> int:
        """Planned number of weights that its tickets keep; a ticket may keep fewer."""

        return self.plan.kept[self.number]

    @property
    def subject(self) -> str:
        """What the round holds, for sentences: 'gem' or 'ticket'."""

        return 'gem' if self.plan.recipe.algorithm.finds == 'gems' else 'ticket'


class SourceRounds(NamedTuple):
    """Rounds of a run whose tickets other runs train or interpolate, for these seeds."""

    plan: Plan
    run: Run
    seeds: Sequence[int]
    numbers: Sequence[int]


def open_run(path: RunPath) -> tuple[Plan, Run]:
    """The run, with the plan of its recipe. LthError if it lacks the seed or round of the path."""

    plan = _stored_plan(path.folder)
    run = plan.run(path.folder)
    if plan.network.fingerprint != _recorded_network(run):
        plan = _with_recorded_output(plan, run)
        run = plan.run(path.folder)
    provenance.refuse_changed_run(run, provenance.code_inputs(plan))
    integrity.warn_of_missing_sums(run.folder)
    if not run.seeds():
        raise LthError(f'{path.folder} has no completed round yet. Resume it until its first round is saved.')
    number = path.round or 0
    if path.seed is not None and run.round_count(path.seed) <= number:
        raise LthError(f'{path.folder} has no round {number} of seed {path.seed}. Its seeds are {run.seeds()}, and '
                       f'seed {path.seed} has {run.round_count(path.seed)} rounds.')
    return plan, run


def open_source(
        path: RunPath, *, seeds: Sequence[int] | None = None, number: int | None = None,
        most_seeds: int | None = None) -> SourceRound:
    """The round that a path, or `number`, names, by default the last; of these seeds, by default that of the path or
    the first `most_seeds` of the run. LthError if a seed lacks the round.
    """

    plan, run = open_run(path)
    available = run.seeds() if path.seed is None else [path.seed]
    seeds = available[:most_seeds] if seeds is None else seeds
    if missing := sorted(set(seeds) - set(available)):
        raise LthError(f'--seeds: {run.folder} has no seed {missing[0]}; its seeds are {available}. Choose among '
                       'these, or add seeds by repeating the search with all of them.')
    return SourceRound(plan, run, seeds, select_round(plan, run, seeds, path.round, number))


def open_source_rounds(path: RunPath, rounds: Sequence[int] | None) -> SourceRounds:
    """The rounds that are named: the one of the path, the given ones, or all that the seeds have in common; of the seed
    of the path, or of all seeds.
    """

    plan, run = open_run(path)
    seeds = run.seeds() if path.seed is None else [path.seed]
    count = min(run.round_count(seed) for seed in seeds)
    numbers = selected_rounds(path, rounds, range(count))
    if max(numbers) >= count:
        raise LthError(f'--rounds: {run.folder} has no round {max(numbers)} of all seeds {seeds}; its rounds are '
                       f'0 to {count - 1}.')
    return SourceRounds(plan, run, seeds, numbers)


def selected_rounds(path: RunPath, rounds: Sequence[int] | None, default: Sequence[int]) -> list[int]:
    """The round of the path of a run, or the given ones; LthError if both are given."""

    if path.round is None:
        return list(default if rounds is None else rounds)
    if rounds is not None:
        raise LthError(f'--rounds: the path of the run names round {path.round} already. Leave one of them out.')
    return [path.round]


def select_round(plan: Plan, run: Run, seeds: Sequence[int], path_round: int | None, number: int | None) -> int:
    """The round of the path, else `number`, else the last round of a complete run. LthError if one of the seeds lacks
    it.
    """

    if path_round is not None and number not in (None, path_round):
        raise LthError(f'--round {number}: the path of the run names round {path_round}. Leave one of them out.')
    number = number if path_round is None else path_round
    count = min(run.round_count(seed) for seed in seeds)
    if number is None and count < len(plan.kept):
        raise LthError(f'{run.folder} is not complete: it has {count} of {len(plan.kept)} rounds. Resume the run, or '
                       f'choose one of its rounds, such as --round {count - 1}.')
    number = len(plan.kept) - 1 if number is None else number
    if count <= number:
        raise LthError(f'{run.folder} has no round {number} of all seeds {list(seeds)}. Resume the run, or choose an '
                       'earlier round.')
    return number


def _stored_plan(folder: Path) -> Plan:
    """The plan of the recipe in the folder. Relative names of user code and data are relative to the current folder; if
    they cannot be found there, the error says where the run was started. Criteria and other entries of plug-ins that
    only training needs may be missing.
    """

    recipe = yaml_text.read_yaml(folder / 'recipe.yaml')
    user_code.require_trust(recipe)
    try:
        with missing_entries_allowed():
            return make_plan(recipe, str(folder / 'recipe.yaml'))
    except LthError as error:
        directories = [entry['directory'] for entry in sessions.read(folder) if 'directory' in entry]
        if not directories or directories[-1] == os.getcwd() or not any(map(user_code.names_code, _names(recipe))):
            raise
        raise error.extended(f'The run was started in {directories[-1]}: repeat the command there.') from None


def _recorded_network(run: Run) -> str | None:
    """The fingerprint of the network with which the run was started."""

    return next((session['network'] for session in run.sessions() if 'network' in session), None)


def _with_recorded_output(plan: Plan, run: Run) -> Plan:
    """The plan with the output layer that the run has: once, it was the layer that is registered last."""

    earlier = plan.with_last_registered_output()
    return earlier if earlier.network.fingerprint == _recorded_network(run) else plan


def _names(recipe: Raw) -> list[str]:
    """The names of the model and the data set in a recipe."""

    sections = [recipe.get(section) for section in ('model', 'data')]
    return [str(section.get('name')) for section in sections if isinstance(section, dict)]
