"""Published figures and tables as declarative files, one YAML file each: runs, figures, and what the paper claims.

To add one, put a file into this folder; its name is the name of the experiment:

    title: one line for `lth list papers`
    paper: {title: authors and year, section: which figure or table, url: where it is}
    runs: {NAME: a GridRun, ...}                     the paper's own protocol, see lth/experiments/grid.py
    figures: [{name: a name of `lth list figures`, runs: [NAME, ...]}, ...]
    tables: [a ResultTable, ...]                     accuracies and costs of runs, one row each
    claims: [a Claim, ...]                           what the paper says, and how it is tested
    budgets: {smoke: {seeds: 2, reduce: a Reduction}, small: ..., full: ...}

`published` holds a number that the paper prints. Leave it out if the number is not known for certain: then only the
direction of the claim is tested.
"""
import functools
from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic import Field

from lth.errors import LthError, quote, suggestion
from lth.experiments.grid import GridRun, Reduction, expand
from lth.recipes.section import Section, validate_section
from lth.system import yaml_text

_FOLDER = Path(__file__).parent
BudgetName = Literal['smoke', 'small', 'full']
MeasureName = Literal[
    'accuracy', 'accuracy-before-training', 'early-stop', 'barrier', 'density-of-sparsest-match']
# A round counts as the one of a level if its density is nearer to it than to half a pruning step of 20% from it.
Level = Annotated[float, Field(gt=0, le=100)] | Literal['dense', 'last', 'best']


class Publication(Section):
    """Where a claim was published."""

    title: str
    section: str
    url: str = ''


class Side(Section):
    """A network of the experiment: of a run, or of a control or sanity check of it, at a level: the percentage of
    weights that remain, the dense network, the last round, or the sparse round of highest accuracy.
    """

    run: str
    control: str | None = None
    check: str | None = None
    level: Level = 'last'


class Claim(Section):
    """A statement of a paper: the measure of `of`, minus that of `than` if there is one, is above or below `value`.
    With `relative` the difference is in percent of `than`. `published` is the number that the paper prints, in the unit
    of the measure: percentage points, percent, or iterations.
    """

    claim: str
    section: str
    measure: MeasureName
    of: Side
    than: Side | None = None
    relative: bool = False
    expect: Literal['above', 'below']
    value: float = 0.
    published: float | None = None

    def sides(self) -> list[Side]:
        """One network, or both that are compared."""

        return [self.of] if self.than is None else [self.of, self.than]


class PaperFigure(Section):
    """A figure of some of the runs."""

    name: str
    runs: list[str]

    def run_names(self) -> set[str]:
        """The runs that the figure shows."""

        return set(self.runs)


class ResultTable(Section):
    """A table for each of the `values`: a row for each method, with the accuracy, the weights and the cost of its run.
    `rows` has the names of runs by what the row is called. `{}` in a name or in the title stands for the value.
    """

    title: str
    values: list[str] = ['']
    rows: dict[str, str]

    def run_names(self) -> set[str]:
        """The runs that the tables show."""

        return {name.format(value) for name in self.rows.values() for value in self.values}


class Budget(Section):
    """A scale: the number of seeds, and what makes the runs smaller than the paper's."""

    seeds: Annotated[int, Field(ge=1, le=1000)]
    reduce: Reduction = Reduction()


class Experiment(Section):
    """A published figure or table: the runs of its protocol, its figures, its tables and its claims."""

    title: str
    paper: Publication
    runs: dict[str, GridRun]
    figures: list[PaperFigure] = []
    tables: list[ResultTable] = []
    claims: list[Claim]
    budgets: dict[BudgetName, Budget]

    @pydantic.model_validator(mode='after')
    def _is_complete(self) -> 'Experiment':
        known = set(expand(self.runs))
        if self.run_names() - known:
            unknown = sorted(self.run_names() - known)
            raise ValueError(f'runs: there is no run {unknown}; the runs are {sorted(known)}')
        if 'full' not in self.budgets:
            raise ValueError('budgets: full is missing, the protocol of the paper')
        return self

    def run_names(self) -> set[str]:
        """The runs that claims, figures, tables and other runs name."""

        names = {side.run for claim in self.claims for side in claim.sides()}
        names.update(*(figure.run_names() for figure in self.figures), *(table.run_names() for table in self.tables))
        return names.union(run.source for run in self.runs.values() if run.source)


@functools.cache
def experiment_names() -> tuple[str, ...]:
    """The names of all experiments."""

    return tuple(sorted(path.stem for path in _FOLDER.glob('*.yaml')))


def find_experiment(name: str) -> Experiment:
    """The experiment with this name, or in a YAML file. LthError if there is none, or if its file is wrong."""

    path = Path(name) if name.endswith(('.yaml', '.yml')) else _FOLDER / f'{name}.yaml'
    if path.parent == _FOLDER and path.stem not in experiment_names():
        known = suggestion(name, experiment_names(), listed_by='lth list papers')
        raise LthError(f'Unknown experiment {quote(name)}{known}')
    return validate_section(Experiment, yaml_text.read_yaml(path), str(path))
