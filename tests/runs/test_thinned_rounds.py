"""Rounds from which the option --keep removed files: what is left, what can still be read, what is said."""
import subprocess

import pytest
import torch

from lth.errors import LthError
from lth.runs import integrity
from lth.runs.removed_weights import MissingWeights, Needed

CPU = torch.device('cpu')


def names(run, number: int = 1) -> set[str]:
    return {path.name.removesuffix('.safetensors') for path in run.round_folder(0, number).iterdir()}


@pytest.mark.parametrize(('keep', 'left'), [('tickets', {'mask', 'ticket'}), ('last', {'mask'})])
def test_masks_measurements_and_the_record_stay_and_sha256sum_accepts_the_rest(run, keep, left):
    record, metrics, mask = run.record(0, 1), run.metrics(0, 1), run.load_mask(0, 1)
    run.thin(0, 1, keep)
    assert names(run) == {'metrics.jsonl', 'round.json', 'SHA256SUMS'} | left
    assert run.record(0, 1) == record and run.metrics(0, 1) == metrics and torch.equal(run.load_mask(0, 1), mask)
    checked = subprocess.run(['sha256sum', '-c', '--strict', 'SHA256SUMS'], cwd=run.round_folder(0, 1), check=False,
                             capture_output=True, text=True)
    assert checked.returncode == 0 and not checked.stderr


def test_a_round_without_its_trained_weights_still_gives_its_ticket_and_measurements(run):
    before = run.stored_rounds((7, 0), CPU)[1]
    run.thin(0, 1, 'tickets')
    after = run.stored_rounds((7, 0), CPU)[1].to(CPU)
    assert torch.equal(after.ticket.weights, before.ticket.weights)
    assert (after.trained.history, after.trained.step) == (before.trained.history, before.trained.step)
    message = 'seed-0/round-01/trained.safetensors was removed by the option --keep tickets'
    for name in ('weights', 'buffers'):
        with pytest.raises(LthError, match=message):
            getattr(after.trained, name)


def test_a_ticket_that_was_removed_is_an_error_with_the_option(run):
    run.thin(0, 1, 'last')
    for load in (run.load_round, run.load_ticket):
        with pytest.raises(LthError, match='ticket.safetensors was removed by the option --keep last'):
            load(0, 1)


def test_more_can_be_removed_later_and_a_removal_that_was_interrupted_is_completed(run, monkeypatch):
    path = run.round_folder(0, 1) / 'trained.safetensors'
    content = path.read_bytes()
    run.thin(0, 1, 'tickets')
    path.write_bytes(content)  # as if the session had been killed before it removed the file
    run.load_ticket(0, 1)
    run.thin(0, 1, 'last')
    assert not path.exists() and names(run) == {'mask', 'metrics.jsonl', 'round.json', 'SHA256SUMS'}
    text = (path.parent / 'SHA256SUMS').read_text()
    assert '# removed by --keep tickets: trained.safetensors' in text
    assert '# removed by --keep last: ticket.safetensors' in text
    before = text
    run.thin(0, 1, 'last')
    assert (path.parent / 'SHA256SUMS').read_text() == before


@pytest.mark.parametrize(('thinned', 'kinds', 'expected'), [
    ((0, 7), ('ticket',), 'the tickets of round 1'), ((0, 7), ('trained',), 'the trained weights of round 1'),
    ((0, 7), ('ticket', 'trained'), 'the weights of round 1'), ((7,), ('ticket',), 'the tickets of round 1 (seed 7)')])
def test_the_missing_weights_of_a_run_are_named_with_the_rounds_that_have_them(run, thinned, kinds, expected):
    needed = [Needed(seed, number, kind) for seed in (0, 7) for number in (0, 1) for kind in kinds]
    assert not MissingWeights.of(run.folder, needed)
    for seed in thinned:
        run.thin(seed, 1, 'last')
    missing = MissingWeights.of(run.folder, needed)
    assert missing.rounds == [1] and missing.includes(7, 1) and not missing.includes(7, 0)
    assert missing.sentence() == f'{run.folder}: the option --keep removed {expected}'
    assert 'Round 0 still has them. To have them again, repeat' in str(missing.error(''))


def test_nothing_is_removed_from_a_round_without_checksums(run):
    (run.round_folder(0, 1) / integrity.SUMS).unlink()
    with pytest.raises(LthError, match='Leave out --keep'):
        run.thin(0, 1, 'last')
