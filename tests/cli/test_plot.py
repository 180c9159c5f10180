"""`lth plot`: which files it writes, what it notes, and what it refuses."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lth as package
from lth.analysis.plotting.runs import PlottedRun


@pytest.fixture(scope='module', name='run')
def _run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one seed."""

    folder: Path = tmp_path_factory.mktemp('plot') / 'a'
    package.find_ticket('lenet-300-100', 'digits', rounds=2, epochs=1, run=folder)
    return folder


@pytest.fixture(autouse=True)
def _copies(lth, run) -> None:
    """The run `a`, and an unfinished copy of it, in runs/."""

    shutil.copytree(run, 'runs/a')
    shutil.copytree(run, 'runs/unfinished')
    shutil.rmtree('runs/unfinished/seed-0/round-02')


def test_without_options_all_figures_with_data_are_in_the_run_folder_and_the_others_are_noted(lth):
    result = lth('plot', 'a')
    assert result.code == 0, result.err
    written = {path.name for path in Path('runs/a/figures').iterdir()}
    assert written == {'accuracy.png', 'layers.png', 'learning-curves.png', 'operations.png', 'sign-flips.png'}
    assert 'there is no figure mask-overlap: it has one seed' in result.err
    assert result.out.splitlines()[0] == 'Figure: runs/a/figures/accuracy.png'


def test_an_unfinished_run_is_drawn_as_far_as_it_is_and_the_note_is_in_the_figure(lth):
    result = lth('plot', 'unfinished', '--figure', 'accuracy', '-o', 'a.svg')
    assert result.code == 0 and 'Note: Seed 0 has 2 of 3 rounds.' in result.err
    assert 'Seed 0 has 2 of 3 rounds.' in Path('a.svg').read_text()


def test_a_pdf_holds_several_figures_and_a_folder_one_file_for_each(lth):
    names = ('--figure', 'accuracy,layers')
    assert lth('plot', 'a', *names, '-o', 'all.pdf', '--style', 'paper').out == 'Figure: all.pdf\n'
    assert Path('all.pdf').read_bytes().count(b'/Type /Page ') == 2
    assert lth('plot', 'a', 'unfinished', *names, '--format', 'svg').code == 0
    assert {path.name for path in Path('figures').iterdir()} == {'accuracy.svg', 'layers.svg'}


@pytest.mark.parametrize(('arguments', 'message'), [
    (('a', '--figure', 'acuracy'), "Unknown figure 'acuracy', did you mean 'accuracy'?"),
    (('a', '--figure', ''), "Unknown figure ''"),
    (('a', '--figure', 'gems'), 'There is no figure gems of runs/a: it does not search for gems.'),
    (('a', '-o', 'a.jpg'), "The type of 'a.jpg' is unknown. End the name with .png, .svg or .pdf."),
    (('a', '-o', 'a.png'), "'a.png' can hold one figure, but there are 5"),
    (('a', '-o', 'a.png', '--format', 'svg'), "'a.png' is not a .svg file"),
    (('a', '-o', 'runs/a/seed-0/round-00/a.png', '--figure', 'accuracy'), 'is a round of a run'),
    (('a', '--style', 'papr'), "Unknown style 'papr', did you mean 'paper'?"),
    (('a', '--rounds', '0,9', '--figure', 'layers'), '--rounds: runs/a has no round 9 yet; its rounds are 0, 1, 2'),
    (('a', 'runs/a'), 'runs/a is given twice. Give each run once.'),
    (('a/seed-0/round-01',), 'is a round, and figures show all rounds of a run. Give runs/a'),
    (('nope',), "'nope' is not a run.")])
def test_a_mistake_is_explained_before_anything_is_written(lth, arguments, message):
    result = lth('plot', *arguments)
    assert result.code == 2 and message in result.err and not Path('runs/a/figures').exists()


def test_runs_on_other_data_are_not_compared_and_the_reason_is_given(lth, monkeypatch):
    monkeypatch.setattr(PlottedRun, 'dataset', property(lambda run: {'a': 'digits'}.get(run.label, 'mnist')))
    result = lth('plot', 'a', 'unfinished')
    assert result.code == 2 and 'runs/unfinished cannot be compared with runs/a: it was tested on mnist' in result.err


def test_a_folder_that_cannot_be_written_is_a_failure_of_the_environment(lth):
    Path('file').write_text('')
    result = lth('plot', 'a', '--figure', 'accuracy', '-o', 'file/a.png')
    assert result.code == 3 and 'Cannot write file' in result.err


@pytest.mark.slow
def test_no_display_is_needed_and_the_users_matplotlib_settings_do_not_matter(lth):
    assert lth('plot', 'a', '--figure', 'accuracy', '-o', 'first.png').code == 0
    Path('matplotlibrc').write_text('backend: TkAgg\nlines.linewidth: 20\nfont.size: 40\n')
    done = subprocess.run([sys.executable, '-m', 'lth', 'plot', 'a', '--figure', 'accuracy', '-o', 'second.png'],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path('first.png').read_bytes() == Path('second.png').read_bytes()


@pytest.mark.slow
def test_an_unknown_backend_in_the_environment_is_named(lth):
    done = subprocess.run([sys.executable, '-m', 'lth', 'plot', 'a', '--figure', 'accuracy'], capture_output=True,
                          text=True, check=False, env=os.environ | {'MPLBACKEND': 'nonsense'})
    assert done.returncode == 2 and 'MPLBACKEND' in done.stderr and 'Traceback' not in done.stderr
