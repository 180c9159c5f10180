"""A pushed run has what its readers need, and says nothing about the machine on which it was made."""
import json
import re
import shutil
from pathlib import Path

import huggingface_hub
import pytest

import lth as package
from lth.errors import LthError
from lth.runs.checked_json import read_checked
from lth.sharing.manifest import MANIFEST
from tests.hub_server import HubServer
from tests.round_files import contents
from tests.sharing.conftest import HOST, USER, use

pytestmark = pytest.mark.xdist_group('sharing')
REPOSITORY = 'alice/tickets'
DERIVED = {'demo', 'demo-controls/reinit', 'demo-finetuned-round-01', 'demo-checks-round-01/original',
           'demo-checks-round-01/dense', 'demo-checks-round-01/shuffle-mask'}


@pytest.mark.parametrize('lfs', [r'(?!)', r'\.safetensors$|\.png$'], ids=['regular', 'lfs'])
def test_push_uploads_the_run_and_all_that_start_from_it_in_one_commit(runs, monkeypatch, tmp_path, lfs):
    before = contents(runs, without=())
    with HubServer(lfs) as hub:
        use(hub, monkeypatch, tmp_path / 'hf')
        pushed = package.push('demo', REPOSITORY)
        files = hub.repositories[REPOSITORY].files
        commits = [request for request in hub.requests if '/commit/' in request]
    assert set(pushed.runs) == DERIVED and pushed.runs[0] == 'demo'
    assert set(files) == {*pushed.files, '.gitattributes'} and len(commits) == 1
    rounds = {name: content for name, content in before.items() if '/round-' in name}
    assert rounds and {name: files[name] for name in rounds} == rounds
    assert {'README.md', 'README-accuracy.png', MANIFEST, 'demo-checks-round-01/checks.json'} <= set(files)
    assert any(name.startswith('demo-stability/') for name in files)
    assert contents(runs, without=()) == before


def test_nothing_that_is_pushed_names_the_user_the_host_or_a_folder(source, hub, monkeypatch):
    monkeypatch.chdir(source.parent)
    package.push(source / 'demo', REPOSITORY)
    files = hub.repositories[REPOSITORY].files
    words = [USER, HOST, str(source), str(source.parent), str(Path.home()), '/tmp/']
    wrong = [(name, word) for name, content in files.items() for word in words if word.encode() in content
             or word in name]
    assert not wrong
    assert not any(name.endswith('.log') for name in files)
    # The same words are in the run itself, so that this test can fail.
    assert any(USER.encode() in content for content in contents(source, without=()).values())
    (session,) = (json.loads(content) for name, content in files.items() if name.startswith('demo/sessions/'))
    assert session['command'] == ['lth', 'find-ticket', 'lenet-300-100', 'digits', 'data', '--run', 'demo']


def test_the_card_in_a_repository_loads_the_rounds_there(runs, hub, tmp_path):
    package.push('demo', REPOSITORY, license='mit')
    card = hub.repositories[REPOSITORY].files['README.md'].decode()
    data = huggingface_hub.ModelCard(card).data
    assert data.license == 'mit' and data.library_name == 'lth'
    (result,) = data.eval_results
    assert result.metric_type == 'accuracy' and 0 < result.metric_value <= 1
    assert f'lth pull {REPOSITORY}' in card and "open_run('tickets/demo')" in card
    assert re.search(r"folder = 'demo/seed-0/round-0\d'", card)


def test_a_second_push_replaces_what_changed_and_deletes_what_is_gone(runs, hub):
    package.push('demo', REPOSITORY)
    theirs = hub.repositories[REPOSITORY]
    theirs.files['notes.txt'] = b'by hand'
    theirs.save()
    shutil.rmtree(runs / 'demo-finetuned-round-01')
    package.push('demo', REPOSITORY)
    assert not [name for name in theirs.files if name.startswith('demo-finetuned')]
    assert theirs.files['notes.txt'] == b'by hand'


def test_push_refuses_a_repository_that_holds_something_else(runs, hub):
    other = hub.create(REPOSITORY)
    other.files['model.bin'] = b'1'
    other.save()
    with pytest.raises(LthError, match='holds files that lth did not write'):
        package.push('demo', REPOSITORY)
    package.push('demo', 'alice/other')
    shutil.copytree(runs / 'demo', runs / 'second')
    with pytest.raises(LthError, match="holds the run 'demo', which 'second' would replace"):
        package.push('second', 'alice/other')
    assert set(other.files) == {'.gitattributes', 'model.bin'}


def test_private_is_refused_for_a_repository_that_is_public(runs, hub):
    package.push('demo', 'alice/hidden', private=True)
    assert hub.repositories['alice/hidden'].private
    hub.create(REPOSITORY)
    with pytest.raises(LthError, match='exists and is public'):
        package.push('demo', REPOSITORY, private=True)
    assert set(hub.repositories[REPOSITORY].files) == {'.gitattributes'}


