"""Files of a run with arbitrary content, whose checksums fit: each is read, or refused in one short paragraph, at once.

A new kind of file is covered by adding a reader to `READERS`.
"""
import copy
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

import lth
from lth.analysis import checks_file
from lth.analysis.pair_files import PAIRS, CopyPair, PairErrors
from lth.errors import LthError
from lth.experiments.open_run import open_run
from lth.runs import sessions
from lth.runs.checked_json import encode_checked
from lth.runs.run_path import parse_run_path
from tests.round_files import sign

NUMBERS = st.sampled_from([0, -1, 1, 2 ** 31, -2 ** 63, 2 ** 64, 10 ** 30, 1e308, -0., 0.5, float('nan'),
                           float('inf')])
LEAVES = st.one_of(
    st.none(), st.booleans(), NUMBERS, st.integers(), st.floats(allow_subnormal=False), st.text(max_size=20),
    st.sampled_from(['', 'x' * 100_000, '\ud800', '[/bold]', '../..', '/dev/zero', 'NaN']))
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
    st.text(max_size=8), inner, max_size=3), max_leaves=5)


@st.composite
def changed(draw: Callable[..., Any], content: Any) -> str:
    """A JSON text with up to three changes of its values, or of its characters."""

    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(0, 3))):
        place, key = draw(st.sampled_from(list(places(content)) or [({}, None)]))
        match draw(st.sampled_from(['replace', 'replace', 'delete', 'add', 'nest'])):
            case 'replace' if key is not None:
                place[key] = draw(VALUES)
            case 'delete' if key is not None:
                del place[key]
            case 'add' if isinstance(place, dict):
                place[draw(st.text(max_size=10))] = draw(VALUES)
            case 'nest' if key is not None:
                for _ in range(draw(st.sampled_from([1, 30, 400]))):
                    place[key] = [place[key]]
    text = json.dumps(content)
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        start, length = draw(st.integers(0, len(text))), draw(st.integers(0, 10))
        text = text[:start] + draw(st.text(max_size=5) | st.sampled_from(['[' * 50_000, '{"a":' * 5000, '"', '\\u'])
                                   ) + text[start + length:]
    return text


def places(content: Any) -> Any:
    """All values in lists and dicts, as their container and key."""

    keys = content if isinstance(content, dict) else range(len(content)) if isinstance(content, list) else ()
    for key in keys:
        yield content, key
        yield from places(content[key])


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run with a sanity check."""

    run = tmp_path_factory.mktemp('hostile') / 'run'
    lth.find_ticket('lenet-300-100', 'digits', rounds=1, epochs=1, run=run)
    lth.sanity_check(run, checks=['reinit'], epochs=2)
    return Path(run)


def read_header(run: Path, draw: Callable[..., Any]) -> Callable[[], object]:
    """The header of lth in a tensor file."""

    path = run / 'seed-0/round-01/ticket.safetensors'
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], 'little')
    outer = json.loads(content[8:end])
    outer['__metadata__']['lth'] = draw(changed(json.loads(outer['__metadata__']['lth'])))
    header = json.dumps(outer).encode(errors='surrogatepass')
    path.write_bytes(len(header).to_bytes(8, 'little') + header + content[end:])
    return lambda: load_round(run)


def read_safetensors_header(run: Path, draw: Callable[..., Any]) -> Callable[[], object]:
    """The header of safetensors: names, types, shapes and offsets of tensors."""

    path = run / 'seed-0/round-01' / draw(st.sampled_from(['mask.safetensors', 'trained.safetensors']))
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], 'little')
    header = draw(changed(json.loads(content[8:end]))).encode(errors='surrogatepass')
    length = draw(st.sampled_from([len(header)] * 3 + [0, 2 ** 63, len(header) + 1, len(content)]))
    path.write_bytes(length.to_bytes(8, 'little') + header + content[end:])
    return lambda: load_round(run)


def read_metrics(run: Path, draw: Callable[..., Any]) -> Callable[[], object]:
    """metrics.jsonl."""

    path = run / 'seed-0/round-01/metrics.jsonl'
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    changed_lines = [draw(changed(line)) for line in draw(st.permutations(lines))]
    path.write_bytes('\n'.join(changed_lines).encode(errors='surrogatepass'))
    return lambda: load_round(run)


def read_record(run: Path, draw: Callable[..., Any]) -> Callable[[], object]:
    """round.json."""

    path = run / 'seed-0/round-01/round.json'
    path.write_bytes(draw(changed(json.loads(path.read_text()))).encode(errors='surrogatepass'))
    return lambda: lth.open_run(run).table()


def read_session(run: Path, draw: Callable[..., Any]) -> Callable[[], object]:
    """The file of a session."""

    path = next((run / 'sessions').glob('*.json'))
    write_checked(path, draw)
    return lambda: sessions.read(run)


def read_checks_file(run: Path, draw: Callable[..., Any]) -> Callable[[], object]:
    """checks.json of the run's sanity checks."""

    checks = run.with_name('run-checks-round-01')
    write_checked(checks / checks_file.CHECKS, draw)
    return lambda: checks_file.read_checks(checks)


