from pathlib import Path

import numpy
import pytest

from lth.experiments import resolve
from lth.experiments.python_arguments import run_target


def test_the_engine_may_have_its_former_name():
    assert run_target(Path(), {'engine': 'plain'}).engine == 'eager'  # type: ignore[typeddict-item]


@pytest.mark.parametrize('deterministic', [True, False, None])
def test_deterministic_is_passed_on_and_undecided_by_default(deterministic):
    assert run_target(Path(), {'deterministic': deterministic}).deterministic is deterministic
    assert run_target(Path(), {}).deterministic is None


def test_a_sparsity_of_numpy_is_the_same_number():
    assert resolve.gem_density(numpy.float64(0.59), None) == resolve.gem_density(0.59, None) == 0.0059
