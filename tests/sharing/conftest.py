"""A run with what starts from it, and a stand-in for the Hub."""
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

import lth as package
from tests.hub_server import TOKEN, HubServer

# Names that must not be shared.
HOST, USER = 'secret-host-77', 'secret-user-77'


@pytest.fixture(scope='session', name='source')
def _source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a complete run `demo` of two seeds with a control, a finetuned run, sanity checks and stability,
    all trained in a folder of a user, by a command line with absolute paths.
    """

    home: Path = tmp_path_factory.mktemp('home') / USER
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, 'gethostname', lambda: HOST)
        patch.setattr('sys.argv', [f'{home}/bin/lth', 'find-ticket', 'lenet-300-100', 'digits', f'{home}/data',
                                   '--run', f'{home}/runs/demo'])
        patch.chdir(home)
        run = package.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=1, seeds=(0, 1), controls=['reinit'],
                                  run=home / 'runs/demo', threads=1)
        package.finetune(run, seeds=(0,), epochs=1, threads=1)
        package.sanity_check(run, checks=['shuffle-mask'], seeds=(0,), epochs=1, threads=1)
        package.stability(run, rounds=[1], points=3, threads=1)
    return home / 'runs'


@pytest.fixture(name='runs')
def _runs(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of all runs in ./runs of the current folder, which is empty otherwise."""

    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(source, tmp_path / 'runs'))


@pytest.fixture(name='hub')
def _hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubServer]:
    """The stand-in, to which huggingface_hub speaks in this test, with a token."""

    with HubServer() as server:
        use(server, monkeypatch, tmp_path_factory.mktemp('hf'))
        yield server


def use(server: HubServer, monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Let huggingface_hub, which reads its variables when it is imported, use a server."""

    monkeypatch.setenv('HF_TOKEN', TOKEN)
    monkeypatch.setenv('HF_ENDPOINT', server.url)
    monkeypatch.setattr(constants, 'ENDPOINT', server.url)
    monkeypatch.setattr(
        constants, 'HUGGINGFACE_CO_URL_TEMPLATE', server.url + '/{repo_id}/resolve/{revision}/{filename}')
    monkeypatch.setattr(constants, 'HF_HUB_DISABLE_XET', True)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(home))
    monkeypatch.setattr(constants, 'HF_TOKEN_PATH', str(home / 'token'))
