"""The cells of a sweep, all checked before one of them starts: their plans, the digests of their recipes, and what is
on disk.
"""
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lth.errors import LthError
from lth.experiments import recipe_claim
from lth.experiments.plan import Plan
from lth.experiments.run_target import RunTarget
from lth.experiments.sweeps.grid_file import CellSettings
from lth.experiments.thinning import Keep
from lth.runs.recipe_digest import recipe_digest

# Parameters of all plans that are kept between the check and the training: 200 MB in single precision.
_MOST_PARAMETERS = 50_000_000


@dataclass(frozen=True)
class PlannedCell:
    """What a cell trains: the plans by folder, that of the run first and then those of its controls, where and how, the
    seeds, and which weights stay on disk.
    """

    plans: Mapping[Path, Plan]
    target: RunTarget
    seeds: Sequence[int]
    keep: Keep = 'all'

    @property
    def plan(self) -> Plan:
        """The plan of the run itself."""

        return next(iter(self.plans.values()))


# Plans a cell. LthError if its settings are wrong.
PlanCell = Callable[[CellSettings], PlannedCell]


class Cell:
    """A cell whose settings are right. `digest` is that of its recipe, which does not depend on the number of rounds,
    and `identity` that of all settings. `iterations` is the number in all its runs and seeds, and `is_complete` says
    whether all its rounds are on disk.
    """

    def __init__(self, settings: CellSettings, planned: PlannedCell, plan_again: PlanCell) -> None:
        self.name = settings.name
        self.settings = settings.settings
        self.seeds = tuple(planned.seeds)
        self.digest = _digest(planned.plan)
        self.identity = _identity(planned.plan)
        self.is_complete = _is_complete(planned)
        self.iterations = sum(plan.total_steps for plan in planned.plans.values()) * len(self.seeds)
        self._planned: PlannedCell | None = planned
        self._plan_again = plan_again
        self._cell_settings = settings

    @property
    def planned(self) -> PlannedCell:
        """What the cell trains."""

        return self._planned or self._plan_again(self._cell_settings)

    def forget_plan(self) -> None:
        """Free the memory of the plan, which is made again when it is needed."""

        self._planned = None


def check_cells(settings: Sequence[CellSettings], plan_cell: PlanCell) -> list[Cell]:
    """The cells. LthError that names the cell if a setting is unknown or wrong, if two cells have the same settings, or
    if the folder of a cell holds another run.
    """

    cells: list[Cell] = []
    known: dict[str, str] = {}
    parameters = 0
    for one in settings:
        try:
            cell = Cell(one, plan_cell(one), plan_cell)
        except LthError as error:
            raise in_cell(one.name, error) from None
        if first := known.get(cell.identity):
            raise LthError(f'The cells {first} and {cell.name} have the same settings. Leave out one of '
                           'the two values.')
        known[cell.identity] = cell.name
        parameters += cell.planned.plan.network.layout.size
        if parameters > _MOST_PARAMETERS:
            cell.forget_plan()
        cells.append(cell)
    return cells


def in_cell(name: str, error: LthError) -> LthError:
    """The error, which says in which cell it is."""

    return LthError(f'Cell {name}: {of_cell(error)}', exit_code=error.exit_code)


def of_cell(error: LthError) -> LthError:
    """The error of a run, with what a sweep has instead of the options of a run that it advises."""

    if '--run' not in str(error) and '--restart' not in str(error):
        return error
    return error.extended('In a sweep, choose another `folder` in the grid file instead of --run, and move the folder '
                          'of the cell away instead of --restart.')


def _is_complete(planned: PlannedCell) -> bool:
    """Whether all rounds of all seeds are on disk. LthError if a folder holds a run of another recipe."""

    runs = [(plan, plan.run(folder)) for folder, plan in planned.plans.items()]
    for plan, run in runs:
        if run.recipe_file.exists():
            recipe_claim.added_rounds(plan, run)
    return all(run.round_count(seed) >= len(plan.kept) for plan, run in runs for seed in planned.seeds)


def _digest(plan: Plan) -> str:
    recipe = plan.recipe.dump()
    return recipe_digest(recipe, recipe)


def _identity(plan: Plan) -> str:
    """A digest of the complete recipe: two cells with the same one would train the same twice."""

    recipe = plan.recipe.dump() | {'source': ''}
    return hashlib.blake2b(json.dumps(recipe, sort_keys=True).encode(), digest_size=16).hexdigest()
