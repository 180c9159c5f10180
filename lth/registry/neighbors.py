"""The modules next to a file of the user: imported by it as if Python ran the file, however lth was started.

The folder of the file comes first in sys.path. Of a file in a package, this is the folder of the package, and relative
imports work. Python has one module of a name in a process, so another file of that name is an error, and not imported
instead.
"""
import sys
from pathlib import Path

from lth.errors import LthError
from lth.registry import code_fingerprints

# The files of the user that were imported here, and the folders that come first in sys.path for them.
_folders: dict[Path, Path] = {}
_added: list[str] = []


def package_of(path: Path) -> str:
    """The dotted name of the package that the file belongs to, '' if it belongs to none."""

    return '.'.join(path.parent.relative_to(_root(path)).parts)


def prefer(path: Path) -> None:
    """Let imports find the neighbors of the file first. LthError if one of them, or of another file that was imported
    here, would not be found because another file has its name.
    """

    root = _root(path)
    _folders[path] = root
    if sys.path[:1] != [str(root)]:
        sys.path.insert(0, str(root))
        _added.append(str(root))
    refuse_other_files()


def refuse_other_files() -> None:
    """LthError if a module that one of the files imports from its folder is, or would be, another file."""

    for path, root in _folders.items():
        for name in code_fingerprints.imported_names(path, package_of(path)):
            top = name.partition('.')[0]
            neighbor = next((file for file in (root / f'{top}.py', root / top / '__init__.py') if file.is_file()), None)
            found = code_fingerprints.file_of(top)
            if top != 'lth' and neighbor and found and found.resolve() != neighbor.resolve():
                raise LthError(f'{path} imports {top} from {neighbor}, but in this process {top} is {found}. Rename '
                               'one of the two.')


def forget() -> None:
    """Forget the files, and remove their folders from sys.path."""

    for folder in _added:
        if folder in sys.path:
            sys.path.remove(folder)
    _added.clear()
    _folders.clear()


def _root(path: Path) -> Path:
    """The folder from which the file, or the package that it belongs to, is imported."""

    folder = path.parent
    while (folder / '__init__.py').is_file() and folder.name.isidentifier():
        folder = folder.parent
    return folder
