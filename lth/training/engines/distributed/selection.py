"""Whether a recipe can be trained on several ranks, and on which device each of them works."""
import torch
import torch.distributed as dist

from lth.errors import LthError
from lth.models.network import Network
from lth.recipes.schema import TrainingSettings
from lth.training.engines.devices import resolve_device
from lth.training.engines.distributed.engine import Distributed
from lth.training.engines.distributed.ranks import Ranks
from lth.training.engines.distributed.sync_batch_norm import refuse_other_batch_norm
from lth.training.engines.names import CompileDecision, EngineChoice


def select_distributed_engine(
        device: str, ranks: Ranks, network: Network, training: TrainingSettings, *, choice: EngineChoice,
        compilation: CompileDecision, sync_batch_norm: bool) -> Distributed:
    """The engine of several ranks. LthError for a recipe or options that they cannot train with."""

    if choice == 'sparse':
        raise LthError('--engine sparse trains in one process. Start the command without torchrun, or use --engine '
                       'auto.')
    if compilation == 'on':
        raise LthError('--compile on: several ranks train with the eager engine, which compiles nothing. Use '
                       '--compile off, or start the command without torchrun.')
    if network.has_batch_norm and sync_batch_norm:
        refuse_other_batch_norm(network.module, network.settings.name)
    _refuse_small_batches(training.batch_size, ranks.size, normalized=network.has_batch_norm and not sync_batch_norm)
    return Distributed(_device_of_rank(device, ranks), ranks, sync_batch_norm=sync_batch_norm)


def _refuse_small_batches(batch: int, ranks: int, *, normalized: bool) -> None:
    """LthError if a rank would get no image, or only one although BatchNorm needs several to normalize over."""

    if batch < ranks * (2 if normalized else 1):
        reason = 'BatchNorm needs two images on each rank: use --sync-batch-norm' * normalized or 'each needs an image'
        raise LthError(f'batch_size: a batch of {batch} images is too small for {ranks} ranks, as {reason}, larger '
                       'batches (-b), or fewer ranks (--nproc-per-node).')


def _device_of_rank(name: str, ranks: Ranks) -> torch.device:
    """The CPU, or the GPU of this rank."""

    device = resolve_device(name)
    if device.type == 'cpu':
        return device
    if ':' in name:
        raise LthError(f'--device {name} is one GPU, and each of {ranks.size} ranks needs its own. Use --device cuda.')
    if not dist.is_nccl_available():
        raise LthError(f'torch {torch.__version__} was built without NCCL, by which GPUs exchange gradients. Install a '
                       'build with NCCL (https://pytorch.org/get-started/locally), or use --device cpu.')
    try:
        return resolve_device(f'cuda:{ranks.local_rank}')
    except LthError as error:
        raise error.extended('Each rank of a machine needs a GPU: start as many as there are (torchrun '
                             '--nproc-per-node).') from None