def read_pair(run: Path, draw: Callable[..., Any]) -> Callable[[], object]:
    """The file of a pair of copies whose stability was measured."""

    pair = CopyPair(0, 1, 0, 1, 3)
    PAIRS.write(run, pair, PairErrors([0.1, 0.2, 0.1], 1., 90., 0.5), 'fingerprint')
    write_checked(PAIRS.path(run, pair), draw)
    return lambda: PAIRS.read(run, pair, 'fingerprint')


def write_checked(path: Path, draw: Callable[..., Any]) -> None:
    """Change a file that has its own checksum, and compute that again if the file is still JSON."""

    content = json.loads(path.read_text())
    del content['checksum']
    text = draw(changed(content))
    try:
        path.write_bytes(encode_checked(json.loads(text)))
    except (ValueError, TypeError, RecursionError):
        path.write_bytes(text.encode(errors='surrogatepass'))


READERS = {'header': read_header, 'safetensors': read_safetensors_header, 'metrics': read_metrics,
           'record': read_record, 'session': read_session,
           'checks': read_checks_file, 'pair': read_pair}


@pytest.mark.slow
@pytest.mark.parametrize('name', READERS)
def test_a_file_with_any_content_is_read_or_refused_at_once(folder, tmp_path, name):
    check(folder, tmp_path / 'run', name, examples=200)


@pytest.mark.long
@pytest.mark.timeout(7200)
@pytest.mark.parametrize('name', READERS)
def test_a_file_with_any_content_is_read_or_refused_at_once_in_many_examples(folder, tmp_path, name):
    check(folder, tmp_path / 'run', name, examples=2000)


def check(folder: Path, copied: Path, name: str, *, examples: int) -> None:
    """Change the file so many times and read it each time."""

    for part in (copied, copied.with_name('run-checks-round-01')):
        shutil.copytree(folder.with_name(part.name), part)

    @hypothesis.settings(max_examples=examples, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(st.data())
    def read(data: st.DataObject) -> None:
        round_ = copied / 'seed-0/round-01'
        for part in (round_, copied / 'sessions', copied.with_name('run-checks-round-01')):
            shutil.copytree(folder.parent / part.relative_to(copied.parent), part, dirs_exist_ok=True)
        reader = READERS[name](copied, data.draw)
        sign(round_)
        start = time.process_time()
        try:
            reader()
        except LthError as error:
            assert len(str(error)) < 2000 and '\n' not in str(error)
        assert time.process_time() - start < 2
    read()


def load_round(run: Path) -> object:
    """The round with its tensors and measurements."""

    return open_run(parse_run_path(str(run)))[1].load_round(0, 1)
