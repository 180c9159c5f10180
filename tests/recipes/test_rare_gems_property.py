"""Rare-gems files with any keys and values: a recipe, or an LthError with one line for each error."""
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lth.errors import LthError
from lth.recipes.rare_gems import convert, names
from lth.recipes.rare_gems.keys import KNOWN

_WORDS = [*names.NETWORKS, *names.NO_NETWORKS, *names.DATASETS, *names.INITIALIZERS, *names.NORMS, *names.OPTIMIZERS,
          *names.SCHEDULES, *names.SCORES, *names.ALGORITHMS, *names.NO_ALGORITHMS, *names.REGULARIZERS, 'BottomK']
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_subnormal=False) | st.sampled_from(_WORDS)
    | st.text(max_size=200) | st.sampled_from([0, 1, -1, 0.5, 5, 150, 1e-300, 10 ** 400]),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=3), values, max_size=3),
    max_leaves=5)
_KEYS = st.sampled_from(KNOWN) | st.text(max_size=200) | st.integers()
_REQUIRED = {'arch': st.sampled_from(list(names.NETWORKS)), 'dataset': st.sampled_from(list(names.DATASETS)),
             'algo': st.sampled_from(list(names.ALGORITHMS))}
_FILES = st.dictionaries(_KEYS, _VALUES, max_size=20) | st.builds(
    lambda first, more: more | first, st.fixed_dictionaries(_REQUIRED), st.dictionaries(_KEYS, _VALUES, max_size=12))


def check(raw: dict) -> None:
    """Convert the file: within 10 s there is a recipe with all sections, or an LthError with short lines."""

    start = time.monotonic()
    try:
        found = convert(raw, 'mine.yml')
    except LthError as error:
        assert max(map(len, str(error).splitlines())) < 1000 and 'mine.yml' in str(error)
    else:
        assert found.recipe.keys() == {'source', 'model', 'data', 'training', 'algorithm'}
    assert time.monotonic() - start < 10


@pytest.mark.slow
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(_FILES)
def test_any_rare_gems_file_is_converted_or_refused(raw):
    check(raw)


@pytest.mark.long
@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(_FILES)
def test_any_of_many_rare_gems_files_is_converted_or_refused(raw):
    check(raw)
