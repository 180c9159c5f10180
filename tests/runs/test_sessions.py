"""The record of sessions: a file for each, and environment.json of version 0.1.0."""
import json

import pytest

from lth.errors import LthError
from lth.runs import sessions


def entry(start: str = '2026-11-27T03:15:00.250+01:00', **facts) -> dict:
    return {'start': start, 'host': 'node 1/x', 'process': 17, 'rounds': 1} | facts


def test_a_session_has_one_file_named_by_its_start_host_and_process_however_often_it_is_written(tmp_path):
    sessions.write(tmp_path, entry())
    sessions.write(tmp_path, entry(rounds=2))
    assert [path.name for path in (tmp_path / 'sessions').iterdir()] == ['20261127T021500.250Z-node_1_x-17.json']
    assert sessions.read(tmp_path) == [entry(rounds=2)]


def test_sessions_are_read_in_the_order_of_their_start_after_those_of_version_0_1_0(tmp_path):
    (tmp_path / 'environment.json').write_text(json.dumps([{'rounds': 3, 'choice': 'plain'}]))
    sessions.write(tmp_path, entry('2026-11-27T03:15:00.250+01:00'))
    sessions.write(tmp_path, entry('2026-11-27T02:14:59.000+00:00'))  # 251 ms earlier
    assert [read.get('start', '')[:16] for read in sessions.read(tmp_path)] == [
        '', '2026-11-27T02:14', '2026-11-27T03:15']


@pytest.mark.parametrize('change', [
    lambda text: text.replace('"rounds": 1', '"rounds": 2'), lambda text: text.replace('node', 'nodf'),
    lambda text: text.replace('"checksum": "', '"checksum": "0'), lambda text: text[:-5], lambda text: '[]',
    lambda text: text.replace('"checksum"', '"checksun"')])
def test_a_session_file_that_was_changed_is_refused_with_the_way_to_repair_the_run(tmp_path, change):
    sessions.write(tmp_path, entry())
    (path,) = sessions.session_files(tmp_path)
    path.write_text(change(path.read_text()))
    with pytest.raises(LthError, match=f'{path.name} is (damaged|corrupt).*lth repair'):
        sessions.read(tmp_path)


@pytest.mark.parametrize('facts', [
    {'rounds': -1}, {'rounds': '3'}, {'choice': 3}, {'device': []}, {'threads': 1e3}, {'command': 'lth'},
    {'seconds': None}, {'lth': 'x' * 5000}])
def test_a_fact_of_another_type_is_refused_even_with_its_checksum(tmp_path, facts):
    sessions.write(tmp_path, entry(**facts))
    with pytest.raises(LthError, match=f'was not written by lth: {[*facts][0]}'):
        sessions.read(tmp_path)


@pytest.mark.parametrize('content', ['[1', '', '3', '{}', '"x"', '[3]', '[' * 100_000, '[{"rounds": 1e999}]'])
def test_an_environment_file_that_is_not_a_list_of_sessions_is_refused(tmp_path, content):
    (tmp_path / 'environment.json').write_text(content)
    with pytest.raises(LthError, match='environment.json'):
        sessions.read(tmp_path)
