"""The page as HTML: verdicts, figures, tables, settings, environment, and how to repeat the runs.

Its style is page.css, its script page.js; both and plotly's script are parts of the page, and a content security policy
forbids every request.
"""
import itertools
from collections.abc import Iterable, Iterator, Sequence
from importlib import resources

import lth
from lth.analysis.html_report.cells import Cell, Table
from lth.analysis.html_report.content import ReportContent, RunContent
from lth.analysis.html_report.markup import Markup, data_element, element, escape, text_element
from lth.analysis.html_report.plotly_panels import plotly_panels
from lth.analysis.plotting.series import FigureData, Panel, Series

# Nothing but what is in the page: its scripts, its style, and images that its scripts draw.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_SYMBOLS = {'circle': '●', 'square': '■', 'triangle': '▲', 'diamond': '◆', 'cross': '✖', 'plus': '✚', 'none': ''}
_SECTIONS = {'results': 'Results', 'figures': 'Figures', 'tables': 'Tables', 'settings': 'Settings',
             'environment': 'Environment', 'repeat': 'How to repeat'}
# Tables with more rows are folded.
_MANY_ROWS = 40
# The dashes in plotly_panels.py, as SVG writes them.
_REFERENCE_SAMPLES = ('1.5 3', '6 3 1.5 3')
# Characters of a cell whose lines are not broken.
_SHORT = 30
_NO_ANSWER = 'There is nothing to compare: the run has no dense network in its round 0, or no other round.'


def html_page(content: ReportContent, plotly: str) -> str:
    """The whole page; `plotly` is the script of plotly.js."""

    head = element(
        'head', element('meta', charset='utf-8'),
        element('meta', http_equiv='Content-Security-Policy', content=_POLICY),
        element('meta', name='viewport', content='width=device-width, initial-scale=1'),
        element('meta', name='color-scheme', content='light dark'),
        element('meta', name='generator', content=f'lth {lth.__version__}'),
        # Without it, a browser asks a server for an icon.
        element('link', rel='icon', href='data:,'),
        text_element('title', f'{content.title} · lth report'), element('style', _file('page.css')))
    figures = [figure for _, figure_set in content.figures for figure in figure_set.contents]
    body = element(
        'body', _header(content), element('main', *_sections(content)), _footer(),
        data_element('figures-data', [plotly_panels(figure) for figure in figures]),
        element('script', Markup(plotly)), element('script', _file('page.js')))
    return f'<!DOCTYPE html>\n{element("html", head, body, lang="en")}\n'


def _file(name: str) -> Markup:
    return Markup(resources.files(__package__).joinpath(name).read_text(encoding='utf-8'))


def _header(content: ReportContent) -> Markup:
    links = [element('a', escape(title), href=f'#{name}') for name, title in _SECTIONS.items()]
    return element('header', text_element('h1', content.title), element('nav', *links, aria_label='Sections'))


def _footer() -> Markup:
    return element('footer', text_element(
        'p', f'Made by lth {lth.__version__} from the files of the runs. This page loads nothing from elsewhere.'))


def _sections(content: ReportContent) -> Iterator[Markup]:
    bodies = {'results': _results(content), 'figures': _figures(content), 'tables': _tables(content),
              'settings': _settings(content), 'environment': _environment(content), 'repeat': _repeat(content)}
    for name, body in bodies.items():
        yield element('section', text_element('h2', _SECTIONS[name]), *body, id=name)


def _results(content: ReportContent) -> Iterator[Markup]:
    notes = content.notes()
    if notes:
        yield element('div', text_element('h3', 'Not complete, or left out'), _list(notes), class_='note')
    for run in content.runs:
        yield element('article', text_element('h3', run.label), _result_text(run), _facts(run.facts), class_='card')


def _result_text(run: RunContent) -> Markup:
    """The answer of a run and the verdicts of its sanity checks."""

    sentences = list(run.answer.sentences)
    paragraphs = [text_element('p', sentence, class_='verdict' if number == 0 else 'finding')
                  for number, sentence in enumerate(sentences)]
    if not sentences:
        paragraphs = [text_element('p', _NO_ANSWER, class_='finding')]
    for report in run.checks:
        checks = [check.sentence for check in [*report.checks, report.dense]]
        paragraphs += [text_element('p', f'Sanity checks of round {report.round}:', class_='finding'), _list(checks)]
    return Markup(''.join(paragraphs))


def _figures(content: ReportContent) -> Iterator[Markup]:
    yield text_element(
        'p', 'Point at a line for its values, drag to zoom, double-click to zoom out. Labels below a figure show and '
             'hide what they name.', class_='hint screen')
    yield element('noscript', text_element('p', 'Figures need JavaScript. The tables below have the numbers.'))
    number = 0
    for dataset, figure_set in content.figures:
        if len(content.figures) > 1:
            yield text_element('h3', f'Runs on {dataset}')
        for figure in figure_set.contents:
            yield _figure(figure, number, content.title)
            number += 1
        if figure_set.left_out:
            reasons = [f'{name}: {reason}' for name, reason in figure_set.left_out.items()]
            yield element('div', text_element('p', 'Figures that these runs have no data for:'), _list(reasons),
                          class_='hint')


def _figure(figure: FigureData, number: int, page_title: str) -> Markup:
    heading = figure.name.replace('-', ' ').capitalize()
    if figure.title != page_title:
        heading = f'{heading}: {figure.title}'
    panels = [_panel(panel, figure, f'{number}-{place}') for place, panel in enumerate(figure.panels)]
    caption = [text_element('p', text) for text in (_sentence(figure.caption), *figure.notes) if text]
    return element(
        'figure', text_element('h3', heading),
        element('div', *panels, class_='panels'), _legend(figure), element('figcaption', *caption),
        id=f'figure-{number}', data_name=figure.name)


