"""Rounds of networks with buffers of other types and with infinite values."""
from pathlib import Path

from safetensors.torch import load_file

MODELS = """
import torch
from torch import nn

class Buffers(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer('causal', torch.full((3, 3), float('-inf')).triu(1))
        self.register_buffer('flags', torch.tensor([True, False]))
        self.register_buffer('brief', torch.ones(3).half())

    def forward(self, images):
        return images

def net(shape, classes):
    return nn.Sequential(nn.Flatten(), Buffers(), nn.Linear(64, classes), nn.BatchNorm1d(classes))
"""


def test_they_are_resumed_from_their_files(lth):
    Path('net.py').write_text(MODELS)
    search = ('find-ticket', 'net.py:net', 'digits', '-e', '1', '-b', '200', '--run', 'r')
    for rounds in '12':
        result = lth(*search, '-i', rounds)
        assert result.code == 0, result.err
    tensors = load_file('runs/r/seed-0/round-02/trained.safetensors')
    assert {str(tensors[name].dtype) for name in ('2.weight', '3.running_mean')} == {'torch.float32'}
    assert tensors['1.causal'].isinf().sum() == 3 and str(tensors['1.brief'].dtype) == 'torch.float16'