def test_an_unfinished_run_is_pushed_only_on_request_and_its_card_says_so(runs, hub):
    shutil.rmtree(runs / 'demo/seed-1/round-01')
    with pytest.raises(LthError, match='is not complete.*--unfinished'):
        package.push('demo', REPOSITORY)
    package.push('demo', REPOSITORY, unfinished=True)
    assert '**This run is not complete.** Seed 1 has 1 of 2 rounds.' in (
        hub.repositories[REPOSITORY].files['README.md'].decode())


def test_a_damaged_run_is_not_pushed_and_damaged_runs_that_start_from_it_are_left_out(runs, hub):
    (runs / 'demo-finetuned-round-01/seed-0/round-00/round.json').write_text('{}')
    pushed = package.push('demo', REPOSITORY)
    assert set(pushed.runs) == DERIVED - {'demo-finetuned-round-01'}
    assert any('demo-finetuned-round-01 is left out' in note for note in pushed.notes)
    mask = runs / 'demo/seed-0/round-01/mask.safetensors'
    mask.write_bytes(mask.read_bytes()[:-1] + b'\x02')
    with pytest.raises(LthError, match='mask.safetensors is damaged or was changed'):
        package.push('demo', 'alice/second')
    assert 'alice/second' not in hub.repositories


def test_a_run_whose_recipe_names_an_absolute_path_is_refused(runs, hub, tmp_path):
    code = tmp_path / 'nets.py'
    code.write_text('from torch import nn\n\n\ndef make(shape, classes):\n    return nn.Sequential(nn.Flatten(), '
                    'nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, classes))\n')
    package.find_ticket(f'{code}:make', 'digits', rounds=1, epochs=1, run='mine', threads=1)
    with pytest.raises(LthError, match='model.name is .*relative path'):
        package.push('mine', REPOSITORY)
    package.find_ticket('nets.py:make', 'digits', rounds=1, epochs=1, run='relative', threads=1)
    package.push('relative', REPOSITORY)
    files = hub.repositories[REPOSITORY].files
    assert not [name for name in files if name.endswith('.py')]
    assert 'needs the code `nets.py:make`' in files['README.md'].decode()


def test_controls_of_a_run_that_was_renamed_are_left_out_with_the_reason(runs):
    for name in ('demo', 'demo-controls'):
        (runs / name).rename(runs / name.replace('demo', 'my run'))
    pushed = package.push('my run', REPOSITORY, dry_run=True)
    assert pushed.runs == ('my run',)
    assert any(note.startswith('my run-controls/reinit is left out: it starts from ') for note in pushed.notes)


def test_a_dry_run_needs_no_token_and_no_network(runs, monkeypatch):
    monkeypatch.delenv('HF_TOKEN', raising=False)
    pushed = package.push('demo', REPOSITORY, dry_run=True)
    assert pushed.commit is None and 'demo/recipe.yaml' in pushed.files


def test_push_without_a_token_says_how_to_get_one(runs, hub, monkeypatch):
    monkeypatch.delenv('HF_TOKEN')
    monkeypatch.delenv('HUGGING_FACE_HUB_TOKEN', raising=False)
    with pytest.raises(LthError, match='hf auth login.*HF_TOKEN'):
        package.push('demo', REPOSITORY)
    assert not hub.requests


@pytest.mark.parametrize(('status', 'words'), [(401, 'token is not valid'), (403, 'write access'), (500, 'try again')])
def test_what_the_hub_refuses_is_reported_with_a_remedy(runs, hub, status, words):
    hub.before = lambda method, path: status if path.endswith('/create') else None
    with pytest.raises(LthError, match=words):
        package.push('demo', REPOSITORY)


def test_a_derived_run_alone_says_that_its_source_is_missing(runs, hub, monkeypatch, tmp_path):
    pushed = package.push('demo-finetuned-round-01', REPOSITORY)
    assert pushed.runs == ('demo-finetuned-round-01',)
    assert any(note.startswith('demo, from which it starts, is not shared') for note in pushed.notes)
    monkeypatch.chdir(tmp_path / 'runs')
    assert package.open_run(package.pull(REPOSITORY).run).table()


def test_sessions_of_the_copy_keep_their_checksums_and_what_results_depend_on(runs, hub):
    package.push('demo', REPOSITORY)
    pulled = package.pull(REPOSITORY)
    (ours,) = (runs / 'demo/sessions').glob('*.json')
    (theirs,) = (pulled.run / 'sessions').glob('*.json')
    ours_entry, theirs_entry = (read_checked(path, at_most=10 ** 6, advice='') for path in (ours, theirs))
    assert {key: ours_entry[key] for key in ('images', 'network', 'recipe', 'engine', 'seeds')} == {
        key: theirs_entry[key] for key in ('images', 'network', 'recipe', 'engine', 'seeds')}
    assert {'host', 'process', 'directory', 'job'}.isdisjoint(theirs_entry)
