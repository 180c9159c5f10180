"""Data sets of users: a function without arguments, given as `package.module:function` or `path/to/file.py:function`.

It returns a Source, or training and test set in one of the forms of given_data.py.
"""
import functools
from collections.abc import Mapping
from typing import Any

from lth.datasets import given_data
from lth.datasets.source import Source
from lth.errors import LthError, quote
from lth.registry import trust, user_code, user_modules


def source(name: str) -> Source:
    """The source that the user's function returns, or a source of the images that it returns. The function is called
    once in a process.
    """

    trust.require_if_strict(name)
    return _cached_source(name, user_modules.imports())


def call_again(name: str) -> Source:
    """The source of a second call of the function."""

    return _call(name)


@functools.cache
def _cached_source(name: str, _imports: int) -> Source:
    return _call(name)


def _call(name: str) -> Source:
    function = user_code.load(name)
    with user_code.guard(f'{name}, called without arguments,'):
        result = function()
    if isinstance(result, Source):
        return _checked(name, result)
    return given_data.source_of_splits(name, *given_data.splits(name, result))


def _checked(name: str, source_: Source) -> Source:
    """The source; LthError if what it declares is not of the type that lth expects."""

    facts = {
        'shape': (source_.shape, _are_counts(source_.shape, 3) and source_.shape[0] in (1, 3),
                  '(channels, height, width) with 1 or 3 channels'),
        'classes': (source_.classes, _are_counts([source_.classes], 1), 'a whole number from 1'),
        'image_counts': (source_.image_counts, _are_counts(source_.image_counts, 2),
                         'the numbers of training and of test images'),
        'streams': (source_.streams, source_.streams in ('never', 'large', 'always'), "'never', 'large' or 'always'"),
        'settings': (source_.settings, isinstance(source_.settings, Mapping), 'a dict of settings of section data'),
        'read': (source_.read, callable(source_.read), 'a function of the data folder and the settings')}
    for field, (value, is_valid, expected) in facts.items():
        if not is_valid:
            raise LthError(f'{name} returns a Source whose {field} is {quote(value)}. It should be {expected}.')
    return source_


def _are_counts(values: Any, length: int) -> bool:
    """Whether these are `length` whole numbers from 1."""

    return (isinstance(values, (list, tuple)) and len(values) == length
            and all(isinstance(value, int) and value > 0 for value in values))
