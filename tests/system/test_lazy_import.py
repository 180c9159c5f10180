"""Modules that are imported on first use."""
import os.path
import subprocess
import sys

import pytest

from lth import experiments
from lth.system import lazy_import


def test_a_lazy_package_imports_a_submodule_on_first_use_and_not_before():
    code = ('import sys; from lth import experiments; print("lth.experiments.plan" in sys.modules); '
            'print(experiments.plan.make_plan.__name__)')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['False', 'make_plan']


def test_a_lazy_package_has_no_attribute_that_is_not_a_submodule():
    with pytest.raises(AttributeError, match="module 'lth.experiments' has no attribute 'plans'"):
        _ = experiments.plans
    assert not hasattr(experiments, '__wrapped__')


def test_torchvision_and_scikit_learn_are_not_imported_with_the_registries():
    code = ('import sys, lth.datasets, lth.models.registry; '
            'print("torchvision" in sys.modules, "sklearn" in sys.modules)')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ['False', 'False']


def test_a_lazy_module_has_the_attributes_of_the_module():
    assert lazy_import.module('os.path').join is os.path.join
