"""What algorithms declare for the rest of the package."""
import pytest

from lth.algorithms import ALGORITHMS
from lth.errors import LthError
from tests.algorithms.at_init.test_at_init import ALL as AT_INIT
from tests.algorithms.at_init.test_at_init import settings as at_init
from tests.algorithms.trained_masks.test_trained_masks import EVERY, settings_of


def test_algorithms_without_data_are_those_that_use_neither_images_nor_labels():
    assert {name for name in ALGORITHMS.names() if not ALGORITHMS.find(name).settings.uses_data} == {
        'magnitude-at-init', 'random', 'smart-ratio', 'synflow'}


def test_synflow_depends_on_data_if_training_images_warm_its_batch_norm():
    assert [at_init('synflow', statistics=name).depends_on_data for name in ('initial', 'warm')] == [False, True]
    assert at_init('snip').depends_on_data and not at_init('random').depends_on_data


def test_gem_names_are_all_algorithms_that_find_gems_and_their_second_names():
    names = ALGORITHMS.gem_names()
    assert set(names.values()) == {*EVERY, *AT_INIT}
    assert names['magnitude'] == names['magnitudeatinit'] == 'magnitude-at-init'


@pytest.mark.parametrize('name', sorted(EVERY))
def test_inverted_settings_of_trained_scores_keep_the_smallest(name):
    assert settings_of(name).inverted() == {'keep': 'smallest'}


def test_algorithms_without_a_ranking_cannot_be_inverted():
    with pytest.raises(LthError, match='random has no ranking that can be inverted'):
        at_init('random').inverted()
    with pytest.raises(LthError, match='with an inverted ranking there are none'):
        settings_of('gem-miner', final_mask='above-threshold').inverted()


def test_the_former_value_in_force_of_final_mask_means_above_threshold():
    assert settings_of('gem-miner', final_mask='in-force') == settings_of('gem-miner', final_mask='above-threshold')


def test_only_algorithms_that_need_a_source_receive_source_rounds():
    assert {name for name in ALGORITHMS.names() if ALGORITHMS.find(name).settings.needs_source} == {
        'align', 'control', 'early-bird', 'finetune', 'pool', 'sculpt', 'transfer'}
