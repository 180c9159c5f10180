"""Write the model card of a run: README.md in the form of the Hugging Face Hub, and its figure next to it.

    card = write_card(RunPath(Path('runs/lenet-300-100-digits')))
    print(card.file, card.figure, card.notes)
"""
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from lth.analysis.answers.levels import MARGIN
from lth.analysis.figures import FIGURES
from lth.analysis.model_card import sections
from lth.analysis.model_card.content import CardContent, card_content
from lth.analysis.model_card.metadata import metadata
from lth.analysis.model_card.sections import CardLocation
from lth.analysis.plotting.plot import Plot, plots
from lth.analysis.plotting.registry import FigureRequest
from lth.analysis.plotting.runs import open_runs
from lth.analysis.plotting.series import NoData
from lth.errors import LthError, quote
from lth.runs import integrity
from lth.runs.run_path import RunPath
from lth.system import files, yaml_text

CARD = 'README.md'
_FIGURES = ('accuracy', 'gems')
# As the Hub writes them, such as apache-2.0 and cc-by-4.0.
_LICENSE = re.compile(r'(?=.*[a-z])[a-z0-9][a-z0-9.+-]{0,63}', re.ASCII)
_NO_LICENSE = 'the card names no license: choose one with --license, such as --license mit'


@dataclass(frozen=True)
class ModelCard:
    """A card that was written: its run, its file, that of its figure (None if there are no data for one), and what is
    missing.
    """

    run: Path
    file: Path
    figure: Path | None
    notes: tuple[str, ...]


def write_card(
        path: RunPath, output: Path | None = None, *, license_: str | None = None, margin: float = MARGIN,
        location: CardLocation | None = None) -> ModelCard:
    """Write the card of the run at a path, by default to RUN/README.md, and its figure next to it. The figure of a card
    that is replaced is replaced too. LthError if the run has no completed round or is damaged, or if a file cannot be
    written.
    """

    file = path.folder / CARD if output is None else output
    _check_arguments(path, file, license_)
    content = card_content(path, margin)
    drawn, notes = _figure(path), [] if license_ else [_NO_LICENSE]
    notes += [*content.notes, *([] if drawn else ['there are no data for a figure'])]
    if not content.checks:
        notes.append(f'no sanity checks were run: lth sanity-check {shlex.quote(content.name)} --round '
                     f'{content.chosen.source_number}')
    figure = file.with_name(f'{file.stem}-accuracy.png') if drawn else None
    text = card_text(content, figure, license_, location or CardLocation('', content.name))
    _write(file, text, figure, drawn)
    return ModelCard(path.folder, file, figure, tuple(note.rstrip('.') for note in notes))


def card_text(content: CardContent, figure: Path | None, license_: str | None, location: CardLocation) -> str:
    """The text of the file: the metadata, then the sections."""

    header = yaml_text.dump_yaml(metadata(content, license_))
    parts = [sections.introduction(content), sections.results(content, figure.name if figure else None),
             sections.sanity_checks(content), sections.origin(content), sections.usage(content, location),
             sections.citation(content)]
    return f'---\n{header}---\n\n' + '\n\n'.join(parts) + '\n'


def check_license(license_: str | None) -> None:
    """LthError unless this is None or could be the identifier of a license on the Hub."""

    if license_ is not None and not _LICENSE.fullmatch(license_):
        raise LthError(f'--license: {quote(license_)} is not an identifier of a license. The Hub uses identifiers such '
                       'as mit, apache-2.0 and cc-by-4.0; see https://hf.co/docs/hub/repositories-licenses.')


def _check_arguments(path: RunPath, file: Path, license_: str | None) -> None:
    if path.seed is not None:
        raise LthError(f'{path.folder}/seed-{path.seed} is a part of a run, and a card is about a whole run. Give '
                       f'{path.folder}.')
    check_license(license_)
    if file.suffix.lower() != '.md':
        raise LthError(f'The type of {quote(str(file))} is unknown. End the name with .md.')
    if file.is_dir():
        raise LthError(f'{quote(str(file))} is a folder. Give the name of a file.')
    if (file.parent / integrity.SUMS).exists():
        raise LthError(f'{file.parent} is a round of a run, whose files are complete. Choose another folder.')


def _figure(path: RunPath) -> Plot | None:
    """The figure of the card, None if there are no data for one."""

    request = FigureRequest(open_runs([path]), None)
    for name in _FIGURES:
        figure = FIGURES.find(name)(request)
        if not isinstance(figure, NoData):
            return plots([figure])[0]
    return None


def _write(file: Path, text: str, figure: Path | None, drawn: Plot | None) -> None:
    if figure and drawn:
        drawn.save(figure)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with files.open_atomically(file) as opened:
            # Names of folders may have bytes that are not text.
            opened.write(text.encode('utf-8', errors='replace'))
    except OSError as error:
        raise files.output_error(file, error) from None
