"""The registry of forms: what a folder or a file of another program holds, found without reading its tensors.

A form is a function of a path that returns a ForeignRun; LthError if the path has another form.
"""
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor

from lth.errors import LthError
from lth.registry.registry import Registry
from lth.system import reading

Named = dict[str, Tensor]
_CHUNK = 2 ** 20


class ForeignRound(NamedTuple):
    """A round by the names of the other program: masks by weight (0 or 1, {} for the dense network), all tensors before
    training (None if they are unknown), and after training.
    """

    masks: Named
    start: Named | None
    trained: Named


@dataclass(frozen=True)
class ForeignRun:
    """What was found. `rounds` has for each seed a reader of each round, and `files` all files that these read.
    `model`, `dataset` and `settings` (sections of a recipe) are '' and {} if they are unknown. Training of a ticket
    starts at epoch `start[0]`, iteration `start[1]` of that epoch. `preset`: whose recipe has the settings that are
    not known. `notes` say what the user should know.
    """

    rounds: Mapping[int, Sequence[Callable[[], ForeignRound]]]
    files: Sequence[Path]
    model: str = ''
    dataset: str = ''
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: tuple[int, int] = (0, 0)
    preset: Literal['tickets', 'gems'] = 'tickets'
    notes: Sequence[str] = ()

    @property
    def digest(self) -> str:
        """Digest of the content of all files."""

        digest = hashlib.blake2b(digest_size=12)
        for path in self.files:
            try:
                with open(path, 'rb') as file:
                    while chunk := file.read(_CHUNK):
                        digest.update(chunk)
            except OSError as error:
                raise reading.read_error(path, error) from None
        return digest.hexdigest()


Form = Callable[[Path], ForeignRun]
FORMS: Registry[Form] = Registry('form of a run of another program')


def open_form(form: str, path: Path) -> ForeignRun:
    """What the path holds. LthError if it does not exist or has another form, or if its seeds have different numbers of
    rounds.
    """

    if not path.exists():
        raise LthError(f'{path} does not exist. Give a file or a folder of the form {FORMS.canonical(form)}.')
    found = FORMS.find(form)(path)
    counts = {seed: len(rounds) for seed, rounds in found.rounds.items()}
    if len(set(counts.values())) > 1:
        fewest, most = min(counts, key=lambda seed: counts[seed]), max(counts, key=lambda seed: counts[seed])
        raise LthError(f'{path}: replicate {most} has {counts[most]} rounds, and replicate {fewest} has '
                       f'{counts[fewest]}. Import the folder of one replicate, or remove what is incomplete.')
    return found
