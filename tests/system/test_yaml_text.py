"""YAML that is read strictly and within bounds."""
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as some

from lth.errors import LthError
from lth.system.yaml_text import dump_yaml, parse_yaml, read_yaml, value_text

LIKE_OTHER_TYPES = ['1e3', '1:30', '2020-01-01', '08', '0x1f', '=', '<<', '~', 'yes', '.5', '1_000', '.inf']
WORDS = some.one_of(
    some.none(), some.booleans(), some.integers(-10 ** 30, 10 ** 30), some.text(max_size=8),
    some.floats(allow_nan=False, allow_subnormal=False), some.sampled_from(LIKE_OTHER_TYPES))
VALUES = some.recursive(WORDS, lambda part: some.lists(part, max_size=4) | some.dictionaries(
    some.text(max_size=5), part, max_size=4), max_leaves=20)


def test_numbers_are_those_that_people_write():
    assert parse_yaml('[1e-3, 2E+4, -1.5e-2, "1e-3", 1.0e-07, .5, 1_000, 0x10]', 'here') == [
        0.001, 20000., -0.015, '1e-3', 1e-7, .5, 1000, 16]
    assert parse_yaml('[1:30, 2020-01-01, =, 08, 1.2.3]', 'here') == ['1:30', '2020-01-01', '=', '08', '1.2.3']


@settings(max_examples=100)
@given(value=some.dictionaries(some.text(max_size=5), VALUES, max_size=4))
def test_what_is_written_is_read_back(value):
    assert parse_yaml(dump_yaml(value), 'here') == value


@settings(max_examples=100)
@given(value=VALUES)
def test_a_value_as_an_option_takes_it_is_read_back(value):
    text = value_text(value)
    assert parse_yaml(text, 'here') == value and text.isascii()


def test_a_list_that_occurs_many_times_is_written_and_read():
    rounds = {'rounds': [[1, 2]] * 1000}
    assert parse_yaml(dump_yaml(rounds), 'here') == rounds


@pytest.mark.parametrize('text', [
    'a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\n', 'd: {<<: {name: adam, rate: 0.001}, rate: 0.1}\n',
    'x: &x {a: 1}\ny: &y {<<: *x, a: 2}\nz: {<<: [*y, *x], b: 3}\n', 'x: &x [1, 2]\ny: *x\n'])
def test_merged_keys_and_aliases_are_read_as_by_pyyaml(text):
    assert parse_yaml(text, 'here') == yaml.safe_load(text)


@pytest.mark.parametrize(('text', 'message'), [
    ('a: 1\nb:\n  c: 1\n  c: 2\n', r"here: not valid YAML: the key 'c' is given twice \(line 4, column 3\)\."),
    ('a: !!bool x', r"the tag 'tag:yaml.org,2002:bool' is not supported: leave it out \(line 1, column 4\)\."),
    ('!!map [a]', "the tag 'tag:yaml.org,2002:map'"), ('a: !x 1', "the tag '!x'"), ('! a: 1', "the tag '!'"),
    ('a: &a [*a]', 'an alias stands within what it stands for'),
    ('a: &a {<<: *a}', 'an alias stands within'), ('? [1]\n: 2', 'a list or a mapping cannot be a key'),
    ('a: *b', "undefined alias"), ('a: 1\n---\nb: 2\n', 'but found another document'),
    ('a: 1' + '0' * 5000, 'has more than 100 digits'), ('a:\n\tb: 1\n', 'line 2'),
    ('a: \0', 'characters are not allowed'), ('<<: 3', 'expected a mapping')])
def test_what_is_refused_is_named_in_one_sentence_with_its_place(text, message):
    with pytest.raises(LthError, match=message) as caught:
        parse_yaml(text, 'here')
    assert len(str(caught.value)) < 300 and '\n' not in str(caught.value)


@pytest.mark.parametrize('text', [
    'a: ' + '[' * 40 + ']' * 40, 'a: ' + '[' * 100_000, 'a: "' + 'x' * 2 ** 18 + '"', 'a: ' + '{b: ' * 40_000,
    'l0: &l0 [1]\n' + ''.join(f'l{n}: &l{n} [*l{n - 1}, *l{n - 1}]\n' for n in range(1, 29)),
    'l0: &l0 {x: 1}\n' + ''.join(f'l{n}: &l{n} {{<<: [*l{n - 1}, *l{n - 1}]}}\n' for n in range(1, 29)),
    'x: &x 1\ny: [' + '*x, ' * 60_000 + ']', 'a:\n  - x\n' + '  - 1\n' * 50_001,
    ''.join(f'k{n}: 1\n' for n in range(26_000)),
    'b' * 100_000 + ': 1\n' + 'b' * 100_000 + ': 2\n', ''.join(' ' * n + 'a:\n' for n in range(700)),
    'a: *' + 'b' * 100_000, 'a: !' + 'b' * 100_000, 'a: 1' + ':10' * 80_000 + 'x' * 90_000])
def test_yaml_that_is_too_large_is_refused_at_once_in_a_short_message(tmp_path, text):
    began = time.monotonic()
    (tmp_path / 'x.yaml').write_text(text)
    with pytest.raises(LthError, match='x.yaml') as caught:
        read_yaml(tmp_path / 'x.yaml')
    assert len(str(caught.value)) < 500 + len(str(tmp_path)) and time.monotonic() - began < 10


@pytest.mark.parametrize(('text', 'message'), [
    ('- 1\n', r'x.yaml contains a list\. Write lines'), ('just words', "x.yaml contains only 'just words'"),
    ('', 'x.yaml is empty'), ('# a\n', 'x.yaml is empty'), ('a: [1', 'x.yaml: not valid YAML'),
    ('\x00', 'x.yaml: not valid')])
def test_yaml_that_is_not_a_mapping_is_an_error_with_the_path(tmp_path, text, message):
    (tmp_path / 'x.yaml').write_text(text)
    with pytest.raises(LthError, match=message):
        read_yaml(tmp_path / 'x.yaml')
