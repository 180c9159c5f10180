"""A pulled run is complete and equal, or there is none."""
import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

import lth as package
from lth.analysis.json_output import sharing as sharing_output
from lth.errors import LthError
from lth.runs.checked_json import encode_checked
from lth.sharing.manifest import MANIFEST
from lth.sharing.shared_runs import shared_runs
from lth.sharing.staging import stage
from tests.hub_server import TOKEN, HubServer
from tests.round_files import contents
from tests.sharing.test_push import REPOSITORY


pytestmark = pytest.mark.xdist_group('sharing')


@pytest.fixture(scope='module', name='shared')
def _shared(source, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the repository, as a push uploads them."""

    folder = tmp_path_factory.mktemp('shared')
    stage(shared_runs(source / 'demo', unfinished=False), folder, REPOSITORY, license_=None)
    return contents(folder, without=())


@pytest.fixture(name='pushed')
def _pushed(shared, hub, tmp_path, monkeypatch) -> HubServer:
    """The stand-in with the run, and an empty current folder."""

    repository = hub.create(REPOSITORY)
    repository.files |= shared
    repository.save()
    monkeypatch.chdir(tmp_path)
    return hub


def change(hub: HubServer, name: str, content: bytes | None, *, listed: bool = False) -> None:
    """Replace a file of the repository, or remove it for None; `listed`: and what lth.json says about it."""

    repository = hub.repositories[REPOSITORY]
    if content is None:
        del repository.files[name]
    else:
        repository.files[name] = content
    if listed:
        manifest = json.loads(repository.files[MANIFEST])
        del manifest['checksum']
        assert content is not None
        manifest['files'][name] = {'size': len(content), 'sha256': hashlib.sha256(content).hexdigest()}
        repository.files[MANIFEST] = encode_checked(manifest)
    repository.save()


def refusal() -> str:
    """The error of a pull, after which nothing is left."""

    with pytest.raises(LthError) as error:
        package.pull(REPOSITORY)
    assert not list(Path().rglob('*'))
    return str(error.value)


def test_pull_puts_everything_in_place_and_commands_work_on_it(pushed, source):
    pulled = package.pull(REPOSITORY)
    assert pulled.folder == Path('runs/tickets') and pulled.run == Path('runs/tickets/demo')
    assert pulled.left_out == ()
    ours, theirs = contents(source), contents(pulled.folder)
    rounds = {name: content for name, content in ours.items() if '/round-' in name}
    assert {name: theirs[name] for name in rounds} == rounds
    assert not [name for name in os.listdir('runs') if name != 'tickets']
    for evaluation in package.evaluate(pulled.run, threads=1):
        assert evaluation.test_accuracy == evaluation.recorded
    assert package.plot(pulled.run, 'accuracy')
    package.finetune(pulled.run, round=1, epochs=1, threads=1)
    answer = package.open_run(pulled.run).answer()
    assert any('reinit' in sentence for sentence in answer.sentences)


def test_commands_push_and_pull_a_run(lth, source, hub):
    shutil.copytree(source, 'runs')
    assert REPOSITORY in lth('push', 'demo', REPOSITORY).out
    result = lth('pull', REPOSITORY, '-o', 'theirs')
    assert result.code == 0 and 'theirs/demo' in result.out
    for command in (['show', 'run', 'theirs/demo'], ['repair', 'theirs/demo'], ['card', 'theirs/demo']):
        assert lth(*command).code == 0
    assert 'complete' in lth('list', 'runs', 'theirs').out


def test_pull_prints_json(lth, pushed):
    declared = sharing_output.PulledRun
    printed = json.loads(lth('pull', REPOSITORY, '--json').out)
    assert list(printed) == ['version', *(field.name for field in dataclasses.fields(declared))]
    assert (printed['folder'], printed['run']) == ('runs/tickets', 'runs/tickets/demo')
    assert printed['commit'] == pushed.repositories[REPOSITORY].commit


def test_pull_refuses_an_existing_folder(pushed):
    Path('runs/tickets').mkdir(parents=True)
    with pytest.raises(LthError, match='exists already'):
        package.pull(REPOSITORY)
    package.pull(REPOSITORY, 'other')


@pytest.mark.parametrize('name', [
    'demo/seed-0/round-01/ticket.safetensors', 'demo/recipe.yaml', 'README.md', *[
        pytest.param(name, marks=pytest.mark.slow) for name in (
            'demo/seed-1/round-00/metrics.jsonl', 'demo-controls/reinit/seed-0/round-01/mask.safetensors',
            'demo-checks-round-01/checks.json')]])
def test_a_changed_byte_is_an_error_that_names_the_file(pushed, name):
    content = pushed.repositories[REPOSITORY].files[name]
    change(pushed, name, bytes([content[0] ^ 1]) + content[1:])
    assert f'{name} is damaged or was changed' in refusal()


@pytest.mark.parametrize('name', [
    'demo/seed-0/round-01/ticket.safetensors', 'demo/seed-1/round-00/metrics.jsonl', 'demo/recipe.yaml',
    'demo-checks-round-01/checks.json'])
def test_a_byte_that_was_changed_in_lth_json_too_is_found_by_the_checksums_of_the_run(pushed, name):
    content = pushed.repositories[REPOSITORY].files[name]
    changed = content.replace(b'epoch', b'Epoch') if name.endswith('yaml') else content[:-9] + b'0' + content[-8:]
    change(pushed, name, changed.replace(b'lenet-300-100', b'lenet-300-101'), listed=True)
    assert name.rpartition('/')[0] in refusal()


def test_a_missing_file_is_an_error(pushed):
    change(pushed, 'demo/seed-0/round-01/ticket.safetensors', None)
    assert 'demo/seed-0/round-01/ticket.safetensors is missing' in refusal()


def test_files_that_are_no_part_of_a_run_are_left_out_and_named(pushed):
    change(pushed, 'demo/evil.py', b'raise SystemExit')
    change(pushed, 'demo/weights.pkl', b'pickle')
    pulled = package.pull(REPOSITORY)
    assert pulled.left_out == ('demo/evil.py', 'demo/weights.pkl')
    assert not list(pulled.folder.rglob('*.py')) and not list(pulled.folder.rglob('*.pkl'))
    assert not any('evil.py' in request and 'resolve' in request for request in pushed.requests)


@pytest.mark.parametrize('name', [
    'demo/evil.py', '../evil/recipe.yaml', '/etc/recipe.yaml', 'demo/../../recipe.yaml', 'demo/seed-0/round-00/a.pkl',
    'demo/seed-0/round-00/sub/mask.safetensors', 'demo\n/recipe.yaml', 'a/b/c/recipe.yaml', '.git/recipe.yaml'])
def test_a_list_of_files_that_no_run_has_is_refused(pushed, name):
    change(pushed, name, b'x', listed=True)
    assert 'which is not a file of a run' in refusal()


def test_a_recipe_that_points_outside_of_the_repository_is_refused(pushed):
    name = 'demo-finetuned-round-01/recipe.yaml'
    content = pushed.repositories[REPOSITORY].files[name]
    assert b'source: ../demo\n' in content
    change(pushed, name, content.replace(b'source: ../demo\n', b'source: ../../../home\n'), listed=True)
    assert 'outside of the repository' in refusal()


def test_files_that_are_larger_than_expected_are_not_downloaded(pushed):
    change(pushed, 'demo/recipe.yaml', b'#' * (2 ** 20 + 1), listed=True)
    assert 'demo/recipe.yaml' in (text := refusal()) and 'too large' in text
    assert not any(request == f'GET /{REPOSITORY}/resolve/main/demo/recipe.yaml' for request in pushed.requests)


def test_a_repository_without_lth_json_is_no_run(pushed):
    hub = pushed.create('alice/model')
    hub.files['config.json'] = b'{}'
    hub.save()
    with pytest.raises(LthError, match='alice/model is not a run of lth'):
        package.pull('alice/model')
    change(pushed, MANIFEST, b'{}')
    assert MANIFEST in refusal()


@pytest.mark.parametrize('name', ['', 'tickets', 'a/b/c', 'a b/c', '../x/y', 'alice/', '/tickets', 'alice/a..b', 'é/x'])
def test_a_malformed_name_is_refused_before_the_hub_is_asked(pushed, name):
    pushed.requests.clear()
    with pytest.raises(LthError, match='OWNER/NAME'):
        package.pull(name)
    assert not pushed.requests


def test_a_repository_or_revision_that_does_not_exist_is_named(pushed):
    with pytest.raises(LthError, match='no repository alice/nope'):
        package.pull('alice/nope')
    with pytest.raises(LthError, match="no revision 'v9'"):
        package.pull(REPOSITORY, revision='v9')


def test_a_private_repository_needs_a_token(pushed, monkeypatch):
    pushed.repositories[REPOSITORY].private = True
    monkeypatch.delenv('HF_TOKEN')
    assert 'hf auth login' in refusal()


def test_an_earlier_revision_can_be_pulled(pushed):
    commit = pushed.repositories[REPOSITORY].commit
    change(pushed, 'demo/recipe.yaml', b'broken')
    assert package.pull(REPOSITORY, revision=commit).commit == commit


def test_no_network_offline_mode_and_a_missing_package_are_reported(pushed, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(constants, 'HF_HUB_OFFLINE', True)
        assert 'HF_HUB_OFFLINE is set' in refusal()
    with monkeypatch.context() as patch:
        patch.setattr(constants, 'ENDPOINT', 'http://127.0.0.1:9')
        assert 'cannot be reached' in refusal()
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, 'huggingface_hub', None)
        assert "pip install 'lth[hub]'" in refusal()


def test_a_connection_that_is_lost_while_files_are_downloaded_leaves_nothing(pushed):
    pushed.before = lambda method, path: 404 if path.endswith('seed-1/round-01/mask.safetensors') else None
    assert REPOSITORY in refusal()
    pushed.before = lambda method, path: None
    package.pull(REPOSITORY)


@pytest.mark.slow
@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGINT])
def test_a_pull_that_is_killed_is_completed_when_it_is_repeated(pushed, tmp_path_factory, number):
    reached, released = threading.Event(), threading.Event()

    def block(_method: str, path: str) -> None:
        if path.endswith('seed-1/round-01/mask.safetensors'):
            reached.set()
            released.wait(60)
    pushed.before = block
    environment = os.environ | {
        'HF_ENDPOINT': pushed.url, 'HF_TOKEN': TOKEN, 'HF_HUB_DISABLE_XET': '1',
        'HF_HOME': str(tmp_path_factory.mktemp('home')), 'PYTHONPATH': str(Path(__file__).parents[2])}
    with subprocess.Popen([sys.executable, '-m', 'lth', 'pull', REPOSITORY], env=environment,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        assert reached.wait(60)
        process.send_signal(number)
        time.sleep(0.2)
        released.set()
        process.communicate(timeout=60)
    assert process.returncode != 0 and not Path('runs/tickets').exists()
    package.pull(REPOSITORY)
    assert os.listdir('runs') == ['tickets']


@pytest.mark.slow
def test_code_that_a_recipe_names_is_not_run_by_pull(runs, hub, tmp_path, monkeypatch):
    Path('nets.py').write_text(
        'from pathlib import Path\nfrom torch import nn\n\n\ndef make(shape, classes):\n    Path("executed").touch()\n'
        '    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, classes))\n')
    package.find_ticket('nets.py:make', 'digits', rounds=1, epochs=1, run='mine', threads=1)
    package.push('mine', REPOSITORY)
    (tmp_path / 'elsewhere').mkdir()
    shutil.copy('nets.py', 'elsewhere')
    monkeypatch.chdir(tmp_path / 'elsewhere')
    done = subprocess.run(
        [sys.executable, '-c', f'import lth; lth.pull({REPOSITORY!r}); lth.card("runs/tickets/mine"); '
                               'lth.open_run("runs/tickets/mine")'],
        env=os.environ | {'PYTHONPATH': str(Path(__file__).parents[2]), 'HF_HUB_DISABLE_XET': '1'},
        capture_output=True, text=True, check=False)
    assert 'trust_code=True' in done.stderr and Path('runs/tickets/mine/README.md').exists()
    assert not Path('executed').exists()
