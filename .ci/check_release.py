#!/usr/bin/env python3
"""Refuse a release whose tag, version, changes and citation differ: python .ci/check_release.py v1.0.0

Needs nothing but Python: it reads files, and imports no package.
"""
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def problems(tag: str, root: Path = ROOT) -> list[str]:
    """What must be changed before the commit of this tag can be released."""

    version = _find(root / 'lth/__init__.py', r"^__version__ = '(.*)'$")
    changes, date = _find(root / 'CHANGELOG.md', r'^## (\S+) \(.*\)$'), _find(root / 'CHANGELOG.md', r'^## \S+ \((.*)\)$')
    cited, cited_date = (_find(root / 'CITATION.cff', rf"^{key}: '?([^'\n]*)'?$") for key in ('version', 'date-released'))
    found = []
    if tag != f'v{version}':
        found.append(f'the tag is {tag}, and __version__ in lth/__init__.py is {version}')
    if changes != version:
        found.append(f'the topmost section of CHANGELOG.md is {changes}, and the version is {version}')
    if not re.fullmatch(r'\d{4}-\d\d-\d\d', date):
        found.append(f'the topmost section of CHANGELOG.md has no date: {date}')
    if (cited, cited_date) != (version, date):
        found.append(f'CITATION.cff has version {cited} and date-released {cited_date or "missing"}, and the release is '
                     f'{version} of {date}')
    return found


def _find(file: Path, pattern: str) -> str:
    match = re.search(pattern, file.read_text(encoding='utf-8'), re.MULTILINE)
    return match[1] if match else ''


if __name__ == '__main__':
    faults = problems(sys.argv[1])
    sys.exit('\n'.join(faults) or 0)
