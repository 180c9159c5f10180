from pathlib import Path

import numpy

from lth.experiments import resolve
from lth.experiments.python_arguments import run_target


def test_the_engine_may_have_its_former_name():
    assert run_target(Path(), {'engine': 'plain'}).engine == 'eager'  # type: ignore[typeddict-item]


def test_a_sparsity_of_numpy_is_the_same_number():
    assert resolve.gem_density(numpy.float64(0.59), None) == resolve.gem_density(0.59, None) == 0.0059
