import itertools
import re
from pathlib import Path

import numpy
import pytest

from lth.errors import LthError
from lth.experiments import gem_plans
from lth.experiments.python_arguments import run_target, seed_numbers


def test_the_engine_may_have_its_former_name():
    assert run_target(Path(), {'engine': 'plain'}).engine == 'eager'  # type: ignore[typeddict-item]


@pytest.mark.parametrize('deterministic', [True, False, None])
def test_deterministic_is_passed_on_and_undecided_by_default(deterministic):
    assert run_target(Path(), {'deterministic': deterministic}).deterministic is deterministic
    assert run_target(Path(), {}).deterministic is None


def test_a_sparsity_of_numpy_is_the_same_number():
    assert gem_plans.gem_density(numpy.float64(0.59), None) == gem_plans.gem_density(0.59, None) == 0.0059


@pytest.mark.parametrize(('seeds', 'message'), [
    (range(10 ** 9), 'seeds: range(0, 1000000000) are too many. Give at most 10,001.'),
    (itertools.count(), 'are too many. Give at most 10,001.'), ([10 ** 9], 'whole numbers from 0 to 999,999,999'),
    ([-1], 'whole numbers from 0'), ([], 'seeds: [] are not whole numbers'), ('01', "seeds: '01' are not")])
def test_seeds_beyond_the_limits_of_the_command_line_are_refused_at_once(seeds, message):
    with pytest.raises(LthError, match=re.escape(message)):
        seed_numbers(seeds)
