"""What makes a process of tests fast, and changes nothing that a test checks. tests/conftest.py imports it first."""
import gc
import os
import sys
from collections.abc import Generator
from functools import cache

import pytest
from typer import testing

# Otherwise each worker compiles the tests, with pytest's checks, whenever it starts: 7 s and more.
_DONT_WRITE_BYTECODE, sys.dont_write_bytecode = sys.dont_write_bytecode, False
# The commands are built once: that takes 15 ms, and many a command less. The name is private to typer.
if hasattr(testing, '_get_command'):
    testing._get_command = cache(testing._get_command)
# A short search flushes 34 files and folders to the disk. That is for a machine that loses power: what a process wrote
# before it was killed is there without it.
os.fsync = lambda _descriptor: None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the xdist_group of a test to its name, by which a worker takes the whole group. xdist 3.8 does so in an
    attribute that pytest 9.2 does not have.
    """

    for item in items if 'PYTEST_XDIST_WORKER' in os.environ else ():
        mark = item.get_closest_marker('xdist_group')
        if mark is not None and hasattr(item, '_id') and not item.nodeid.endswith(f'@{mark.args[0]}'):
            item._id = type(item._id).parse(f'{item.nodeid}@{mark.args[0]}')


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Cycles are not searched for during collection, which frees few objects, and then only among those of tests. Only
    modules that are imported until then are stored as bytecode if the user wants none.
    """

    gc.disable()
    try:
        return (yield)
    finally:
        sys.dont_write_bytecode = _DONT_WRITE_BYTECODE
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_unconfigure() -> None:
    """At the end of the process, libraries free what they hold in any order; triton reports what stays."""

    gc.unfreeze()
