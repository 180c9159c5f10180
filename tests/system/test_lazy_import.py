"""Packages whose submodules are imported on first use."""
import subprocess
import sys

import pytest

from lth import experiments


def test_a_lazy_package_imports_a_submodule_on_first_use_and_not_before():
    code = ('import sys; from lth import experiments; print("lth.experiments.plan" in sys.modules); '
            'print(experiments.plan.make_plan.__name__)')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['False', 'make_plan']


def test_a_lazy_package_has_no_attribute_that_is_not_a_submodule():
    with pytest.raises(AttributeError, match="module 'lth.experiments' has no attribute 'plans'"):
        _ = experiments.plans
    assert not hasattr(experiments, '__wrapped__')
