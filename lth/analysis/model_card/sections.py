"""The sections of a model card as Markdown. A new section is a function here, and a line in `card_text` (card.py)."""
import shlex
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from lth import __version__
from lth.analysis.answers import words
from lth.analysis.checks_file import StoredReport
from lth.analysis.model_card import citations, loading
from lth.analysis.model_card.content import CardContent
from lth.analysis.model_card.loading import LoadedRound
from lth.analysis.number_text import with_margin
from lth.analysis.operation_counts import round_operations
from lth.errors import number_ranges
from lth.recipes.flat_settings import flat_settings
from lth.registry import user_code
from lth.registry.objects import is_object
from lth.system import yaml_text
from lth.system.yaml_text import Raw

# The sections of the settings that a card lists.
_SECTIONS = ('model.', 'data.', 'training.', 'algorithm.')
# Long lists, and what the text says already.
_NOT_LISTED = ('algorithm.kept', 'algorithm.source', 'algorithm.name')


class CardLocation(NamedTuple):
    """Where a card is: its run is in the folder `run` below it, '' if the card lies in it. `path` is how lth.open_run
    finds the run, and `repository` the name on the Hub, None if the card was not pushed.
    """

    run: str
    path: str
    repository: str | None = None


def introduction(content: CardContent) -> str:
    """What this is."""

    title = f'# {content.name}: {content.kind} of {content.model} on {content.dataset}'
    rounds = words.plural(len(content.rows), 'round')
    seeds = number_ranges(content.view.seeds)
    what = (f'A run of lth, the workbench for lottery tickets and rare gems: {rounds} of '
            f'{words.plural(len(content.view.seeds), "seed")} ({seeds}), each round with the masks by parameter name, '
            'the weights before and after training, and all measurements. All tensors are safetensors files.')
    unfinished = content.view.unfinished[:-1]  # without the command that resumes it
    more = [f'**This run is not complete.** {" ".join(unfinished)}'] if unfinished else []
    return '\n\n'.join([title, what, *more])


def results(content: CardContent, figure: str | None) -> str:
    """What the run says, with intervals, its table and its figure."""

    sentences = [_without_folder(content, text) for answer in content.answers for text in answer.sentences]
    parts = ['## Results', '\n'.join(f'* {sentence}' for sentence in sentences), _round_table(content)]
    operations = round_operations(content.view.run.record(content.view.seeds[0], content.chosen.number))
    if operations:
        parts.append(f'Multiply-adds for an image in round {content.chosen.source_number}: '
                     f'{operations.surviving:,} of {operations.dense:,}.')
    if figure:
        parts.append(f'![Test accuracy and early stop against the weights that remain]({figure})')
    return '\n\n'.join(filter(None, parts))


def sanity_checks(content: CardContent) -> str:
    """The verdicts of the sanity checks, or that there are none, and how to run them."""

    title = '## Sanity checks'
    if not content.checks:
        return (f'{title}\n\nNo sanity checks were run. Run them with:\n\n'
                f'    lth sanity-check {shlex.quote(content.name)} --round {content.chosen.source_number}')
    return '\n\n'.join([title, *map(_check_list, content.checks)])


def origin(content: CardContent) -> str:
    """How the run was made: algorithm, publication, seeds, versions, settings."""

    recipe, sessions = content.view.run.recipe, content.view.run.sessions
    lines = [f'* Algorithm: `{content.settings.name}`. {content.method()}',
             f'* Seeds: {number_ranges(content.view.seeds)}']
    if source := recipe.get('source'):
        lines.insert(1, f'* Settings: {source}')
    lines.insert(-1, f'* {_training(recipe.get("training") or {})}')
    if sessions:
        last = sessions[-1]
        lines.append(f'* Versions: lth {last.get("lth")}, torch {last.get("torch")}, Python {last.get("python")}; '
                     f'device: {last.get("device")}')
    settings = [(name, value) for name, value in flat_settings(recipe).items()
                if name.startswith(_SECTIONS) and name not in _NOT_LISTED]
    rows = ((f'`{name}`', f'`{yaml_text.value_text(value)}`') for name, value in settings)
    table = _table(('setting', 'value'), rows)
    details = f'<details><summary>All settings</summary>\n\n{table}\n\n</details>'
    return '\n\n'.join(['## How it was found', '\n'.join(lines), details])


