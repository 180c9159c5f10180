"""Code of the user: run only if the user named it, recorded with the run, and not allowed to change or to end it."""
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ImageFile

import lth as python
from lth.datasets import user_functions
from lth.errors import LthError, LthWarning
from lth.experiments import seed_training
from lth.experiments.executors import local
from lth.registry import code_fingerprints, trust, user_code, user_modules

NET = '''
import functools
import importlib
import os
from torch import nn
import parts
importlib.import_module('named')

class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), parts.activation(), nn.Linear(8, classes))

    def forward(self, images):
        if self.training and len(images) > 2:
            EXIT
        return self.layers(images)

def net(shape, classes):
    from later import unused
    importlib.import_module('named_later')
    return Net(shape, classes)

wrapped = functools.wraps(nn.Linear)(lambda shape, classes: Net(shape, classes))
'''
DATA = '''
import numpy as np
import torch

images = np.arange(40 * 64, dtype=np.uint8).reshape(40, 8, 8)

def data():
    CHANGE
    return (images, np.arange(40) % 4), (images[:8], np.arange(8) % 4)
'''
SEARCH = ('find-ticket', 'net.py:net', 'images.py:data', '-i', '1', '-e', '1', '-b', '8', '--run', 'r')


@pytest.fixture(autouse=True)
def code(lth, monkeypatch):
    """The user's files in the current folder, from which modules are imported."""

    write('net.py', NET, EXIT='pass')
    write('images.py', DATA, CHANGE='pass')
    write('parts.py', 'from torch import nn\nactivation = nn.ReLU\n')
    for name in ('later', 'named', 'named_later'):
        write(f'{name}.py', 'unused = 1\n')
    monkeypatch.syspath_prepend(Path.cwd())
    yield
    user_modules.forget()
    for name in ('parts', 'later'):
        sys.modules.pop(name, None)


def write(name: str, text: str, **values: str) -> None:
    for word, value in values.items():
        text = text.replace(word, value)
    Path(name).write_text(text)


def error(result) -> str:
    assert result.code == 2, result
    return ' '.join(result.err.split())


@pytest.mark.parametrize('command', [
    ('evaluate', 'r'), ('finetune', 'r'), ('transfer', 'r', '--to', 'digits'), ('sanity-check', 'r'),
    ('stability', 'r'), ('find-ticket', 'lenet-300-100', 'digits', '--run', 'r'),
    ('show', 'recipe', 'runs/r/recipe.yaml')])
def test_a_command_runs_no_code_that_only_a_recipe_names(lth, command):
    assert lth(*SEARCH).code == 0
    write('net.py', 'open("executed", "w")')
    message = error(lth(*command))
    assert "'net.py:net' is named by a recipe" in message and f'the file {Path.cwd()}/net.py would be' in message
    assert not Path('executed').exists()


def test_code_runs_if_the_command_says_trust_code_or_names_it(lth):
    assert lth(*SEARCH).code == 0
    assert lth('evaluate', 'r', '--trust-code').code == 0
    assert lth(*SEARCH).code == 0
    assert error(lth('evaluate', 'r')).startswith("Error: 'net.py:net' is named by a recipe")


def test_the_python_api_runs_code_of_a_run_only_if_it_is_trusted_or_given(lth):
    assert lth(*SEARCH).code == 0
    with pytest.raises(LthError, match='net.py:net. is named by a recipe'):
        python.open_run('runs/r')
    with pytest.raises(LthError, match='net.py:net. is named by a recipe'):
        python.load_ticket('runs/r/seed-0/round-01').module()
    trusted = python.open_run('runs/r', trust_code=True)
    assert isinstance(trusted.ticket(0, 1).module(), torch.nn.Module)
    trust.set_current(trust.Trust())
    assert python.open_run('runs/r', model='net.py:net', data='images.py:data').seeds == (0,)
    trust.set_current(trust.Trust())


def test_a_package_that_a_recipe_names_is_not_imported():
    with pytest.raises(LthError, match=r"the package 'json' \(.*__init__.py\) would be imported and run"):
        trust.require('json:loads')


@pytest.mark.parametrize('file', [
    'net.py', 'parts.py', 'later.py', 'named.py', 'named_later.py', 'images.py'])
