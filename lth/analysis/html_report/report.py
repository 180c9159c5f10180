"""Write the page to a file."""
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lth.analysis.answers.levels import MARGIN
from lth.analysis.html_report import page
from lth.analysis.html_report.content import report_content
from lth.errors import LthError, quote
from lth.runs import integrity
from lth.runs.run_path import RunPath
from lth.system import files

_TYPES = ('.html', '.htm')


@dataclass(frozen=True)
class HtmlReport:
    """A page that was written: of which runs it is, which figures it has, and what is missing."""

    file: Path
    runs: Sequence[Path]
    figures: Sequence[str]
    notes: Sequence[str]


def write_report(paths: Sequence[RunPath], output: Path | None = None, margin: float = MARGIN) -> HtmlReport:
    """Write a page about the runs or seeds at these paths, by default to RUN/report.html, of several runs to
    ./report.html. LthError if plotly is not installed, if a run is damaged or has no completed round, or if the file
    cannot be written.
    """

    file = _default_file(paths) if output is None else output
    _refuse_wrong_name(file)
    plotly = _plotly_script()
    content = report_content(paths, margin)
    # Names of folders may have bytes that are not text.
    text = page.html_page(content, plotly).encode('utf-8', errors='replace')
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with files.open_atomically(file) as opened:
            opened.write(text)
    except OSError as error:
        raise files.output_error(file, error) from None
    names = [figure.name for _, figure_set in content.figures for figure in figure_set.contents]
    return HtmlReport(file, [run.folder for run in content.runs], list(dict.fromkeys(names)), content.notes())


def _default_file(paths: Sequence[RunPath]) -> Path:
    if len(paths) > 1:
        return Path('report.html')
    (path,) = paths
    return path.folder / ('report.html' if path.seed is None else f'report-seed-{path.seed}.html')


def _refuse_wrong_name(file: Path) -> None:
    if file.suffix.lower() not in _TYPES:
        raise LthError(f'The type of {quote(str(file))} is unknown. End the name with .html.')
    if file.is_dir():
        raise LthError(f'{quote(str(file))} is a folder. Give the name of a file.')
    if (file.parent / integrity.SUMS).exists():
        raise LthError(f'{file.parent} is a round of a run, whose files are complete. Choose another folder.')


def _plotly_script() -> str:
    """The script of plotly.js. LthError if plotly is not installed."""

    try:
        from plotly.offline import get_plotlyjs  # pylint: disable=import-outside-toplevel # an optional extra
    except ImportError:
        raise LthError("A report needs the package plotly. Install it with: pip install 'lth[report]'") from None
    return str(get_plotlyjs())
