"""Imports point downwards, and only the command line knows typer and rich."""
import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent / 'lth'
# From the bottom up. A package imports from lower tiers and from itself, never from another one of its own tier.
TIERS = (
    {'errors', 'rng'},
    {'system', 'registry'},
    {'recipes'},
    {'models', 'datasets'},
    {'training'},
    {'pruning'},
    {'foreign'},
    {'algorithms', 'runs'},
    {'experiments'},
    {'exports'},
    {'analysis', 'benchmark'},
    {'sharing'},
    {'cli', 'api'},
    {'__main__'})
# `import lth` itself imports nothing: what it offers is imported when it is first used.
LAZY = {'__init__'}
KNOW_DEVICES = ('training/engines', 'benchmark', 'system/memory.py')
LEVEL = {name: level for level, names in enumerate(TIERS) for name in names}


def package(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix('.py')


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split('.')[0] == 'lth':
            below = node.module.split('.')[1:]
            names |= set(below[:1]) or {alias.name for alias in node.names if alias.name in LEVEL}
        elif isinstance(node, ast.Import):
            names |= {alias.name.split('.')[1] for alias in node.names if alias.name.startswith('lth.')}
    return names


def test_every_file_belongs_to_a_package():
    assert {package(path) for path in ROOT.rglob('*.py')} == LEVEL.keys() | LAZY


def test_imports_point_downwards():
    wrong = []
    for path in ROOT.rglob('*.py'):
        here = package(path)
        if here not in LAZY:
            wrong += [f'{path}: {here} imports {there}' for there in imported(path) - {here}
                      if LEVEL[there] >= LEVEL[here]]
    assert not wrong


def test_only_the_command_line_imports_typer_and_rich_and_only_engines_name_devices():
    wrong = []
    for path in ROOT.rglob('*.py'):
        text = path.read_text()
        if package(path) not in ('cli', '__main__') and ('import typer' in text or 'from rich' in text):
            wrong.append(f'{path}: typer or rich')
        of_devices = any(word in text for word in ('torch.cuda', 'autocast', 'vmap'))
        if of_devices and not any(path.is_relative_to(ROOT / place) for place in KNOW_DEVICES):
            wrong.append(f'{path}: a device')
    assert not wrong
