"""`lth sweep`: the cells of a grid, what is refused before they start, and what happens when one of them fails."""
import json
import os
import shutil
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest

import lth as package
from lth.cli.sweep import _rounds
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments import seed_training
from lth.experiments.executors import local
from lth.runs import checked_json, sweep_file
from lth.system import worker_pool
from lth.system.pool_worker import JobEnd

GRID = '''
command: find-ticket lenet-300-100 digits -i 1 --device cpu
seeds: {seeds}
folder: runs/rates
grid:
  algorithm.rates: {rates}
zip:
  training.batch_size: {batches}
  training.length: ['1 epochs', '2 epochs']
'''
NAMES = ['rates=0.1,batch_size=60,length=1-epochs', 'rates=0.1,batch_size=120,length=2-epochs',
         'rates=0.2,batch_size=60,length=1-epochs', 'rates=0.2,batch_size=120,length=2-epochs']


def write_grid(**values: object) -> str:
    """The name of a grid file with these values."""

    chosen = {'seeds': 0, 'rates': [0.1, 0.2], 'batches': [60, 120]} | values
    Path('grid.yaml').write_text(GRID.format(**chosen), encoding='utf-8')
    return 'grid.yaml'


def write_text(text: str) -> str:
    """The name of a grid file with this content."""

    Path('grid.yaml').write_text(text, encoding='utf-8')
    return 'grid.yaml'


def files(folder: Path) -> dict[str, bytes]:
    """The files of rounds and recipes in a folder."""

    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob('*'))
            if path.is_file() and ('round-' in str(path) or path.name == 'recipe.yaml')}


def states() -> dict[str, str]:
    """The states of the cells in sweep.json."""

    return {record.cell: record.state for record in sweep_file.read_sweep(Path('runs/rates'))}


def fail_if(monkeypatch: pytest.MonkeyPatch, condition, error: Exception) -> None:
    """Let the training of tasks for which the condition holds fail."""

    def train(recipe, *others):
        if condition(recipe):
            raise error
        seed_training.train_in_worker(recipe, *others)
    monkeypatch.setattr(local, 'train_in_worker', train)


