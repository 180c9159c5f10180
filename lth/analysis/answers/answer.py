"""The answer of a run in sentences, and the next commands to type.

A new kind of answer is a file next to this one with a class that has `sentences`, and a line in `make_answer`.
"""
import contextlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lth.algorithms.retraining.finetune import is_finetuning
from lth.analysis import run_view
from lth.analysis.answers.finetuned import FinetunedAnswer, finetuned_answer
from lth.analysis.answers.gem import GemAnswer, gem_answer
from lth.analysis.answers.levels import MARGIN
from lth.analysis.answers.sculpted import SculptedAnswer, sculpted_answer
from lth.analysis.answers.search import SearchAnswer, search_answer
from lth.analysis.answers.sparse import SparseAnswer, sparse_answer
from lth.analysis.run_view import RunView
from lth.analysis.summary_table import RecordedRun, algorithm_settings
from lth.errors import LthError
from lth.registry import user_code
from lth.runs import sessions

# Five seeds: Frankle & Carbin 2019 average five trials.
_SEEDS = '0-4'
_MANY_SEEDS = 5
Found = SearchAnswer | GemAnswer | SparseAnswer | FinetunedAnswer | SculptedAnswer


@dataclass(frozen=True)
class Answer:
    """What a run says. `found` has the numbers behind the sentences, None if the run answers no question."""

    run: Path
    found: Found | None
    sentences: Sequence[str]
    next_commands: Sequence[str]

    def __str__(self) -> str:
        return '\n'.join(self.sentences)


def make_answer(
        run: RecordedRun, seeds: Sequence[int], controls: Mapping[str, Sequence[RecordedRun]] | None = None,
        margin: float = MARGIN) -> Answer:
    """The answer of a run for these seeds, with all draws of its controls. A ticket counts as matching if its accuracy
    is at most `margin`, a share of the images, below that of the dense network.
    """

    found: Found | None
    settings = algorithm_settings(run)
    if settings.finds == 'gems':
        found = gem_answer(run, seeds)
    elif settings.finds == 'sparse networks':
        found = sparse_answer(run, seeds)
    elif settings.prunes_once:
        found = sculpted_answer(run, seeds)
    elif settings.trains == 'never':
        found = None
    elif is_finetuning(run.recipe['algorithm'], run.recipe['algorithm'].get('round')):
        found = finetuned_answer(run, seeds, margin)
    else:
        found = search_answer(run, seeds, controls or {}, margin)
    return Answer(run.folder, found, found.sentences() if found else [], _next_commands(run, seeds, found))


def view_answers(view: RunView, margin: float = MARGIN) -> list[Answer]:
    """The answers of a stored run, and of the run that finetuned its last round if there is one."""

    answers = [make_answer(view.run, view.seeds, view.controls, margin)]
    if view.finetuned:
        seeds = [seed for seed in view.seeds if view.finetuned.round_count(seed)]
        answers.append(make_answer(view.finetuned, seeds, {}, margin))
    return answers


def _next_commands(
        run: RecordedRun, seeds: Sequence[int], found: Found | None) -> list[str]:
    folder = str(run.folder)
    if isinstance(found, SearchAnswer):
        checked = ['lth', 'sanity-check', folder, '--round', str(found.chosen.number)]
        undecided = bool(found.of_verdict('undecided'))
    elif isinstance(found, GemAnswer):
        checked, undecided = ['lth', 'finetune', folder], found.lower is None
    elif isinstance(found, SparseAnswer):
        checked, undecided = ['lth', 'finetune', folder], found.accuracy.margin is None
    else:
        return []
    if user_code.code_names(run.recipe):
        checked.append('--trust-code')
    more_seeds = _command_with_more_seeds(run, seeds) if undecided else []
    return [shlex.join(command) for command in (more_seeds, checked, ['lth', 'report', folder]) if command]


def _command_with_more_seeds(run: RecordedRun, seeds: Sequence[int]) -> list[str]:
    """The command of the run's last session with five seeds, [] if it is unknown or has as many."""

    command: list[str] = []
    with contextlib.suppress(LthError):  # a suggestion is not worth an error about a damaged file
        command = run_view.last_command(sessions.read(run.folder))
    if not command or len(seeds) >= _MANY_SEEDS or algorithm_settings(run).origin:
        return []
    return [*_without_option(command, '--seeds'), '--seeds', _SEEDS]


def _without_option(command: Sequence[str], name: str) -> list[str]:
    """The command without an option that has a value."""

    kept, skip = list[str](), False
    for word in command:
        if not skip and word != name and not word.startswith(f'{name}='):
            kept.append(word)
        skip = word == name and not skip
    return kept
