from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import numpy
import pytest

from lth.errors import LthError
from lth.experiments.argument_types import check_types


class Options(TypedDict, total=False):
    device: str
    threads: int | None


@check_types(Options)
def measure(
        run: str | Path, *, round: int | None = None, rounds: Sequence[int] = (), points: int = 30,
        density: float | None = None, optimizer: Literal['adam', 'sgd'] | None = None,
        settings: Mapping[str, Any] | None = None, names: Sequence[str] = (), **options: Unpack[Options]) -> str:
    """The run."""

    del round, rounds, points, density, optimizer, settings, names, options
    return str(run)


@pytest.mark.parametrize('arguments', [
    {}, {'round': numpy.int64(2)}, {'rounds': range(3)}, {'rounds': [numpy.int64(1)]}, {'density': numpy.float32(0.5)},
    {'density': 1}, {'optimizer': 'sgd'}, {'settings': {'a.b': object()}}, {'names': ('a', 'b')},
    {'device': 'cpu', 'threads': None}])
def test_arguments_that_fit_their_annotations_are_accepted(arguments):
    assert measure('a', **arguments) == 'a'


@pytest.mark.parametrize(('arguments', 'message'), [
    ({'round': 'x'}, "round: 'x' is not possible. Give a whole number from 0 or None."),
    ({'round': -1}, 'round: -1'), ({'round': True}, 'round: True'), ({'round': 1.}, 'round: 1.0'),
    ({'rounds': 3}, 'rounds: 3 is not possible. Give a list in which each element is a whole number from 0.'),
    ({'rounds': ['a']}, 'rounds'), ({'names': 'ab'}, "names: 'ab'"),
    ({'points': 1}, 'Give a whole number from 3 to 10,000.'),
    ({'points': 10 ** 9}, 'Give a whole number from 3 to 10,000.'),
    ({'density': float('nan')}, 'density: nan'), ({'density': '0.1'}, 'Give a number or None.'),
    ({'optimizer': 'sgdd'}, "Give 'adam' or 'sgd' or None."), ({'optimizer': numpy.ones(2)}, 'optimizer'),
    ({'settings': [1]}, 'settings: [1] is not possible. Give a dict or None.'), ({'run': 3}, 'a string or a path'),
    ({'run': 'a\0b'}, 'run'), ({'device': None}, 'device: None is not possible. Give a string.'),
    ({'threads': 0}, 'threads: 0'), ({'names': ['x' * 5000, 3]}, "xxx... is not possible"),
    ({'devise': 'cpu'}, "Unknown argument 'devise', did you mean 'device'?")])
def test_arguments_of_other_types_are_refused(arguments, message):
    with pytest.raises(LthError) as error:
        measure(**{'run': 'a'} | arguments)
    assert message in str(error.value)