def usage(content: CardContent, location: CardLocation) -> str:
    """How to load the chosen round, without lth and with it."""

    run, row = content.view.run, content.chosen
    seed = row.results[0].seed
    folder = run.open_round(seed, row.number)
    files = folder.sums if folder.sums is not None else {path.name for path in folder.folder.iterdir()}
    loaded = LoadedRound(location.run, seed, row.number, set(files))
    download = f'\n\nDownload it with `hf download {location.repository} --local-dir .`.' if location.repository else ''
    pull = f'    lth pull {location.repository}\n\n' if location.repository else ''
    code = [name for name in user_code.code_names(run.recipe) if name]
    path = shlex.quote(location.path)
    note = '' if not code else f' It needs the code `{"`, `".join(code)}`, which is not part of these files.'
    if any(is_object(str(run.recipe[section]['name'])) for section in ('model', 'data')):
        note += (' Its model or data were Python objects, which lth.open_run needs again as its arguments `model` and '
                 '`data`.')
    return '\n\n'.join([
        '## Load it without lth',
        f'The files of round {row.source_number} of seed {seed} need only torch and safetensors.{download}',
        _code(loading.code_without_lth(loaded)),
        'Load `ticket` or `trained` into a module with these parameters by `model.load_state_dict(ticket)`.',
        '## Load it with lth', f'{pull}{_code(loading.code_with_lth(location.path, loaded, trust_code=bool(code)))}',
        f'`lth show run {path}` prints its results, and `lth evaluate {path}` measures them again.{note}'])


def citation(content: CardContent) -> str:
    """The papers of the algorithm and of the settings, and lth, as BibTeX."""

    recipe = content.view.run.recipe
    text = f'{content.method()} {recipe.get("source", "")}'
    if str(recipe['algorithm'].get('rewind') or '0').partition(' ')[0] != '0':
        text += ' Frankle et al. 2019'  # rewinding to an iteration after the first
    entries = [paper.bibtex() for paper in citations.cited_papers(text)]
    entries.append(citations.SOFTWARE.format(version=__version__))
    preprints = ''.join(f'\n\nhttps://arxiv.org/abs/{number}' for number in citations.cited_preprints(text))
    return f'## Citation{preprints}\n\n```bibtex\n' + '\n\n'.join(entries) + '\n```'


def _training(training: Raw) -> str:
    """How a round is trained, in one line."""

    optimizer, schedule = training.get('optimizer') or {}, training.get('schedule') or {}
    return (f'Training of a round: {training.get("length")}, batches of {training.get("batch_size")} images, '
            f'{optimizer.get("name")} with learning rate {optimizer.get("learning_rate")}, schedule '
            f'{schedule.get("name", "constant")}')


def _without_folder(content: CardContent, text: str) -> str:
    """A sentence in which runs are named without the folder that they lie in."""

    parent = str(content.view.run.folder.parent)
    return text if parent == '.' else text.replace(f'{parent}/', '')


def _round_table(content: CardContent) -> str:
    rows = ((str(row.source_number), f'{100 * row.density:.2f}', f'{row.kept:,}', words.percent(row.test_accuracy),
             with_margin(row.early_stop, ',.0f'), words.percent(row.early_stop_accuracy)) for row in content.rows)
    header = ('round', 'density %', 'weights', 'test accuracy', 'early stop', 'test accuracy there')
    note = ('± is the 95% confidence interval over seeds; the early stop is the iteration of the lowest validation '
            'loss.')
    return f'{_table(header, rows)}\n\n{note}'


def _check_list(report: StoredReport) -> str:
    lines = [f'* **{check.check}** {check.sentence}.' for check in report.checks]
    count = words.plural(len(report.seeds), 'seed')
    return '\n'.join([f'Round {report.round}, {count}:', '', *lines, f'* {report.dense.sentence}.'])


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ['---'] * len(header), *rows]
    return '\n'.join('| ' + ' | '.join(cell.replace('|', '\\|') for cell in line) + ' |' for line in lines)


def _code(text: str) -> str:
    return f'```python\n{text}\n```'
