"""Rounds and checkpoints as bytes: they arrive unchanged. What was changed on the way is refused, and not written."""
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from lth.errors import LthError
from lth.runs import integrity, packed_folders
from lth.runs.folder import Run
from lth.runs.packed_folders import PackedFolder, RunFacts
from lth.runs.removed_weights import MissingWeights, Needed
from tests import round_files

CHECKPOINT = 'round-01-step-0000300'
CONTENTS = st.dictionaries(
    st.from_regex(r'[a-z][a-z0-9_-]{0,8}\.[a-z]+', fullmatch=True), st.binary(max_size=50), min_size=1)


def state(folder: Path) -> dict[str, bytes]:
    return round_files.contents(folder, without=())


def checkpoint(content: bytes = b'weights', name: str = CHECKPOINT, seed: int = 0) -> PackedFolder:
    return PackedFolder(f'seed-{seed}/checkpoint/{name}', integrity.with_sums({'state.safetensors': content}))


@pytest.fixture
def facts(run: Run, tmp_path: Path) -> RunFacts:
    """An empty run of the same recipe."""

    return RunFacts(tmp_path / 'received', run.digest, (0, 7))


@pytest.fixture
def packed(run: Run) -> list[PackedFolder]:
    return list(packed_folders.pack_seed(run.folder, 0))


def test_rounds_and_the_checkpoint_of_a_seed_arrive_as_they_were(run, facts, tmp_path):
    shutil.rmtree(run.round_folder(0, 1))
    packed_folders.save_received(RunFacts(run.folder, run.digest, (0,)), checkpoint())
    for folder in packed_folders.pack_seed(run.folder, 0):
        packed_folders.save_received(facts, folder)
        packed_folders.unpack(tmp_path / 'copy', folder)

    sent = state(run.folder / 'seed-0')

    assert f'checkpoint/{CHECKPOINT}/state.safetensors' in sent and 'round-00/mask.safetensors' in sent
    assert state(facts.folder / 'seed-0') == sent == state(tmp_path / 'copy' / 'seed-0')


def test_a_received_round_is_read_like_one_that_was_trained_here(run, facts, packed):
    for folder in packed:
        packed_folders.save_received(facts, folder)

    Run(facts.folder, run.recipe, run.network).check(0, 1)


def test_a_round_replaces_the_checkpoints_of_its_seed(facts, packed):
    packed_folders.save_received(facts, packed[0])
    packed_folders.save_received(facts, checkpoint(b'first'))
    packed_folders.save_received(facts, checkpoint(b'second', 'round-01-step-0000400'))
    assert [path.name for path in (facts.folder / 'seed-0/checkpoint').iterdir()] == ['round-01-step-0000400']

    packed_folders.save_received(facts, packed[1])

    assert sorted(path.name for path in (facts.folder / 'seed-0').iterdir()) == ['round-00', 'round-01']


def test_a_round_that_arrives_twice_is_saved_once_and_a_different_one_is_refused(facts, packed):
    packed_folders.save_received(facts, packed[0])
    before = state(facts.folder)
    packed_folders.save_received(facts, packed[0])
    different = packed[0]._replace(files=integrity.with_sums({'mask.safetensors': b'other'}))

    with pytest.raises(LthError, match='exists already and differs'):
        packed_folders.save_received(facts, different)

    assert state(facts.folder) == before


@pytest.mark.parametrize('name', [
    'seed-1/round-00', 'seed-0/round-01', 'seed-0/checkpoint/round-01-step-0000300', 'seed-00/round-00',
    'seed-0/../../round-00', '/seed-0/round-00', 'seed-0', 'seed-0/round-00/', ''])
def test_only_the_next_round_of_the_seeds_is_saved(facts, packed, name):
    with pytest.raises(LthError):
        packed_folders.save_received(facts, packed[0]._replace(name=name))

    assert not facts.folder.exists()