def test_a_dry_run_prints_the_cells_their_number_and_the_time_and_writes_nothing(lth):
    result = lth('sweep', 'run', write_grid(), '--dry-run')
    assert result.code == 0 and all(name in result.out for name in NAMES)
    assert '4 cells, 4 not complete' in result.out and 'on one core' in result.out
    assert not Path('runs').exists()
    printed = json.loads(lth('sweep', 'run', 'grid.yaml', '--dry-run', '--json').out)

    # Of 1,437 training images 143 are for validation; there are two rounds.
    assert [cell['iterations'] for cell in printed['cells'][:2]] == [2 * (1294 // 60), 2 * 2 * (1294 // 120)]
    assert printed['core_seconds'] >= printed['seconds'] > 0


def test_the_run_of_a_cell_equals_the_run_of_its_command(lth):
    result = lth('sweep', 'run', write_grid(), '--json')
    assert result.code == 0, result.err
    printed = json.loads(result.out)
    assert [cell['cell'] for cell in printed['cells']] == NAMES and printed['complete'] == 4
    assert lth('find-ticket', 'lenet-300-100', 'digits', '-i', '1', '--device', 'cpu', '--run', 'alone', '--set',
               'algorithm.rates=0.2', '-b', '60', '-e', '1').code == 0
    alone, cell = files(Path('runs/alone')), files(Path('runs/rates') / NAMES[2])
    assert alone == cell and len(cell) > 10
    for command in (('compare', 'rates'), ('plot', 'rates', '--figure', 'accuracy', '-o', 'figures'),
                    ('export-metrics', 'runs/rates', '-o', 'm.csv')):
        shown = lth(*command, '--json')
        assert shown.code == 0 and all(name in shown.out for name in (NAMES if command[0] != 'plot' else ())), shown.err


def test_the_same_command_completes_what_is_missing_and_trains_nothing_twice(lth, monkeypatch):
    assert lth('sweep', 'run', write_grid(rates=[0.1])).code == 0
    before = {path: path.stat().st_mtime_ns for path in Path('runs/rates').rglob('round.json')}
    shutil.rmtree(Path('runs/rates') / NAMES[1] / 'seed-0' / 'round-01')
    status = json.loads(lth('sweep', 'status', 'rates', '--json').out)
    assert [cell['state'] for cell in status['cells']] == ['complete', 'pending']
    assert [cell['rounds'] for cell in status['cells']] == [[2], [1]]
    assert lth('sweep', 'run', write_grid(rates=[0.1, 0.2])).code == 0
    assert states() == dict.fromkeys(NAMES, 'complete')
    assert sum(path.stat().st_mtime_ns == time for path, time in before.items()) == 3
    monkeypatch.setattr(local, 'train_in_worker', None)  # calling it would fail
    assert lth('sweep', 'run', 'grid.yaml').code == 0
    planned = lth('sweep', 'run', 'grid.yaml', '--dry-run').out
    assert '4 cells, 0 not complete' in planned and 'on one core' not in planned


def test_completed_rounds_are_counted_before_a_session_recorded_how_many_are_planned():
    record = SimpleNamespace(seeds=[0, 1])
    for planned, shown in ((None, '4'), (3, '4/6')):
        cell = SimpleNamespace(record=record, run=SimpleNamespace(rounds=[3, 1], planned=planned))
        assert _rounds(cell) == shown


def test_a_cell_that_fails_is_listed_with_its_reason_and_trained_again_only_with_retry(lth, monkeypatch):
    memory = LthError('The worker process of seed 0 was killed by signal 9; probably memory ran out.',
                      exit_code=ENVIRONMENT_ERROR)
    with monkeypatch.context() as patched:
        fail_if(patched, lambda recipe: recipe['training']['batch_size'] == 120, memory)
        result = lth('sweep', 'run', write_grid(rates=[0.1]))
    assert result.code == 1 and 'probably memory ran out' in result.out and '--retry' in result.out
    assert states() == {NAMES[0]: 'complete', NAMES[1]: 'failed'}
    again = lth('sweep', 'run', 'grid.yaml', '--json')
    assert again.code == 1 and json.loads(again.out)['cells'][1]['reason'] == str(memory)
    assert not (Path('runs/rates') / NAMES[1] / 'recipe.yaml').exists()
    assert lth('sweep', 'run', 'grid.yaml', '--retry').code == 0
    assert set(states().values()) == {'complete'}


def test_a_bug_in_one_cell_does_not_stop_the_others(lth, monkeypatch):
    jobs = worker_pool.WorkerPool.events

    def events(pool):
        for key, event in jobs(pool):
            bug = isinstance(event, JobEnd) and key.recipe['training']['batch_size'] == 60
            yield key, JobEnd(RuntimeError('it is broken')) if bug else event
    monkeypatch.setattr(worker_pool.WorkerPool, 'events', events)
    assert lth('sweep', 'run', write_grid(rates=[0.1])).code == 1
    assert states() == {NAMES[0]: 'failed', NAMES[1]: 'complete'}
    assert sweep_file.read_sweep(Path('runs/rates'))[0].reason == 'A bug of lth: it is broken.'


@pytest.mark.slow
def test_controls_of_a_cell_are_trained_after_its_tickets(lth):
    text = 'command: find-ticket lenet-300-100 digits -i 1 -e 1 --controls reinit\nfolder: s\nseeds: 0-1\n'
    assert lth('sweep', 'run', write_text(text + 'grid: {algorithm.rates: [0.5]}')).code == 0
    assert lth('show', 'run', 'runs/s/rates=0.5').code == 0
    assert Path('runs/s/rates=0.5-controls/reinit/seed-1/round-01/round.json').exists()


@pytest.mark.slow
def test_tickets_are_finetuned_by_a_sweep(lth):
    package.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=1, run='runs/base')
    text = 'command: lth finetune base -e 2\nfolder: s\ngrid: {training.optimizer.learning_rate: [0.01, 0.001]}\n'
    assert lth('sweep', 'run', write_text(text)).code == 0
    assert len(list(Path('runs/s').glob('*/seed-0/round-00'))) == 2
    assert 'Leave out `seeds`' in lth('sweep', 'run', write_text(text + 'seeds: 0-1\n')).err


@pytest.mark.parametrize(('change', 'says'), [
    ({'rates': '[0.1, 0.10]'}, 'The cells rates=0.1,batch_size=60,length=1-epochs'),
    ({'rates': '[0.1, much]'}, 'Cell rates=much,batch_size=60,length=1-epochs: '),
    ({'batches': '[60, 0]'}, 'Cell rates=0.1,batch_size=0,length=2-epochs: '),
    ({'batches': '[60]'}, 'they need the same number of values: training.batch_size has 1, training.length has 2'),
    ({'rates': '[]'}, 'grid: algorithm.rates: '),
    ({'rates': '0.1'}, 'grid: algorithm.rates: it should be a list'),
    ({'seeds': 'x'}, "Cell rates=0.1,batch_size=60,length=1-epochs: --seeds: 'x' is not a list of numbers")])
def test_a_wrong_value_in_a_grid_is_refused_before_anything_starts(lth, change, says):
    result = lth('sweep', 'run', write_grid(**change))
    assert result.code == 2 and says in result.err, result.err
    assert not Path('runs').exists()


def test_the_data_folder_of_a_sweep_is_given_once(lth):
    text = 'command: find-ticket lenet-300-100 digits --data-dir a\nfolder: s\ngrid: {algorithm.rates: [0.1]}\n'
    result = lth('sweep', 'run', write_text(text), '--data-dir', 'b')
    assert result.code == 2 and '--data-dir is an option of lth sweep run and of the command' in result.err


@pytest.mark.parametrize(('text', 'says'), [
    ('grid: {training.optimiser.lr: [1]}', "options: training: unknown key 'optimiser', did you mean 'optimizer'?"),
    ('grid: {training.optimiser.lr: [1]}', 'Cell lr=1: '),
    ('grid: {training.batch_size: [1]}\nzip: {training.batch_size: [1]}', 'is in grid and in zip'),
    ('matrix: {a: [1]}', "unknown key 'matrix'"),
    ('grid: {model.name: [conv-2]}', 'Cell name=conv-2: model.name: the model is the first argument'),
    ('command: find-ticket lenet-300-100 digits --run x', '--run cannot be given here'),
    ('command: find-ticket lenet-300-100 digits --executor=ray', 'the executor is an option of lth sweep run'),
    ('command: find-ticket lenet-300-100 digits --sets a', "Cell all: There is no option '--sets'"),
    ('command: find-ticket lenet-300-100', 'Cell all: DATASET is missing'),
    ('command: find-ticket "lenet', 'Close its quotes'),
    ('command: evaluate base', "'evaluate' is not a command that can be swept"),
    ('command: ""', 'command is empty'),
    ('command: find-ticket --help', '--help cannot be given here'),
    ('command: find-ticket lenet-300-100 digits -i 1 --set', 'Cell all: --set: the value is missing'),
    ('command: find-ticket -- lenet-300-100 digit', "Cell all: Unknown data set 'digit'"),
    ('grid: {training.length: ["1 \U0001F600"]}', 'Cell length=1-: '),
    ('grid: {training.optimizer.learning_rate: [.nan]}', 'it should be a finite number; it is nan'),
    ('zip: {training.batch_size: [1, 2], training.length: [1]}', 'grid.yaml: zip: its lists are taken together'),
    ('zip: {training.batch_size: []}', 'training.batch_size: it should not be empty; it is []'),
    ('seeds: [0, 1]', 'seeds: it should be one number, or numbers and ranges such as 0-4 or 0,2,7; it is [0, 1]'),
    ('grid: {' + ', '.join(f'a{number}: [1, 2]' for number in range(9000)) + '}', 'has more than 1,000,000,000,000'),
    ('command: find-ticket net.py:net digits', "'net.py:net' is named by a recipe")])
def test_a_wrong_grid_file_is_refused(lth, text, says):
    command = '' if text.startswith('command') else 'command: find-ticket lenet-300-100 digits -i 1 -e 1\n'
    result = lth('sweep', 'run', write_text(f'{command}folder: s\n{text}\n'))
    assert result.code == 2 and says in result.err, result.err
    assert not Path('runs').exists()


def test_another_grid_in_the_same_folder_is_refused(lth):
    assert lth('sweep', 'run', write_grid(rates=[0.1])).code == 0
    assert 'A grid may only grow' in lth('sweep', 'run', write_grid(rates=[0.2])).err
    other = Path('grid.yaml').read_text(encoding='utf-8').replace('[0.2]', '[0.1]').replace('-i 1', '-i 1 -l 0.5')
    assert 'holds a run of another recipe' in lth('sweep', 'run', write_text(other)).err


def test_a_folder_without_locks_or_in_use_is_an_error_of_the_environment(lth, monkeypatch):
    with monkeypatch.context() as patched:
        def refuse(*_arguments):
            raise OSError(38, 'Function not implemented')
        patched.setattr('fcntl.flock', refuse)
        result = lth('sweep', 'run', write_grid())
    assert result.code == 3 and 'Its file system has no locks' in result.err


def test_what_is_not_a_sweep_is_refused_by_status(lth):
    assert 'is not the folder of a sweep' in lth('sweep', 'status', 'nothing').err
    assert '--retry' in lth('sweep', 'status', 'nothing', '--retry').err
    cell = sweep_file.CellRecord(cell='a', settings={}, digest='', seeds=[0], state='running')
    Path('runs/rates').mkdir(parents=True)
    sweep_file.write_sweep(Path('runs/rates'), [cell])
    # No process has the lock.
    assert '1 pending' in lth('sweep', 'status', 'rates').out
    assert 'No cell of the sweep' in lth('plot', 'rates').err
    text = Path('runs/rates/sweep.json').read_text(encoding='utf-8')
    Path('runs/rates/sweep.json').write_text(text.replace('running', 'complete'), encoding='utf-8')
    result = lth('sweep', 'status', 'rates')
    assert result.code == 2 and 'sweep.json is damaged or was changed' in result.err


@pytest.mark.parametrize(('make', 'says'), [
    (lambda folder: folder.write_text('mine'), 'is not a folder'),
    (lambda folder: folder.symlink_to('nowhere'), 'is not a folder'),
    (lambda folder: (folder.mkdir(), (folder / 'recipe.yaml').write_text('a: 1')), 'is the folder of a run'),
    (lambda folder: (folder.mkdir(), (folder / 'grid.yaml').write_text('mine')), 'is not the grid of this sweep')])
def test_a_folder_that_is_something_else_is_refused_and_left_as_it_is(lth, make, says):
    Path('runs').mkdir()
    make(Path('runs/rates'))
    before = sorted(Path('runs').rglob('*'))
    result = lth('sweep', 'run', write_grid())
    assert result.code == 2 and says in result.err, result.err
    assert sorted(Path('runs').rglob('*')) == before


def test_nothing_is_written_if_the_executor_does_not_work(lth, monkeypatch):
    monkeypatch.setenv('PATH', '')
    result = lth('sweep', 'run', write_grid(), '--executor', 'slurm')
    assert result.code in (2, 3) and 'nstall' in result.err  # Slurm, or the package submitit
    assert not Path('runs').exists()


def test_other_files_in_the_folder_of_a_sweep_are_left_alone(lth):
    text = Path(write_grid(rates=[0.1])).read_text(encoding='utf-8') + '# a comment\n'
    Path('runs/rates').mkdir(parents=True)
    for name, content in (('grid.yaml', text), ('notes.partial', 'notes'), ('sweep.json.7.partial', '{')):
        Path('runs/rates', name).write_text(content, encoding='utf-8')
    assert lth('sweep', 'run', 'grid.yaml').code == 0
    assert Path('runs/rates/grid.yaml').read_text(encoding='utf-8') == text
    assert [path.name for path in Path('runs/rates').glob('*.partial')] == ['notes.partial']


def test_a_sweep_of_a_newer_version_is_refused_with_both_versions(lth):
    Path('runs/rates').mkdir(parents=True)
    content = {'format': 2, 'lth': '9.9', 'cells': [], 'more': 1}
    Path('runs/rates/sweep.json').write_bytes(checked_json.encode_checked(content))
    for command in (('run', write_grid()), ('status', 'rates')):
        result = lth('sweep', *command)
        assert result.code == 2 and f"of lth '9.9', which lth {package.__version__} cannot read" in result.err


def test_names_of_cells_are_distinct_and_short_enough_for_a_folder():
    from lth.experiments.sweeps.grid_file import GridFile, cell_settings  # pylint: disable=import-outside-toplevel
    keys = {f'training.a{number}.rate': ['x' * 40, 'y' * 40] for number in range(6)}
    grid = GridFile(command='x', folder='y', grid=keys | {'b': ['a/b', 'a-b', 'A-b']})
    names = [cell.name for cell in cell_settings(grid)]
    assert len(set(map(str.casefold, names))) == len(names) == 2 ** 6 * 3 and max(map(len, names)) <= 127
    assert all(os.sep not in name for name in names)
    wide = GridFile(command='x', folder='y', grid={'a': ['\u65e5' * 200, '\u65e5' * 201, '\u00e9', 'e\u0301']})
    names = [cell.name for cell in cell_settings(wide)]
    assert len({unicodedata.normalize('NFC', name) for name in names}) == 4
    assert max(len(name.encode()) for name in names) <= 127
    short = GridFile(command='x', folder='y', grid={'algorithm.rates.convolution': [0.1], 'training.x': [True, None]})
    assert [cell.name for cell in cell_settings(short)] == ['convolution=0.1,x=True', 'convolution=0.1,x=None']
