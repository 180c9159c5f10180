"""The release: the version has one place and one copy, and the workflows test what pyproject.toml promises."""
import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import lth

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / '.github/workflows').glob('*.yml')}
TESTS, RELEASE = WORKFLOWS['tests']['jobs'], WORKFLOWS['release']['jobs']


def check_release() -> Any:
    """The function that the workflow runs as a script."""

    spec = importlib.util.spec_from_file_location('check_release', ROOT / '.ci/check_release.py')
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.problems


def commands(job: Any) -> str:
    return '\n'.join(step.get('run', '') for step in job['steps'])


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """The files of a release of version 2.3.4."""

    (tmp_path / 'lth').mkdir()
    (tmp_path / 'lth/__init__.py').write_text("import os\n__version__ = '2.3.4'\n")
    (tmp_path / 'CHANGELOG.md').write_text('# Changes\n\n## 2.3.4 (2027-01-31)\n\n## 2.3.3 (2027-01-01)\n')
    (tmp_path / 'CITATION.cff').write_text('cff-version: 1.2.0\nversion: 2.3.4\ndate-released: 2027-01-31\n')
    return tmp_path


def test_a_release_whose_files_agree_has_no_problem(released):
    assert check_release()('v2.3.4', released) == []


@pytest.mark.parametrize('file, old, new, problem', [
    ('lth/__init__.py', '2.3.4', '2.3.5', 'the tag is v2.3.4, and __version__ in lth/__init__.py is 2.3.5'),
    ('CHANGELOG.md', '2.3.4', '2.4.0', 'the topmost section of CHANGELOG.md is 2.4.0'),
    ('CHANGELOG.md', '2027-01-31', 'unreleased', 'CHANGELOG.md has no date: unreleased'),
    ('CITATION.cff', '2.3.4', '2.3.3', 'CITATION.cff has version 2.3.3'),
    ('CITATION.cff', '2027-01-31', '2027-02-01', 'date-released 2027-02-01'),
    ('CITATION.cff', 'date-released', 'released', 'date-released missing')])
def test_a_release_whose_files_differ_is_refused(released, file, old, new, problem):
    path = released / file
    path.write_text(path.read_text().replace(old, new))
    assert problem in '\n'.join(check_release()('v2.3.4', released))


def test_changes_and_citation_are_those_of_the_version():
    found = check_release()(f'v{lth.__version__}')
    # Before the day of the release, nothing else may be missing than its date.
    assert all('date' in problem for problem in found)
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert citation['version'] == lth.__version__


def test_the_citation_has_what_the_format_requires_and_arxiv_links_for_its_papers():
    citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text())
    assert {'cff-version', 'message', 'title', 'authors'} <= citation.keys()
    for reference in citation['references']:
        assert {'type', 'title', 'authors', 'year'} <= reference.keys()
        assert re.fullmatch(r'https://(arxiv.org/abs/\d{4}\.\d{5}|openreview.net/forum\?id=\w+)', reference['url'])


def test_the_suite_runs_on_every_version_of_python_that_is_promised():
    promised = [re.fullmatch(r'Programming Language :: Python :: (3\.\d+)', text) for text in PROJECT['classifiers']]
    versions = [match[1] for match in promised if match]
    assert TESTS['suite']['strategy']['matrix']['python'] == versions
    assert PROJECT['requires-python'] == f'>={versions[0]}'
    included = TESTS['suite']['strategy']['matrix']['include']
    assert {entry['python'] for entry in included} <= set(versions)


def test_the_suite_also_runs_with_the_lowest_versions_on_the_lowest_python():
    text = commands(TESTS['lowest'])
    assert "--resolution lowest-direct -e '.[dev]'" in text
    python, = {step['with']['python-version'] for step in TESTS['lowest']['steps'] if 'python-version' in
               step.get('with', {})}
    assert PROJECT['requires-python'] == f'>={python}'
    # The same part of the suite as on our own machines.
    tested = re.search(r'python -m pytest (tests/.*)$', text, re.MULTILINE)
    assert tested and (ROOT / '.ci/run').read_text().rstrip().endswith(f'python" -m pytest {tested[1]}')


def test_the_workflow_runs_the_test_command_of_the_readme():
    extraction = next(line.strip() for line in (ROOT / '.ci/run').read_text().splitlines()
                      if line.startswith('command='))
    assert extraction in commands(TESTS['suite'])


def test_only_the_job_that_publishes_may_do_more_than_read():
    for workflow in WORKFLOWS.values():
        assert workflow['permissions'] == {'contents': 'read'} and 'concurrency' in workflow
    own = {name: job['permissions'] for name, job in {**TESTS, **RELEASE}.items() if 'permissions' in job}
    assert own == {'publish': {'id-token': 'write'}}


def test_a_release_is_published_after_all_tests_with_the_tag_of_the_version():
    publish = RELEASE['publish']
    assert set(publish['needs']) == {'tests', 'build'} and publish['environment']['name'] == 'pypi'
    assert RELEASE['tests']['uses'] == './.github/workflows/tests.yml'
    # YAML 1.1 reads `on` as True.
    assert WORKFLOWS['release'][True] == {'push': {'tags': ['v*']}} and 'workflow_call' in WORKFLOWS['tests'][True]
    assert 'python3 .ci/check_release.py "$GITHUB_REF_NAME"' in commands(RELEASE['build'])


def test_actions_have_a_version():
    used = [step['uses'] for job in {**TESTS, **RELEASE}.values() for step in job.get('steps', []) if 'uses' in step]
    assert len(used) > 5 and [name for name in used if not re.search(r'@(v\d+|release/v1)$', name)] == []
