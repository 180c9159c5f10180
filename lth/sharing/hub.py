"""The Hugging Face Hub through huggingface_hub: a repository is read and written here only, and its errors are turned
into an LthError. HF_ENDPOINT, HF_TOKEN and the other variables of huggingface_hub apply.
"""
import contextlib
import importlib
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, cast

from lth import __version__
from lth.errors import ENVIRONMENT_ERROR, LthError, describe, quote

_REPOSITORY = re.compile(r'[\w-][\w.-]{0,95}/[\w-][\w.-]{0,95}', re.ASCII)
_LOGIN = 'Log in with `hf auth login`, or set the environment variable HF_TOKEN to a token from ' \
         'https://hf.co/settings/tokens'


class RepositoryState(NamedTuple):
    """A repository at one commit: the commit, the size of each file by its path, and whether it is private."""

    commit: str
    sizes: dict[str, int]
    private: bool


class Commit(NamedTuple):
    """A commit on the Hub: its hash, and the address of the repository."""

    oid: str
    url: str


def check_name(repository: str) -> None:
    """LthError unless this could be the name of a repository, OWNER/NAME."""

    parts = repository.split('/')
    wrong = not _REPOSITORY.fullmatch(repository) or any(
        part.endswith(('.', '-', '.git')) or '--' in part or '..' in part or part.startswith('-') for part in parts)
    if wrong:
        raise LthError(f'{quote(repository)} is not the name of a repository on the Hub. Give OWNER/NAME, where OWNER '
                       'is a user or an organization, such as alice/lenet-tickets.')


def require_token() -> None:
    """LthError if there is no token, which writing needs."""

    if _package().get_token() is None:
        raise LthError(f'There is no token for the Hub, which writing needs. {_LOGIN} (with write access).')


def read_state(repository: str, revision: str | None = None) -> RepositoryState:
    """The files of a repository, by default of its branch main. LthError if it does not exist or cannot be reached."""

    with _errors(repository, revision):
        info = _api().model_info(repository, revision=revision, files_metadata=True)
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
        return RepositoryState(str(info.sha), sizes, bool(info.private))


def create(repository: str, *, private: bool) -> None:
    """Create a repository of a model, unless it exists."""

    with _errors(repository):
        _api().create_repo(repository, private=private or None, exist_ok=True)


def commit(
        repository: str, folder: Path, *, deleted: Sequence[str], message: str) -> Commit:
    """Upload all files of a folder and delete others, in one commit."""

    hub = _package()
    paths = sorted(path for path in folder.rglob('*') if path.is_file())
    operations: list[Any] = [hub.CommitOperationAdd(path.relative_to(folder).as_posix(), path) for path in paths]
    operations += [hub.CommitOperationDelete(name) for name in deleted]
    with _errors(repository):
        api = _api()
        done = api.create_commit(repository, operations, commit_message=message)
        return Commit(str(done.oid), f'{api.endpoint}/{repository}')


def download(repository: str, revision: str, names: Sequence[str], folder: Path) -> None:
    """Download files of a repository at a commit to a folder. It gets nothing else."""

    with _errors(repository, revision):
        _package().snapshot_download(
            repository, revision=revision, allow_patterns=list(names), local_dir=folder, library_name='lth',
            library_version=__version__)
    # If the connection is lost at the start, the package returns a folder that has some of the files.
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise LthError(f'The Hub cannot be reached for {repository}: {len(missing)} files are missing, such as '
                       f'{missing[0]}. Check the network, and repeat the command.', exit_code=ENVIRONMENT_ERROR)


def _package() -> ModuleType:
    """The package huggingface_hub. LthError if it is not installed."""

    try:
        import huggingface_hub  # pylint: disable=import-outside-toplevel # an optional extra
    except ImportError:
        raise LthError("The Hub needs the package huggingface_hub. Install it with: pip install 'lth[hub]'") from None
    if not sys.stderr.isatty():
        importlib.import_module('huggingface_hub.utils').disable_progress_bars()
    return huggingface_hub


def _api() -> Any:
    return _package().HfApi(library_name='lth', library_version=__version__)


@contextlib.contextmanager
def _errors(repository: str, revision: str | None = None) -> Iterator[None]:
    """Report what huggingface_hub raises in this block as an LthError."""

    _package()
    from huggingface_hub import errors  # pylint: disable=import-outside-toplevel # an optional extra

    # The HTTP clients of its versions raise subclasses of the class from which its own error is derived.
    client_errors = cast(tuple[type[Exception], ...], errors.HfHubHTTPError.__bases__)
    all_errors: tuple[type[Exception], ...] = (OSError, RuntimeError, *client_errors)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    except errors.OfflineModeIsEnabled:
        raise LthError('HF_HUB_OFFLINE is set, so the Hub is not asked. Unset it, and repeat the command.',
                       exit_code=ENVIRONMENT_ERROR) from None
    except errors.RevisionNotFoundError:
        raise LthError(f'{repository} has no revision {quote(revision)}. Give a branch, a tag or a commit that its '
                       'page on the Hub lists.') from None
    except errors.GatedRepoError:
        raise LthError(f'{repository} is gated: accept its conditions on its page on the Hub. {_LOGIN}.') from None
    except errors.RepositoryNotFoundError:
        raise LthError(f'The Hub has no repository {repository} of a model, or it is private and your token may not '
                       f'read it. Check the name. {_LOGIN}.') from None
    except errors.HfHubHTTPError as error:
        raise _http_error(repository, error) from None
    except ValueError as error:  # also what the Hub finds wrong in the metadata of a card
        problem = ' '.join(describe(error).split())
        raise LthError(f'The Hub does not take the files of {repository}: {problem}') from None
    except all_errors as error:
        raise LthError(f'The Hub cannot be reached for {repository}, or ended the transfer: {describe(error)}. Check '
                       'the network, and repeat the command.', exit_code=ENVIRONMENT_ERROR) from None


_REASONS: Mapping[int, str] = {
    401: f'your token is not valid. {_LOGIN}', 403: 'your token may not do that. Create one with write access to it',
    409: 'it was changed meanwhile. Repeat the command', 412: 'it was changed meanwhile. Repeat the command',
    413: 'the files are too large for your account', 429: 'there were too many requests. Wait some minutes'}


def _http_error(repository: str, error: Any) -> LthError:
    """The error for an answer of the Hub that is not a success."""

    status = getattr(getattr(error, 'response', None), 'status_code', None)
    text = str(getattr(error, 'server_message', None) or describe(error))
    reason = _REASONS.get(status or 0, 'try again later')
    return LthError(f'The Hub refused the request for {repository} (status {status}): {" ".join(text.split())} If '
                    f'this is not the reason: {reason}.', exit_code=ENVIRONMENT_ERROR)
