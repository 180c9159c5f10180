"""What a model card says, as data: the run with what it answers, the round that the card is about, its checks."""
from collections.abc import Sequence
from dataclasses import dataclass

from lth.algorithms import ALGORITHMS
from lth.algorithms.sparse_training.methods import METHODS
from lth.analysis import checks_file
from lth.analysis.answers.answer import Answer, view_answers
from lth.analysis.answers.search import SearchAnswer
from lth.analysis.checks_file import StoredReport
from lth.analysis.run_view import RunView, view_run
from lth.analysis.summary_table import RoundSummary, algorithm_settings, summary_rows
from lth.recipes.schema import AlgorithmSettings
from lth.runs.run_path import RunPath


@dataclass(frozen=True)
class CardContent:
    """A run, its answers, the rows of its table, and the row of the round that the card is about: the sparsest matching
    ticket of a search, or else its best; of other runs the last round. `dense` is the row of the dense network, None
    if the run has none. `checks` are the reports of its sanity checks; `notes` say what is missing.
    """

    view: RunView
    answers: Sequence[Answer]
    rows: Sequence[RoundSummary]
    chosen: RoundSummary
    dense: RoundSummary | None
    checks: Sequence[StoredReport]
    notes: Sequence[str]

    @property
    def settings(self) -> AlgorithmSettings:
        """The settings of the algorithm."""

        return algorithm_settings(self.view.run)

    @property
    def model(self) -> str:
        """The name of the model."""

        return str(self.view.run.recipe['model']['name'])

    @property
    def dataset(self) -> str:
        """The name of the data set."""

        return str(self.view.run.recipe['data']['name'])

    @property
    def name(self) -> str:
        """The name of the run folder."""

        folder = self.view.run.folder
        return folder.name if folder.name.strip('.') else folder.resolve().name

    @property
    def kind(self) -> str:
        """What the run found, as a plural."""

        return {'tickets': 'lottery tickets', 'gems': 'rare gems', 'sparse networks': 'sparse networks',
                'nothing new': 'trained subnetworks'}[self.settings.finds]

    def method(self) -> str:
        """What the algorithm does, with its paper; of a sparse training, its method."""

        recipe, name = self.view.run.recipe['algorithm'], self.settings.name
        method = recipe.get('method')
        if isinstance(method, str) and METHODS.has(method):
            return METHODS.find(method).summary
        return ALGORITHMS.find(name).summary if ALGORITHMS.has(name) else f'The algorithm {name} of a plug-in.'


def card_content(path: RunPath, margin: float) -> CardContent:
    """What the card of the run at a path says; `margin` is that of its answers. LthError if the run has no completed
    round, or if one of its files is damaged.
    """

    view = view_run(path)
    answers = view_answers(view, margin)
    rows = summary_rows([view.run], view.seeds)
    found = answers[0].found
    notes = [*view.unfinished, *view.left_out]
    checks = checks_file.read_reports(view.derived, notes)
    if isinstance(found, SearchAnswer):
        chosen = next(row for row in rows if row.source_number == found.chosen.number)
        return CardContent(view, answers, rows, chosen, rows[0], checks, notes)
    chosen = max((row for row in rows if row.test_accuracy.n == len(view.seeds)), key=lambda row: row.number)
    return CardContent(view, answers, rows, chosen, None, checks, notes)
