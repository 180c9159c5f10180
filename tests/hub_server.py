"""A stand-in for the Hugging Face Hub: the calls that huggingface_hub makes to create, write and read a repository.

    with HubServer() as hub:
        os.environ['HF_ENDPOINT'] = hub.url
        hub.repositories['alice/tickets'].files['README.md']
"""
import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote, urlsplit

TOKEN = 'hf_stand_in'
_NAME = r'[\w.-]+/[\w.-]+'


@dataclass
class Repository:
    """The branch main of a repository: its files, and the hash of its last commit. `revisions` has all commits."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=lambda: {'.gitattributes': b'*.bin filter=lfs\n'})
    revisions: dict[str, dict[str, bytes]] = field(default_factory=dict)
    commit: str = ''

    def save(self) -> None:
        """Make a commit of the files."""

        self.commit = hashlib.sha1(f'{len(self.revisions)} {sorted(self.files)}'.encode()).hexdigest()
        self.revisions[self.commit] = dict(self.files)

    def at(self, revision: str) -> dict[str, bytes] | None:
        """The files at a branch or a commit, None if there is none."""

        return self.revisions.get(self.commit if revision == 'main' else revision)


class HubServer:
    """A server on this machine. Files whose names match `lfs` are uploaded apart, as large ones are. `requests` are
    the methods and paths of all requests. `before` may answer a request first: it returns a status, or None.
    """

    def __init__(self, lfs: str = r'(?!)') -> None:
        self.lfs = re.compile(lfs)
        self.repositories: dict[str, Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.before: Callable[[str, str], int | None] = lambda method, path: None
        hub = self

        class Handler(_Handler):
            server_hub = hub

        self._server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self._server.server_port}'

    def __enter__(self) -> Self:
        # The default interval, 0.5 s, is how long the end would take.
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def create(self, name: str, *, private: bool = False) -> Repository:
        """A new repository, which has what the Hub puts there."""

        self.repositories[name] = Repository(private)
        self.repositories[name].save()
        return self.repositories[name]


class _Refusal(Exception):
    """An answer that is not a success: a status, and the code by which huggingface_hub knows the reason."""

    def __init__(self, status: int, code: str = '', url: str = '') -> None:
        super().__init__(status)
        self.status, self.code, self.url = status, code, url


class _Handler(BaseHTTPRequestHandler):
    """Answers the requests to one server."""

    server_hub: HubServer
    protocol_version = 'HTTP/1.1'

    def do_GET(self) -> None:  # pylint: disable=invalid-name # the name is that of http.server
        self._respond()

    def do_HEAD(self) -> None:  # pylint: disable=invalid-name
        self._respond()

    def do_POST(self) -> None:  # pylint: disable=invalid-name
        self._respond()

    def do_PUT(self) -> None:  # pylint: disable=invalid-name
        self._respond()

    def log_message(self, *_: object) -> None:  # pylint: disable=arguments-differ
        """Print nothing."""

    def _respond(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self._body = self.rfile.read(int(self.headers.get('Content-Length') or 0))
        self.server_hub.requests.append(f'{self.command} {path}')
        try:
            if status := self.server_hub.before(self.command, path):
                raise _Refusal(status)
            self._send(200, *self._answer(path))
        except _Refusal as refusal:
            answer = {'error': 'refused by the stand-in', 'url': refusal.url}
            self._send(refusal.status, *_json_with(answer, {'X-Error-Code': refusal.code}))

    def _answer(self, path: str) -> tuple[bytes, dict[str, str]]:
        routes = {
            'POST /api/repos/create': self._create,
            'POST /api/validate-yaml': lambda: _json({'errors': [], 'warnings': []}),
            rf'POST /api/models/({_NAME})/preupload/main': self._preupload,
            rf'POST /({_NAME})\.git/info/lfs/objects/batch': self._batch,
            r'PUT /objects/(\w+)': self._object,
            rf'POST /api/models/({_NAME})/commit/main': self._commit,
            rf'GET /api/models/({_NAME})': self._info,
            rf'GET /api/models/({_NAME})/revision/(.+)': self._info,
            rf'GET /api/models/({_NAME})/tree/([^/]+)': self._tree,
            rf'(?:GET|HEAD) /({_NAME})/resolve/([^/]+)/(.+)': self._resolve}
        for pattern, answer in routes.items():
            if match := re.fullmatch(pattern, f'{self.command} {path}'):
                return answer(*match.groups())
        raise _Refusal(404)

    def _create(self) -> tuple[bytes, dict[str, str]]:
        self._require_token()
        asked = json.loads(self._body)
        name = f'{asked["organization"]}/{asked["name"]}'
        if name in self.server_hub.repositories:
            raise _Refusal(409, url=f'{self.server_hub.url}/{name}')
        # Version 1 of huggingface_hub sends `private`, version 2 `visibility`.
        self.server_hub.create(name, private=asked.get('visibility') == 'private' or bool(asked.get('private')))
        return _json({'url': f'{self.server_hub.url}/{name}'})

    def _preupload(self, name: str) -> tuple[bytes, dict[str, str]]:
        self._require_token()
        files = self._repository(name).files
        return _json({'files': [{
            'path': file['path'], 'uploadMode': 'lfs' if self.server_hub.lfs.search(file['path']) else 'regular',
            'shouldIgnore': False, 'oid': _blob(files[file['path']]) if file['path'] in files else None}
            for file in json.loads(self._body)['files']]})

    def _batch(self, _name: str) -> tuple[bytes, dict[str, str]]:
        self._require_token()
        objects = [{**one, 'actions': {'upload': {'href': f'{self.server_hub.url}/objects/{one["oid"]}', 'header': {}}}}
                   for one in json.loads(self._body)['objects']]
        return _json({'transfer': 'basic', 'objects': objects})

    def _object(self, oid: str) -> tuple[bytes, dict[str, str]]:
        if hashlib.sha256(self._body).hexdigest() != oid:
            raise _Refusal(400)
        self.server_hub.objects[oid] = self._body
        return b'', {}

    def _commit(self, name: str) -> tuple[bytes, dict[str, str]]:
        self._require_token()
        repository = self._repository(name)
        for line in self._body.splitlines():
            entry = json.loads(line)
            value: dict[str, Any] = entry['value']
            if entry['key'] == 'file':
                repository.files[value['path']] = base64.b64decode(value['content'])
            elif entry['key'] == 'lfsFile':
                repository.files[value['path']] = self.server_hub.objects[value['oid']]
            elif entry['key'] == 'deletedFile':
                del repository.files[value['path']]
        repository.save()
        return _json({'commitUrl': f'{self.server_hub.url}/{name}/commit/{repository.commit}',
                      'commitOid': repository.commit})

    def _info(self, name: str, revision: str = 'main') -> tuple[bytes, dict[str, str]]:
        files, repository = self._files(name, revision), self._repository(name)
        commit = repository.commit if revision == 'main' else revision
        siblings = [{'rfilename': path, 'size': len(content), 'blobId': _blob(content)}
                    for path, content in files.items()]
        return _json({'id': name, 'modelId': name, 'sha': commit, 'private': repository.private, 'siblings': siblings,
                      'tags': [], 'downloads': 0, 'likes': 0})

    def _tree(self, name: str, revision: str) -> tuple[bytes, dict[str, str]]:
        return _json([{'type': 'file', 'path': path, 'size': len(content), 'oid': _blob(content)}
                      for path, content in self._files(name, revision).items()])

    def _resolve(self, name: str, revision: str, path: str) -> tuple[bytes, dict[str, str]]:
        files = self._files(name, revision)
        if path not in files:
            raise _Refusal(404, 'EntryNotFound')
        commit = self._repository(name).commit if revision == 'main' else revision
        return files[path], {'ETag': f'"{_blob(files[path])}"', 'X-Repo-Commit': commit}

    def _files(self, name: str, revision: str) -> dict[str, bytes]:
        files = self._repository(name).at(revision)
        if files is None:
            raise _Refusal(404, 'RevisionNotFound')
        return files

    def _repository(self, name: str) -> Repository:
        repository = self.server_hub.repositories.get(name)
        if repository is None or (repository.private and not self._has_token()):
            raise _Refusal(404 if self._has_token() else 401, 'RepoNotFound')
        return repository

    def _has_token(self) -> bool:
        return self.headers.get('Authorization') == f'Bearer {TOKEN}'

    def _require_token(self) -> None:
        if not self._has_token():
            raise _Refusal(401)

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {'Content-Length': str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != 'HEAD':
            self.wfile.write(content)


def _json_with(value: Any, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    content, of_json = _json(value)
    return content, of_json | headers


def _json(value: Any) -> tuple[bytes, dict[str, str]]:
    return json.dumps(value).encode(), {'Content-Type': 'application/json'}


def _blob(content: bytes) -> str:
    """The hash that git gives to a file."""

    return hashlib.sha1(b'blob %d\0' % len(content) + content).hexdigest()
