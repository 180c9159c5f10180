"""Imports point downwards."""
import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent / 'lth'
# 7: none imports another, but reports may read runs. Everything else may import its own layer and those below.
LAYERS = {
    '__main__': 10, 'cli': 9,
    'plan': 8, 'session': 8, 'evaluation': 8, 'opening': 8, 'provenance': 8, 'sequels': 8, 'checks': 8,
    'verdicts': 8, 'loading': 8, 'stability': 8, 'benchmark': 8,
    'algorithms': 7, 'runs': 7, 'round_files': 7, 'reports': 7, 'statistics': 7,
    'compaction': 3, 'tickets': 6, 'controls': 6, 'transplant': 6, 'training': 5, 'engines': 4, 'network': 3, 'task': 3,
    'masks': 2, 'layer_counts': 2, 'criteria': 2, 'actions': 2, 'schedules': 2, 'models': 2, 'datasets': 2,
    'initializers': 2,
    'registry': 1, 'recipe': 1, 'recipes': 1, 'vectors': 1, 'lengths': 1, 'streams': 1, 'files': 1, 'tensor_files': 1,
    'rare_gems': 1, 'locks': 1, 'workers': 1, 'foreign': 1, 'plugins': 1, 'complaints': 1, 'errors': 0, '__init__': 0}
# What `import lth` offers is imported when it is asked for.
DOOR = ('__init__', 'loading')
ALLOWED_IN_SEVEN = {('reports', 'runs'), ('reports', 'statistics'), ('runs', 'round_files')}


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix('.py')


def imported(path: Path) -> list[str]:
    rooms = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split('.')[0] == 'lth':
            parts = node.module.split('.')[1:]
            rooms += parts[:1] or [alias.name if alias.name in LAYERS else '__init__' for alias in node.names]
        elif isinstance(node, ast.Import):
            rooms += [alias.name.split('.')[1] for alias in node.names if alias.name.startswith('lth.')]
    return rooms


def test_every_file_has_a_room():
    assert {room(path) for path in ROOT.rglob('*.py')} == set(LAYERS)


def test_imports_point_downwards():
    wrong = []
    for path in ROOT.rglob('*.py'):
        here = room(path)
        for there in imported(path):
            sideways = LAYERS[here] == LAYERS[there] == 7 and here != there and (here, there) not in ALLOWED_IN_SEVEN
            if (LAYERS[there] > LAYERS[here] or sideways) and (here, there) != DOOR:
                wrong.append(f'{path}: {here} imports {there}')
    assert not wrong


def test_only_the_command_line_imports_typer_and_rich_and_only_engines_speak_of_devices():
    wrong = []
    for path in ROOT.rglob('*.py'):
        text = path.read_text()
        if room(path) not in ('cli', '__main__') and ('import typer' in text or 'from rich' in text):
            wrong.append(f'{path}: typer or rich')
        of_devices = any(word in text for word in ('torch.cuda', 'autocast', 'vmap'))
        if room(path) not in ('engines', 'benchmark') and of_devices:
            wrong.append(f'{path}: a device')
    assert not wrong