def test_a_run_is_not_resumed_read_or_compared_after_an_edit_of_its_code(lth, file):
    assert lth(*SEARCH).code == 0
    Path(file).write_text(Path(file).read_text() + '# edited\n')
    assert 'was started with' in error(lth(*SEARCH, '--controls', 'reinit'))
    for command in (('finetune', 'r'), ('evaluate', 'r'), ('sanity-check', 'r', '-e', '2')):
        assert 'was made with' in error(lth(*command, '--trust-code'))


def test_a_derived_run_is_compared_with_its_source(lth):
    assert lth(*SEARCH).code == 0 and lth('finetune', 'r', '-e', '2', '--trust-code').code == 0
    for session in Path('runs/r/sessions').glob('*.json'):
        session.unlink()
    shutil.rmtree(next(Path('runs').glob('r-*finetuned*')) / 'seed-0')
    write('images.py', DATA, CHANGE='images[0, 0, 0] = 7')
    assert 'was started with' in error(lth('finetune', 'r', '-e', '2', '--trust-code'))


def test_a_worker_refuses_code_that_changed_after_the_command_started(lth, monkeypatch):
    def edit_and_work(*job):
        write('parts.py', 'from torch import nn\nactivation = nn.Tanh\n')
        user_modules.forget()  # as in a new process
        seed_training.train_in_worker(*job)
    monkeypatch.setattr(local, 'train_in_worker', edit_and_work)
    message = error(lth(*SEARCH, '--seeds', '0-1'))
    says = 'seed 0 cannot be trained: this command was started with other code of the model net.py:net (in parts: '
    assert says in message
    assert not Path('runs/r/seed-0/round-00').exists()


def test_a_run_that_is_moved_while_it_is_trained_is_an_error_and_the_earlier_rounds_stay(lth):
    moved = 'import shutil; os.path.exists("runs/r/seed-0/round-00") and shutil.move("runs/r", "moved")'
    write('net.py', NET, EXIT=moved)
    assert 'runs/r has no round 0 of seed 0 any more' in error(lth(*SEARCH))
    assert Path('moved/seed-0/round-00/SHA256SUMS').exists() and not Path('runs/r/seed-0/round-01').exists()


def test_the_path_of_a_run_is_normalized(lth):
    assert lth(*SEARCH[:-1], 'a/../b').code == 0
    assert sorted(path.name for path in Path.cwd().glob('*/seed-0')) == ['seed-0'] and Path('b/recipe.yaml').exists()


@pytest.mark.parametrize(('call', 'says'), [
    ('os._exit(0)', r'SystemExit: os._exit(0)'), ('raise SystemExit(0)', 'SystemExit: 0'),
    ('raise KeyError("mine")', "KeyError: 'mine'")])
def test_a_model_that_ends_the_process_or_fails_while_it_trains_is_an_error_with_its_line(lth, call, says):
    write('net.py', NET, EXIT=f'if os.path.exists("runs/r"): {call}')  # not yet in the trial
    message = error(lth(*SEARCH))
    assert f'Training net.py:net, seed 0, raised {says} ({Path.cwd()}/net.py, line ' in message


def test_images_that_differ_from_call_to_call_are_refused(lth):
    write('images.py', DATA, CHANGE='images[0, 0, 0] += 1')
    assert 'images.py:data returns other images when it is called again' in error(lth(*SEARCH))


def test_settings_of_torch_that_user_code_changes_are_restored_and_reported(lth):
    write('images.py', DATA, CHANGE='torch.set_default_dtype(torch.float64); torch.set_num_threads(2)')
    result = lth(*SEARCH)
    assert result.code == 0 and (torch.get_default_dtype(), torch.get_num_threads()) == (torch.float32, 1)
    assert 'changed the default dtype from torch.float32 to torch.float64, which was restored' in result.err


@pytest.mark.parametrize(('change', 'what'), [
    ('import PIL.ImageFile as p; p.LOAD_TRUNCATED_IMAGES = True', 'whether Pillow reads truncated images from'),
    ('np.seterr(all="raise")', "numpy's handling of errors, which"),
    ('import warnings; warnings.simplefilter("error")', 'which warnings are errors, which'),
    ('import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)', 'how signals are handled, which'),
    ('import sys; sys.argv.append("x")', 'sys.argv, which'),
    ('torch.autograd.set_detect_anomaly(True)', 'whether anomalies are detected from'),
    ('import os; os.chdir("/")', 'the current folder from')])
