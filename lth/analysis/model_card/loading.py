"""The Python code in a model card that loads a round: with safetensors and torch alone, and with lth."""
from collections.abc import Collection
from typing import NamedTuple

_LOADED = {'mask': 'by parameter name, bool: True is kept',
           'ticket': 'a state dict: weights and buffers before training',
           'trained': 'the same after training'}
_COUNT = '''
kept, count = sum(int(part.sum()) for part in mask.values()), sum(part.numel() for part in mask.values())
print(f'{kept:,} of {count:,} weights are kept: {kept / count:.2%}')'''
_HOLD = '''

def hold_mask(model: torch.nn.Module) -> None:
    """Call this after each step of the optimizer: pruned weights get the values of the ticket back."""

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name in mask:
                weight.copy_(torch.where(mask[name], weight, ticket[name]))'''


class LoadedRound(NamedTuple):
    """A round that the code loads: its folder below that of the card, and the names of its files."""

    run: str
    seed: int
    number: int
    files: Collection[str]

    @property
    def folder(self) -> str:
        """The folder of the round, relative to that of the card."""

        return '/'.join(filter(None, (self.run, f'seed-{self.seed}', f'round-{self.number:02d}')))


def code_without_lth(loaded: LoadedRound) -> str:
    """Code that loads the files of a round that it has (`--keep` removes some), without lth."""

    names = [name for name in _LOADED if f'{name}.safetensors' in loaded.files]
    lines = ['import torch', 'from safetensors.torch import load_file', '', f'folder = {loaded.folder!r}']
    lines += [f"{name} = load_file(f'{{folder}}/{name}.safetensors')  # {_LOADED[name]}" for name in names]
    return '\n'.join(lines) + '\n' + _COUNT + ('\n' + _HOLD if 'ticket' in names else '')


def code_with_lth(path: str, loaded: LoadedRound, *, trust_code: bool) -> str:
    """Code that loads a round of the run at this path with lth."""

    trust = ', trust_code=True' if trust_code else ''
    lines = ['import lth', '', f'run = lth.open_run({path!r}{trust})']
    if 'ticket.safetensors' in loaded.files:
        lines.append(f'model = run.ticket(seed={loaded.seed}, round={loaded.number}).module()  # a torch.nn.Module')
    lines.append("for row in run.table():\n    print(row.seed, row.round, f'{row.density:.2%}', row.test_accuracy)")
    return '\n'.join(lines)
