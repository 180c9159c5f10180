"""Strict JSON within bounds."""
import pytest

from lth.errors import LthError
from lth.system.json_text import parse_json, read_json


def test_a_text_has_the_value_that_json_gives_it():
    assert parse_json(b'{"a": [1, -2.5e3, "\\u00e9[{", null, true]}', 'x') == {'a': [1, -2500., 'é[{', None, True]}


@pytest.mark.parametrize('content', [
    b'', b'{', b'{"a": NaN}', b'[Infinity]', b'[-Infinity]', b'[1e999]', b'[-1e999]', b'{"a": 1, "a": 1}',
    b'[' + b'9' * 21 + b']', b'\xff', b'["\\ud800"]', b'{"\\udfff": 1}', b'[1] [2]', b'"' + b'\\"' * 100_000,
    b'[' * 33 + b']' * 33, b'[' * 2_000_000, b'{"a":' * 500_000])
def test_anything_else_than_strict_json_is_an_error_of_one_paragraph(content):
    with pytest.raises(LthError, match='^FILE is corrupt or not JSON .*ADVICE$') as caught:
        parse_json(content, 'FILE', 'ADVICE')
    assert len(str(caught.value)) < 250


def test_brackets_in_strings_are_not_nesting():
    assert parse_json('["' + '[' * 100 + '\\"' + '{' * 100 + '"]', 'x') == ['[' * 100 + '"' + '{' * 100]


def test_nesting_of_32_levels_is_accepted():
    assert parse_json('[' * 32 + ']' * 32, 'x')


def test_a_file_that_is_larger_than_expected_is_refused(tmp_path):
    (tmp_path / 'x.json').write_text(f'[{" " * 100}]')
    assert read_json(tmp_path / 'x.json', at_most=102) == []
    with pytest.raises(LthError, match='x.json is too large: it has 102 bytes'):
        read_json(tmp_path / 'x.json', at_most=101)