def test_settings_of_the_process_that_user_code_changes_are_restored_and_reported(change, what):
    write('images.py', DATA, CHANGE=change)
    with pytest.warns(LthWarning, match=f'images.py:data, called without arguments, changed {what}.* restored'):
        user_functions.call_again('images.py:data')
    assert (np.geterr()['divide'], Path.cwd().name[:5]) == ('warn', 'test_') and not torch.is_anomaly_enabled()
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False and sys.argv[-1] != 'x'
    assert signal.getsignal(signal.SIGTERM) != signal.SIG_IGN


@pytest.mark.parametrize('name', ['net', 'wrapped'])
def test_a_fingerprint_has_the_file_of_the_name_and_the_users_modules_that_it_imports_anywhere(name):
    user_code.load(f'net.py:{name}')
    files = user_code.fingerprint(f'net.py:{name}')
    assert files.keys() == {'net.py', 'parts', 'later', 'named'}
    Path('net.py').write_text('# edited while the process runs\n')
    assert user_code.fingerprint(f'net.py:{name}') == files


def test_files_with_one_stem_are_different_modules():
    for folder in ('a', 'b'):
        Path(folder).mkdir()
        write(f'{folder}/twin.py', f'def name():\n    return {folder!r}\n')
    assert [user_code.load(f'{folder}/twin.py:name')() for folder in ('a', 'b', 'a')] == ['a', 'b', 'a']


def test_a_module_that_changes_between_the_start_of_a_session_and_its_import_is_noticed():
    user_code.fingerprint('net.py:net')
    assert code_fingerprints.changed_modules() == []
    write('later.py', 'unused = 2\n')
    user_code.load('net.py:net')((1, 8, 8), 4)
    assert code_fingerprints.changed_modules() == [Path('later.py').absolute()]


@pytest.mark.slow
@pytest.mark.parametrize('seeds', ['0', '0-1'])
def test_a_model_that_ends_its_process_is_an_error_of_the_command_in_real_processes(seeds):
    write('net.py', NET, EXIT='os._exit(0)')
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, '-m', 'lth', *SEARCH, '--seeds', seeds], capture_output=True, text=True, check=False,
        env={'PYTHONPATH': root, 'PATH': '/usr/bin:/bin', 'COLUMNS': '200'}, timeout=200)
    assert result.returncode == 2 and 'raised SystemExit: os._exit(0)' in result.stderr


def test_the_traceback_of_a_users_model_is_printed_on_request(lth, tmp_path):
    (tmp_path / 'net.py').write_text('def net(shape, classes):\n    raise OSError("not today [/bold]")\n')
    command = ('find-ticket', 'net.py:net', 'digits', '--dry-run')
    short, long = lth(*command), lth('--traceback', *command)
    assert short.code == long.code == 2
    assert 'raised OSError: not today [/bold] (' in short.err and 'net.py, line 2).' in short.err
    assert 'Traceback' not in short.err and 'Traceback (most recent call last)' in long.err


def test_parameters_that_are_not_pruned_are_noted(lth, tmp_path):
    (tmp_path / 'net.py').write_text('''
from torch import nn

class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.rnn, self.output = nn.LSTM(shape[2], 4, batch_first=True), nn.Linear(4, classes)

    def forward(self, images):
        return self.output(self.rnn(images[:, 0])[0][:, -1])
''')
    command = 'find-ticket', 'net.py:Net', 'digits', '-i', '1', '-e', '2', '--run', 'run'
    result = lth(*command, '--dry-run')
    note = 'not pruned: rnn.weight_ih_l0, rnn.weight_hh_l0 (192 weights in 2 tensors'
    assert note in result.out + result.err
    assert note[1:] in ' '.join(lth(*command).out.split())
    (tmp_path / 'net.py').unlink()
    assert note[1:] in ' '.join(lth('show', 'run', 'run').out.split())
