"""Tables of soups and pools, by hand."""
import pytest

from lth.pruning.tickets import CopyAccuracies, PoolMembers
from lth.runs.average_records import CopiesRecord, PoolRecord

COPIES = CopyAccuracies((0.5, 0.75, 0.75), (0.6, 0.7, 0.8), (True, False, True))
POOL = PoolMembers(0.5, 0.6, (1, 3), (0.05, 0.9))


def test_the_best_copy_is_chosen_on_validation_images_and_the_first_of_several():
    record = CopiesRecord.of(COPIES)
    assert record.best_test == 0.7 and record.mean_test == pytest.approx(0.7)


def test_records_of_averages_give_back_what_they_were_made_of():
    assert CopiesRecord.of(COPIES).accuracies() == COPIES
    assert PoolRecord.of(POOL).members() == POOL


@pytest.mark.parametrize('record', [
    lambda: CopiesRecord(validation=[0.5, 0.5], test=[0.5], in_soup=[True, True]),
    lambda: CopiesRecord(validation=[0.5, 0.5], test=[0.5, 0.5], in_soup=[False, False]),
    lambda: PoolRecord(validation_before=0.5, test_before=0.5, rounds=[1], shares=[])])
def test_records_that_contradict_themselves_are_refused(record):
    with pytest.raises(ValueError, match='should'):
        record()
