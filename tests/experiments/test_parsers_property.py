"""Recipes, values of --set, seeds, densities and lengths with any content: a value, or an error that the user can fix,
at once.
"""
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from lth.cli.arguments import changes, parse_densities, parse_names, parse_numbers
from lth.cli.option_values import number, whole_number
from lth.errors import LthError
from lth.experiments.changes import Changes
from lth.experiments.gem_plans import gem_density, gem_plan
from lth.experiments.resolve import ticket_plan
from lth.system.yaml_text import dump_yaml

_QUICK = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
_LONG = settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))

PAIR = ('lenet-300-100', 'digits')
SECTIONS = ('model', 'data', 'training', 'algorithm', 'training.optimizer', 'training.schedule', 'algorithm.rates')
SETTINGS = (
    'source', 'base', 'preset', 'name', 'initializer', 'validation', 'share', 'labels', 'channels', 'storage', 'crop',
    'undecodable', 'normalization', 'resolution', 'resized_crop', 'flip', 'length', 'batch_size', 'warmup', 'precision',
    'measure_every', 'learning_rate', 'betas', 'momentum', 'nesterov', 'weight_decay', 'epsilon', 'milestones',
    'factor', 'per', 'rounds', 'rates', 'scope', 'criterion', 'mask_1_action', 'mask_0_action', 'rewind', 'retrain',
    'shots', 'keep_out', 'convolution', 'dense', 'output', 'density', 'kept', 'round', 'finetune')
WORDS = some.one_of(
    some.none(), some.booleans(), some.integers(-3, 100), some.sampled_from((10 ** 9, 10 ** 30, -10 ** 400)),
    some.floats(allow_subnormal=False), some.floats(0, 1, allow_subnormal=False), some.text(max_size=10),
    some.sampled_from((
        'adam', 'sgd', 'cosine', 'multistep', 'constant', 'magnitude', 'gem-miner', 'finetune', 'control', 'global',
        'lenet-300-100', 'conv-2', 'digits', 'mnist', 'random', 'auto', '1 epoch', '0 iterations', '99999999 epochs',
        '5 iterations', 'x' * 1000, '[/bold]', '../x', 'a\0b', 'none.py:f', 'digits.yaml', '\u0661')))
VALUES = some.recursive(WORDS, lambda part: some.lists(part, max_size=4) | some.dictionaries(
    some.sampled_from(SETTINGS) | some.text(max_size=5), part, max_size=4), max_leaves=8)
KEYS = some.one_of(
    some.sampled_from(SECTIONS), some.tuples(some.sampled_from(SECTIONS), some.sampled_from(SETTINGS)).map('.'.join),
    some.text(max_size=20), some.just('a.' * 1000))
FRAGMENTS = some.sampled_from((
    '', '!!bool x', '!!int ""', '!!map [a]', '&a [*a]', '*a', '[', '{', '{a: 1, a: 2}', '<<: 1', '- a', '|', "'", '? a',
    '[' * 50 + ']' * 50, '1' * 5000, '1' + ':59' * 3000, '%TAG', '---', '\t', '=', '0x', '1e999', '.nan', '\ud800'))
OVERRIDES = some.tuples(KEYS, some.one_of(VALUES.map(lambda value: json.dumps(value, default=str)), FRAGMENTS)).map(
    '='.join) | some.text(max_size=30)
RECIPES = some.dictionaries(some.sampled_from(('source', 'base', *SECTIONS[:4])), VALUES, max_size=4).map(dump_yaml)
# Lines of a recipe in any order, cut anywhere, with fragments in between.
TEXTS = some.lists(some.one_of(RECIPES, FRAGMENTS, some.text(max_size=30)), min_size=1, max_size=4).map('\n'.join)
NUMBERS = some.text('0123456789,-. e+%\u0661', max_size=30) | some.text(max_size=10) | some.sampled_from((
    '0-99999', '5-3', '0-9999,20000-29999', '9' * 100_000, '1,' * 50_000, '1e-400', 'nan', 'inf', '-0', '0x10', '1_0'))


def try_it(parse: Callable[[], Any]) -> None:
    """Call the function: any result, or an error in a few short lines, in at most 2 seconds of CPU time."""

    began = time.process_time()
    try:
        parse()
    except (LthError, typer.BadParameter) as error:
        assert all(len(line) < 1000 for line in str(error).splitlines())
    assert time.process_time() - began < 2


def read_recipe(path: Path, text: str) -> None:
    """Read a recipe for both searches from a file with this text."""

    path.write_bytes(text.encode('utf-8', 'surrogatepass'))
    try_it(lambda: ticket_plan(*PAIR, Changes(), recipe=str(path)))
    try_it(lambda: gem_plan(*PAIR, Changes(), density=0.05, recipe=str(path)))


def override(texts: list[str]) -> None:
    """Change the recipes of both searches by these values of --set."""

    try_it(lambda: ticket_plan(*PAIR, changes({}, texts)))
    try_it(lambda: gem_plan(*PAIR, changes({}, texts), density=0.05))


def read_numbers(text: str) -> None:
    """Read the text as a value of each option with numbers or names."""

    for parse in (parse_densities, parse_names, number, whole_number(smallest=1, largest=10),
                  lambda text: parse_numbers(text, '--seeds'), lambda text: gem_density(number(text), None),
                  lambda text: gem_density(None, number(text))):
        try_it(lambda parse=parse: parse(text))
    for unit in ('epochs', 'iterations'):
        try_it(lambda unit=unit: ticket_plan(*PAIR, Changes(overrides=[('training.length', f'{text} {unit}')])))


@pytest.mark.slow
@_QUICK
@given(TEXTS)
def test_any_recipe_file_is_read_or_refused(tmp_path_factory, text):
    read_recipe(tmp_path_factory.getbasetemp() / 'mine.yaml', text)


@pytest.mark.long
@_LONG
@given(TEXTS)
def test_any_recipe_file_is_read_or_refused_in_many_examples(tmp_path_factory, text):
    read_recipe(tmp_path_factory.getbasetemp() / 'mine.yaml', text)


@pytest.mark.slow
@_QUICK
@given(some.lists(OVERRIDES, max_size=3))
def test_any_value_of_set_is_read_or_refused(texts):
    override(texts)


@pytest.mark.long
@_LONG
@given(some.lists(OVERRIDES, max_size=3))
def test_any_value_of_set_is_read_or_refused_in_many_examples(texts):
    override(texts)


@pytest.mark.slow
@_QUICK
@given(NUMBERS)
def test_any_text_of_seeds_densities_and_lengths_is_read_or_refused(text):
    read_numbers(text)


@pytest.mark.long
@_LONG
@given(NUMBERS)
def test_any_text_of_seeds_densities_and_lengths_is_read_or_refused_in_many_examples(text):
    read_numbers(text)
