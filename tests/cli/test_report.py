"""`lth report`: one page that contains all it needs, in which all text of users is text."""
import json
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

import lth as package
from lth.analysis.html_report.markup import data_element, element, text_element

pytestmark = pytest.mark.xdist_group('report')

# As the name of a run: a folder cannot have a slash.
MARKUP = '<script>alert(1)<!--"\'&<img src=x onerror=alert(2)>\x1b'


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text in each kind of element."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(file.read_text(encoding='utf-8'))
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ('meta', 'link'):
            self._open.append(tag)
            self.texts.setdefault(tag, []).append('')

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if self._open:
            self.texts[self._open[-1]][-1] += data

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)


@pytest.fixture(scope='module', name='run')
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two seeds with a control."""

    folder: Path = tmp_path_factory.mktemp('report') / 'a'
    package.find_ticket('lenet-300-100', 'digits', rounds=2, epochs=1, seeds=(0, 1), controls=['reinit'], run=folder)
    return folder


@pytest.fixture(autouse=True)
def _copies(lth, run) -> None:
    """The run `a` with its control, and an unfinished copy of it, in runs/."""

    for name in ('a', 'a-controls', 'unfinished'):
        shutil.copytree(run.with_name(name.replace('unfinished', 'a')), f'runs/{name}')
    shutil.rmtree('runs/unfinished/seed-0/round-02')


def test_the_page_has_verdicts_figures_tables_settings_sessions_and_commands_in_this_order(lth):
    result = lth('report', 'a')
    assert (result.code, result.out) == (0, 'Report: runs/a/report.html\n'), result.err
    page = Page(Path('runs/a/report.html'))
    assert page.texts['h2'] == ['Results', 'Figures', 'Tables', 'Settings', 'Environment', 'How to repeat']
    assert any('dense network' in text for text in page.texts['p'])
    assert {'Rounds', 'Each seed', 'Layers in round 2', 'All settings', 'Sessions'} <= set(page.texts['caption'])
    assert 'training.batch_size' in page.texts['td'] and page.texts['td'].count('reinit') == 6
    figures = [attributes['data-name'] for name, attributes in page.elements if name == 'figure']
    assert figures[0] == 'accuracy' and {'learning-curves', 'layers', 'mask-overlap'} <= set(figures)
    assert any('\nname: lenet-300-100' in text.replace('  ', '') for text in page.texts['code'])


def test_nothing_on_the_page_names_another_file_and_its_policy_forbids_requests(lth):
    lth('report', 'a')
    page = Page(Path('runs/a/report.html'))
    addresses = [(name, attributes[key]) for name, attributes in page.elements
                 for key in ('src', 'href', 'action', 'data', 'srcset') if attributes.get(key)]
    assert all(address.startswith('#') or address == 'data:,' for _, address in addresses) and addresses
    policies = [attributes['content'] for _, attributes in page.elements if 'http-equiv' in attributes]
    assert len(policies) == 1 and policies[0].startswith("default-src 'none';") and 'http' not in policies[0]
    scripts = page.texts['script']
    assert (len(scripts), sum('plotly.js v' in script[:200] for script in scripts)) == (3, 1)


def test_the_data_of_figures_are_those_of_lth_plot(lth):
    lth('report', 'a')
    (data,) = [text for text in Page(Path('runs/a/report.html')).texts['script'] if text.startswith('[')]
    plotted = json.loads(lth('plot', 'a', '--figure', 'accuracy', '--json').out)['figures'][0]['panels'][0]['series']
    drawn = [trace for trace in json.loads(data)[0][0]['traces'] if 'customdata' in trace]
    assert [trace['x'] for trace in drawn] == [[point['x'] for point in series['points']] for series in plotted]
    assert [trace['y'] for trace in drawn] == [[point['y'] for point in series['points']] for series in plotted]


def test_equal_runs_give_equal_files_and_several_runs_share_a_page(lth):
    assert lth('report', 'a', '-o', 'x/first.HTML').code == 0 and lth('report', 'a', '-o', 'second.htm').code == 0
    assert Path('x/first.HTML').read_bytes() == Path('second.htm').read_bytes()
    result = lth('report', 'a', 'unfinished', '--margin', '100')
    assert (result.code, result.out) == (0, 'Report: report.html\n')
    page = Page(Path('report.html'))
    assert page.count('article') == 2 and page.texts['caption'].count('Rounds') == 2
    assert page.texts['caption'].count('All settings') == 1 and 'matching' in page.texts['td']


def test_an_unfinished_run_is_shown_as_far_as_it_is_and_the_page_says_so(lth):
    result = lth('report', 'unfinished')
    assert result.code == 0 and 'Note: Seed 0 has 2 of 3 rounds.' in result.err
    assert 'Seed 0 has 2 of 3 rounds.' in Page(Path('runs/unfinished/report.html')).texts['li']
    assert lth('report', 'unfinished/seed-1').out == 'Report: runs/unfinished/report-seed-1.html\n'


def test_the_recipe_of_the_page_repeats_the_search(lth):
    search = ('find-gem', 'lenet-300-100', 'digits', '--sparsity', '20', '-e', '2', '--run', 'gem',
              '--set', 'algorithm.freeze_every=1 epochs')
    for command, name in ((search, 'gem'), (None, 'a')):
        assert command is None or lth(*command).code == 0
        lth('report', name, '-o', 'x.html')
        code = Page(Path('x.html')).texts['code']
        (again,) = [text for text in code if '--recipe recipe.yaml' in text]
        (recipe,) = [text for text in code if text.startswith('source:')]
        Path('recipe.yaml').write_text(recipe)
        planned = lth(*again.split()[1:], '--dry-run', '--json')
        assert planned.code == 0, planned.err
        stored = yaml.safe_load(Path(f'runs/{name}/recipe.yaml').read_text())
        assert {**json.loads(planned.out)['recipe'], 'source': None} == {**stored, 'source': None}


@pytest.mark.parametrize(('arguments', 'code', 'message'), [
    (('a', '-o', 'a.pdf'), 2, "The type of 'a.pdf' is unknown. End the name with .html."),
    (('a', '-o', 'folder.html'), 2, "'folder.html' is a folder. Give the name of a file."),
    (('a', '-o', 'file/a.html'), 3, "Cannot write 'file/a.html'"),
    (('a', '-o', 'runs/a/seed-0/round-00/a.html'), 2, 'runs/a/seed-0/round-00 is a round of a run'),
    (('a/seed-0/round-01',), 2, 'runs/a/seed-0/round-01 is a round, and a report is about all rounds of a run'),
    (('a', 'a'), 2, 'is given twice'),
    (('a', '--margin', '-1'), 2, '--margin'),
    (('b',), 2, "'b' is not a run")])
def test_wrong_arguments_and_outputs_are_refused_and_nothing_is_written(lth, arguments, code, message):
    Path('folder.html').mkdir()
    Path('file').touch()
    before = sorted(Path().rglob('*'))
    result = lth('report', *arguments)
    assert result.code == code and message in result.err and sorted(Path().rglob('*')) == before


def test_without_plotly_the_error_names_the_extra(lth, monkeypatch):
    monkeypatch.setitem(sys.modules, 'plotly.offline', None)
    result = lth('report', 'a')
    assert result.code == 2 and "pip install 'lth[report]'" in result.err and not Path('runs/a/report.html').exists()


def test_markup_in_names_and_settings_is_text(lth):
    folder = Path('runs', MARKUP)
    shutil.move('runs/unfinished', folder)
    assert lth('report', str(folder), 'a', '-o', 'x.html').code == 0
    page = Page(Path('x.html'))
    assert page.count('script') == 3 and page.count('img') == 0
    shown = MARKUP.replace('\x1b', '\\x1b')
    assert any(shown in text for text in page.texts['dd']) and not any('onerror' in dict(a) for _, a in page.elements)
    assert '\x1b' not in Path('x.html').read_text()


def test_the_report_of_the_python_api_is_that_of_the_command(lth):
    run = package.open_run('runs/a')
    assert run.report() == Path('runs/a/report.html')
    written = run.report('api.html', margin=0.01)
    lth('report', 'a', '-o', 'command.html', '--margin', '1')
    assert written.read_bytes() == Path('command.html').read_bytes()


def test_elements_escape_text_and_attributes_and_data_cannot_end_a_script():
    assert text_element('p', '<b> & "x"', class_='a"b') == '<p class="a&quot;b">&lt;b&gt; &amp; &quot;x&quot;</p>'
    assert element('meta', name='x') == '<meta name="x">'
    data = data_element('d', ['</script><!--'])
    assert data.count('<') == 2 and json.loads(data.split('>', 1)[1].rsplit('<', 1)[0]) == ['</script><!--']


def test_the_stability_of_the_present_tickets_is_a_table(lth, run):
    measured = package.stability('runs/a', rounds=[1], points=3).pairs
    text = Page(Path(lth('report', 'a', '-o', 'page.html').out.removeprefix('Report: ').strip()))
    assert 'Stability' in text.texts['caption']
    barriers = [errors.barrier for _, errors in measured]
    assert any(cell.startswith(f'{100 * sum(barriers) / 2:.2f} ±') for cell in text.texts['td'])
    del run


def test_barriers_between_rounds_and_curvature_are_tables_and_damaged_files_of_them_are_refused(lth, run):
    barriers = package.round_barriers('runs/a', points=3).table.rows
    curvature = package.curvature('runs/a', images=20).rows
    page = Page(Path(lth('report', 'a', '-o', 'page.html').out.removeprefix('Report: ').strip()))
    assert {'Barriers between rounds', 'Curvature'} <= set(page.texts['caption'])
    shown = [(100 * row.barrier.mean, row.barrier.margin) for row in barriers]
    assert len(shown) == 2 and all(f'{mean:+.2f} ± {100 * margin:.2f}'.replace('-', '−') in page.texts['td']
                                   for mean, margin in shown)
    assert all(f'{row.eigenvalue.mean:,.2f} ± {row.eigenvalue.margin:,.2f}' in page.texts['td'] for row in curvature)
    (file, *_) = sorted(Path('runs/a-stability').glob('curvature-*.json'))
    file.write_text(file.read_text().replace('"round": 0', '"round": 1'))
    result = lth('report', 'a', '-o', 'other.html')
    assert result.code in (2, 3) and file.name in result.err and not Path('other.html').exists()
    del run
