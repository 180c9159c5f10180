"""Tensor files."""
import pytest
import torch
from safetensors.torch import load_file, save_file

from lth.errors import LthError
from lth.system import tensor_files


def test_safetensors_reads_a_tensor_file(tmp_path):
    mask = torch.tensor([[True, False], [True, True]])
    (tmp_path / 'm.safetensors').write_bytes(tensor_files.encode({'a.weight': mask}, {'seed': 3}))
    assert torch.equal(load_file(tmp_path / 'm.safetensors')['a.weight'], mask)


def test_equal_tensors_and_headers_give_equal_bytes():
    header = {str(number): number for number in range(30)}
    assert len({tensor_files.encode({'b': torch.ones(2), 'a': torch.ones(3)}, header) for _ in range(20)}) == 1


def test_a_transposed_view_is_stored_with_its_values_in_order(tmp_path):
    view = torch.arange(6.).view(2, 3).t()
    (tmp_path / 'v.safetensors').write_bytes(tensor_files.encode({'v': view}, {}))
    assert torch.equal(decode(tmp_path / 'v.safetensors')[1]['v'], view)


@pytest.mark.parametrize('keep', [0, 5, 60, -1])
def test_a_truncated_tensor_file_is_a_corrupt_file(tmp_path, keep):
    content = tensor_files.encode({'a': torch.ones(100)}, {'seed': 1})
    (tmp_path / 't.safetensors').write_bytes(content[:keep])
    with pytest.raises(LthError, match='t.safetensors is corrupt'):
        decode(tmp_path / 't.safetensors')


def test_a_tensor_file_of_another_program_is_an_error(tmp_path):
    save_file({'a': torch.ones(1)}, tmp_path / 'f.safetensors')
    with pytest.raises(LthError, match='f.safetensors was not written by lth'):
        decode(tmp_path / 'f.safetensors')


@pytest.mark.parametrize('head', [
    b'{', b'[]', b'{"__metadata__": 3}', b'{"__metadata__": {"lth": 3}}', b'{"__metadata__": {"lth": "[]"}}',
    b'{"__metadata__": {"lth": "{"}}', b'[' * 10_000,
    b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}',
    b'{"__metadata__": {"lth": "{}"}, "a": {"dtype": "F32", "shape": [1e3], "data_offsets": [0, 8]}}',
    b'{"__metadata__": {"lth": "{}"}, "a": {"dtype": "F4", "shape": [16], "data_offsets": [0, 8]}}',
    b'{"__metadata__": {"lth": "{}"}, "a": {"dtype": "F32", "shape": [999999999999999999, 4], "data_offsets": [0, 8]}}',
    b'{"__metadata__": {"lth": "{}"}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 80]}}'])
def test_a_head_that_is_no_safetensors_head_of_lth_is_an_error(tmp_path, head):
    (tmp_path / 't.safetensors').write_bytes(len(head).to_bytes(8, 'little') + head + b'\0' * 8)
    with pytest.raises(LthError, match='t.safetensors (is corrupt|was not written by lth)'):
        decode(tmp_path / 't.safetensors')


def decode(path):
    return tensor_files.decode(path.read_bytes(), path, 'ADVICE')
