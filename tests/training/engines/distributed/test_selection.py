"""Which device a rank takes, which recipes ranks can train, and what synchronizes BatchNorm on GPUs (faked here)."""
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lth.errors import LthError
from lth.training.engines.distributed.selection import select_distributed_engine
from lth.training.engines.distributed.sync_batch_norm import refuse_other_batch_norm, synchronize_batch_norm
from tests.conftest import make_task


def select_for(device, local_rank, *, model='lenet-300-100', batch=8, sync_batch_norm=False):
    task = make_task(model, batch_size=batch, shape=(3, 8, 8) if model == 'resnet20' else (1, 8, 8))
    ranks = SimpleNamespace(rank=local_rank, size=4, local_rank=local_rank)
    return select_distributed_engine(device, ranks, task.network, task.training, choice='auto', compilation='off',
                                     sync_batch_norm=sync_batch_norm)


def test_each_rank_of_a_machine_takes_a_gpu_of_its_own(gpus, monkeypatch):
    gpus.install(4)
    monkeypatch.setattr(torch.distributed, 'is_nccl_available', lambda: False)
    with pytest.raises(LthError, match='was built without NCCL'):
        select_for('cuda', 1)
    monkeypatch.setattr(torch.distributed, 'is_nccl_available', lambda: True)
    assert [select_for('auto', rank).device for rank in range(4)] == [torch.device('cuda', rank) for rank in range(4)]
    assert select_for('cpu', 1).device == torch.device('cpu')
    with pytest.raises(LthError, match='--device cuda:1 is one GPU, and each of 4 ranks needs its own'):
        select_for('cuda:1', 1)
    gpus.install(2)
    with pytest.raises(LthError, match="'cuda:2' is not available.*start as many as there are .*--nproc-per-node"):
        select_for('cuda', 2)


def test_batch_norm_needs_two_images_on_each_rank_unless_it_is_synchronized():
    assert select_for('cpu', 0, model='resnet20', batch=8).name == 'eager, 4 ranks'
    assert select_for('cpu', 0, model='resnet20', batch=7, sync_batch_norm=True)
    with pytest.raises(LthError, match='7 images is too small for 4 ranks, as BatchNorm needs two images on each'):
        select_for('cpu', 0, model='resnet20', batch=7)
    with pytest.raises(LthError, match='3 images is too small for 4 ranks, as each needs an image'):
        select_for('cpu', 0, batch=3)


def test_on_a_gpu_batch_norm_is_synchronized_by_torch():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.InstanceNorm2d(2, affine=True))
    group = object()
    synchronize_batch_norm(module, SimpleNamespace(groups={'cuda': group}), torch.device('cuda', 0))
    assert [type(layer) for layer in module] == [nn.Conv2d, nn.SyncBatchNorm, nn.InstanceNorm2d]
    assert module[1].process_group is group


def test_a_batch_norm_layer_with_other_code_cannot_be_synchronized():
    class Renormalization(nn.BatchNorm2d):
        pass
    with pytest.raises(LthError, match='--sync-batch-norm: the layer 1 of net is Renormalization, not one of torch'):
        refuse_other_batch_norm(nn.Sequential(nn.Conv2d(1, 2, 3), Renormalization(2)), 'net')
