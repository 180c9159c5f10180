"""The record of sessions, environment.json."""
import json

import pytest

from lth.errors import LthError
from lth.runs import sessions


def test_sessions_are_added_and_the_last_one_is_updated(tmp_path):
    sessions.add(tmp_path, {'start': 1, 'rounds': 1})
    sessions.update(tmp_path, {'start': 1, 'rounds': 2})
    sessions.add(tmp_path, {'start': 2, 'rounds': 1})
    assert json.loads((tmp_path / 'environment.json').read_text()) == [
        {'start': 1, 'rounds': 2}, {'start': 2, 'rounds': 1}]


@pytest.mark.parametrize('content', ['[1', '', '3', '{}', '"x"', '[3]'])
def test_an_environment_file_that_is_not_a_list_of_sessions_is_refused(tmp_path, content):
    (tmp_path / 'environment.json').write_text(content)
    with pytest.raises(LthError, match='environment.json'):
        sessions.read(tmp_path)