def _sentence(text: str) -> str:
    return f'{text[:1].upper()}{text[1:]}.' if text else ''


def _panel(panel: Panel, figure: FigureData, place: str) -> Markup:
    title = [text_element('h4', panel.title)] if panel.title else []
    label = f'{figure.name}: {panel.y.label} against {panel.x.label}'
    return element(
        'div', *title, text_element('p', panel.y.label, class_='axis'),
        element('div', class_='plot', data_plot=place, role='img', aria_label=label),
        text_element('p', panel.x.label, class_='axis x'), class_='panel')


def _legend(figure: FigureData) -> Markup:
    """A button for each label, which hides and shows its series in all panels; lines to compare with have no button."""

    series = {one.label: one for panel in figure.panels for one in panel.series}
    lines = {line.label: dashes for panel in figure.panels
             for line, dashes in zip(panel.references, itertools.cycle(_REFERENCE_SAMPLES), strict=False)}
    entries = [_legend_button(one) for label, one in series.items() if label]
    entries += [element('span', _sample('', dashes), escape(label), class_='reference')
                for label, dashes in lines.items() if label]
    return element('div', *entries, class_='legend') if len(entries) > 1 else Markup('')


def _legend_button(series: Series) -> Markup:
    dashes = {'points': '0 28', 'line': '5 3' if series.dashed else 'none', 'steps': 'none'}
    sample = _sample(_SYMBOLS[series.marker], dashes[series.kind], color=series.color)
    return element('button', sample, escape(series.label), type='button', aria_pressed='true', data_label=series.label)


def _sample(symbol: str, dashes: str, **data: str) -> Markup:
    """A short line with a marker, as the series is drawn."""

    color = {f'data_{key}': value for key, value in data.items()}
    line = element('line', x1='0', x2='28', y1='7', y2='7', stroke='currentColor', stroke_width='2',
                   stroke_dasharray=dashes)
    mark = element('text', escape(symbol), x='14', y='11', text_anchor='middle', fill='currentColor')
    return element('svg', line, mark, width='28', height='14', aria_hidden='true', class_='sample', **color)


def _tables(content: ReportContent) -> Iterator[Markup]:
    yield text_element('p', 'The headings of columns sort the rows.', class_='hint screen')
    for run in content.runs:
        if len(content.runs) > 1:
            yield text_element('h3', run.label)
        yield from map(_table, run.tables)


def _settings(content: ReportContent) -> Iterator[Markup]:
    yield _table(content.settings)


def _environment(content: ReportContent) -> Iterator[Markup]:
    for run in content.runs:
        if len(content.runs) > 1:
            yield text_element('h3', run.label)
        yield _table(run.origin.sessions)
        yield _details('All facts of the last session', _facts(run.origin.environment))


def _repeat(content: ReportContent) -> Iterator[Markup]:
    for run in content.runs:
        if len(content.runs) > 1:
            yield text_element('h3', run.label)
        origin = run.origin
        if origin.commands:
            yield from _code('The commands that made these results, in their order:', origin.commands)
        else:
            yield text_element('p', 'A program made these results with the Python API, or their commands were not '
                                    'recorded.')
        if origin.packages:
            yield from _code('The packages of the last session:', [f'pip install {" ".join(origin.packages)}'])
        if origin.recipe_command:
            yield from _code('The same settings in one file: save the recipe below as recipe.yaml, then run:',
                             [origin.recipe_command])
        yield _details('Recipe', element('pre', text_element('code', origin.recipe)))
        if run.answer.next_commands:
            yield from _code('What to run next:', run.answer.next_commands)


def _code(text: str, lines: Sequence[str]) -> list[Markup]:
    return [text_element('p', text), element('pre', text_element('code', '\n'.join(lines)))]


def _table(table: Table) -> Markup:
    """A table with buttons that sort it, in a box that scrolls. A long one is folded."""

    headings = [_heading(text, [row[place] for row in table.rows]) for place, text in enumerate(table.headings)]
    rows = [element('tr', *map(_cell, row)) for row in table.rows]
    scrolled = element(
        'div', element('table', text_element('caption', table.caption), element('thead', element('tr', *headings)),
                       element('tbody', *rows)),
        class_='scroll', tabindex='0', role='region', aria_label=table.caption)
    note = [text_element('p', table.explanation, class_='hint')] if table.explanation else []
    if len(rows) <= _MANY_ROWS:
        return element('div', scrolled, *note, class_='table')
    return _details(f'{table.caption} ({len(rows)} rows)', element('div', scrolled, *note, class_='table'))


def _heading(text: str, column: Sequence[Cell]) -> Markup:
    """The heading of a column, aligned like its cells."""

    is_number = any(cell.key is not None for cell in column)
    return element('th', text_element('button', text, type='button'), scope='col', class_='number' if is_number else '')


def _cell(cell: Cell) -> Markup:
    if cell.key is None:
        return text_element('td', cell.text, **({'class_': 'short'} if len(cell.text) <= _SHORT else {}))
    return text_element('td', cell.text, data_key=repr(cell.key), class_='number')


def _details(title: str, *body: Markup) -> Markup:
    return element('details', text_element('summary', title), *body)


def _facts(facts: Iterable[tuple[str, str]]) -> Markup:
    pairs = (part for name, value in facts for part in (text_element('dt', name), text_element('dd', value)))
    return element('dl', *pairs)


def _list(texts: Iterable[str]) -> Markup:
    return element('ul', *(text_element('li', text) for text in texts))
