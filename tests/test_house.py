"""Types, style and documents are part of the suite."""
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def complaints(*command: str) -> str:
    """What a checker says of the project; nothing if all is well."""

    done = subprocess.run([sys.executable, '-m', *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr if done.returncode else ''


@pytest.mark.timeout(280)
def test_types_are_complete_and_right():
    assert complaints('mypy', '--cache-dir', '/dev/null') == ''


@pytest.mark.timeout(280)
def test_the_linter_has_nothing_to_say():
    assert complaints('pylint', 'lth') == ''


def test_style_is_kept():
    assert complaints('pycodestyle', '--config=.pycodestyle', 'lth', 'tests') == ''


def test_links_in_documents_lead_somewhere():
    broken = []
    for document in [ROOT / 'README.md', ROOT / 'CHANGELOG.md', *ROOT.glob('docs/*.md')]:
        for link in re.findall(r'\]\(([^)#:]+)[^):]*\)', document.read_text()):
            if not (document.parent / link).exists():
                broken.append(f'{document.name}: {link}')
    assert not broken


def test_the_architecture_document_names_every_room():
    text = (ROOT / 'docs' / 'architecture.md').read_text()
    rooms = {path.name for path in (ROOT / 'lth').iterdir()
             if (path.suffix == '.py' and path.stem != '__init__') or (path / '__init__.py').exists()}
    assert {room for room in rooms if room not in text} == set()


def test_top_level_dependencies_of_conda_and_pip_agree():
    wanted = set(re.findall(r"^    '([a-z-]+)[>=]", (ROOT / 'pyproject.toml').read_text(), re.MULTILINE))
    runtime = wanted & {
        'numba', 'numpy', 'pydantic', 'pyyaml', 'rich', 'safetensors', 'scikit-learn', 'scipy', 'typer', 'torchvision'}
    conda = (ROOT / 'environment.linux-amd64.yaml').read_text()
    assert len(runtime) == 10
    assert {name for name in runtime if f'- {name}>=' not in conda} == set()