def test_a_round_of_another_seed_or_recipe_is_refused(facts, packed):
    with pytest.raises(LthError, match='is another round: it says seed 0'):
        packed_folders.save_received(facts, packed[0]._replace(name='seed-7/round-00'))
    with pytest.raises(LthError, match="not 'another'"):
        packed_folders.save_received(facts._replace(digest='another'), packed[0])

    assert not facts.folder.exists()


@pytest.mark.parametrize('change', [
    lambda files: files | {'mask.safetensors': files['mask.safetensors'][:-1]},
    lambda files: files | {'mask.safetensors': files['ticket.safetensors']},
    lambda files: {name: files[name] for name in files if name != 'mask.safetensors'},
    lambda files: {name: files[name] for name in files if name != 'SHA256SUMS'},
    lambda files: files | {'more.txt': b''}, lambda files: files | {'.hidden': b''},
    lambda files: files | {'../escaped': b''},
    lambda files: integrity.with_sums({**files, '..': b''}), lambda files: integrity.with_sums({'a/b': b''}),
    lambda files: {'SHA256SUMS': b'\xff'}, lambda files: {}])
def test_a_round_that_was_changed_on_the_way_is_refused(
        facts: RunFacts, packed: list[PackedFolder], change: Callable[[Any], dict[str, bytes]]):
    with pytest.raises(LthError):
        packed_folders.save_received(facts, packed[0]._replace(files=change(packed[0].files)))

    assert not facts.folder.exists()


@hypothesis.settings(max_examples=15)
@hypothesis.given(CONTENTS, st.data())
def test_any_files_pass_and_any_change_of_one_is_noticed(tmp_path_factory, contents, data):
    run = tmp_path_factory.mktemp('run')
    sent = checkpoint()._replace(
        name='seed-0/checkpoint/round-00-step-0000001', files=integrity.with_sums(contents))
    packed_folders.unpack(run, sent)
    [packed] = packed_folders.pack_seed(run, 0)
    assert packed == sent and packed.size == sum(map(len, sent.files.values()))
    name = data.draw(st.sampled_from(sorted(packed.files)))
    other = data.draw(st.binary(max_size=50).filter(lambda content: content != packed.files[name]))
    changed = packed._replace(files=packed.files | {name: other})

    facts = RunFacts(tmp_path_factory.mktemp('received'), '', (0,))
    with pytest.raises(LthError):
        packed_folders.save_received(facts, changed)
    assert not state(facts.folder)
    packed_folders.save_received(facts, packed)

    assert state(facts.folder) == state(run)


def test_damaged_rounds_are_not_packed(run):
    (run.round_folder(0, 0) / 'mask.safetensors').write_bytes(b'damaged')

    with pytest.raises(LthError, match='lth repair'):
        list(packed_folders.pack_seed(run.folder, 0))


def test_files_that_keep_removed_stay_removed_on_the_other_side(run, tmp_path):
    run.thin(0, 0, 'tickets')

    for folder in packed_folders.pack_seed(run.folder, 0):
        packed_folders.unpack(tmp_path / 'copy', folder)

    copy = Run(tmp_path / 'copy', run.recipe, run.network)
    assert MissingWeights.of(copy.folder, [Needed(0, 0, 'trained')]) and copy.load_ticket(0, 0).mask.shape[0] == 1


def test_of_a_source_only_the_rounds_that_are_needed_are_packed(run, tmp_path):
    for folder in packed_folders.pack_rounds(run.folder, 7, [1]):
        packed_folders.unpack(tmp_path / 'copy', folder)

    copy = Run(tmp_path / 'copy', run.recipe, run.network)
    assert copy.round_count(7) == 2 and list(state(tmp_path / 'copy' / 'seed-7' / 'round-00')) == []
    copy.check(7, 1)


def test_rounds_of_version_0_1_0_are_packed_without_checksums(tmp_path):
    earlier = next((Path(__file__).parent.parent / 'fixtures/version-0.1.0').rglob('seed-*')).parent

    for folder in packed_folders.pack_seed(earlier, 0):
        packed_folders.unpack(tmp_path / 'copy', folder)

    assert state(tmp_path / 'copy') == {
        name: content for name, content in state(earlier).items() if name.startswith('seed-0/round')}
