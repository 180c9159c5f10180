"""Ranks: the processes that torchrun started, which train one network together, and the values that they exchange.

Tensors on GPUs are exchanged by NCCL, everything else by gloo. All ranks call the same functions in the same order.
"""
import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import NamedTuple, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor

from lth.errors import ENVIRONMENT_ERROR, LthError, excerpt
from lth.system.launch import rank_name
from lth.training.engines.distributed.message_board import MessageBoard

# Longer than a step, a measurement or a checkpoint on a slow disk takes.
_TIMEOUT = timedelta(minutes=30)
_FAILURE = 'failure'
_PLACE = re.compile(r'\[/\S+\] ')
Value = TypeVar('Value')


class Failure(NamedTuple):
    """An error that one rank has: the rank in words, the message and the exit code."""

    rank: str
    message: str
    exit_code: int

    def as_error(self) -> LthError:
        """The error for another rank."""

        return LthError(f'{self.rank}: {self.message}', exit_code=self.exit_code)


class Ranks:
    """All ranks, as the process of one of them sees them. They are connected when the object is made.

    `lost` says that another rank has ended; `broken` that ranks have left a training at different places, so that they
    cannot train together any more.
    """

    def __init__(self, rank: int, size: int, board: MessageBoard, *, local_rank: int = 0) -> None:
        self.rank, self.size, self.board, self.local_rank = rank, size, board, local_rank
        self.lost = self.broken = False
        # By the type of the device whose tensors they exchange, for those that were prepared.
        self.groups: dict[str, dist.ProcessGroup] = {}
        with self._reached():
            dist.init_process_group('gloo', store=board.store, rank=rank, world_size=size, timeout=_TIMEOUT)

    @property
    def name(self) -> str:
        """This rank in words."""

        return rank_name(self.rank, self.size)

    def prepare(self, device: torch.device) -> None:
        """Connect the ranks for tensors on this device, unless they are."""

        if device.type not in self.groups:
            with self._reached():
                world = cast(dist.ProcessGroup, dist.group.WORLD)
                self.groups[device.type] = world if device.type == 'cpu' else cast(
                    dist.ProcessGroup, dist.new_group(backend='nccl', timeout=_TIMEOUT))

    def add(self, tensor: Tensor) -> None:
        """Replace a tensor by the sum of those of all ranks, which has the same bits on each."""

        with self._reached():
            dist.all_reduce(tensor, group=self.groups[tensor.device.type])

    def collect(self, tensor: Tensor) -> Tensor:
        """The tensors of all ranks, which have one shape: (size, ...)."""

        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        with self._reached():
            dist.all_gather(parts, tensor.contiguous(), group=self.groups[tensor.device.type])
        return torch.stack(parts)

    def copy_from_first(self, tensor: Tensor) -> None:
        """Replace a tensor by that of rank 0."""

        with self._reached():
            dist.broadcast(tensor, 0, group=self.groups[tensor.device.type])

    def from_first(self, make: Callable[[], Value]) -> Value:
        """What `make` returns on rank 0, where alone it is called; tensors of it have to be on the CPU."""

        holder = [make() if self.rank == 0 else None]
        with self._reached():
            dist.broadcast_object_list(holder, 0)
        return cast(Value, holder[0])

    def largest(self, number: int) -> int:
        """The largest of the ranks' numbers."""

        tensor = torch.tensor(number)
        with self._reached():
            dist.all_reduce(tensor, dist.ReduceOp.MAX)
        return int(tensor)

    def refuse_failures(self, error: LthError | None) -> None:
        """Raise the error of the first rank that has one, on all ranks."""

        failure = Failure(self.name, str(error), error.exit_code) if error else None
        if found := next(filter(None, self._gather(failure)), None):
            raise found.as_error()

    def refuse_differences(self, what: str, tensors: Mapping[str, Tensor]) -> None:
        """Raise LthError on all ranks if one of these tensors has not the same bits on all of them."""

        own = {name: _digest(tensor) for name, tensor in tensors.items()}
        everywhere = self._gather(own)
        for rank, digests in enumerate(everywhere):
            if names := [name for name in own if digests[name] != everywhere[0][name]]:
                raise LthError(
                    f'{what}: rank {rank} has other values of {", ".join(names[:3])} than rank 0, so they would not '
                    'train one network. Code outside of lth that draws random numbers or changes buffers of the '
                    'module can be the reason; on GPUs, operations that do not repeat bit for bit: use '
                    '--deterministic.')

    def publish_failure(self, error: LthError) -> None:
        """Let all ranks know the error that ends this one."""

        if self.board.is_first('failures'):
            self.board.write(_FAILURE, Failure(self.name, str(error), error.exit_code))

    def failure(self) -> Failure | None:
        """The first error of a rank that was published, None if there was none."""

        return self.board.read(_FAILURE) if self.board.has(_FAILURE) else None

    def all_reach(self, place: str, *, seconds: float) -> bool:
        """Whether all ranks call this with the same place, after the present message, within the time."""

        names = [f'{place}/{self.board.number}/{rank}' for rank in range(self.size)]
        self.board.write(names[self.rank], True)
        return all(self.board.read(name, seconds=seconds) for name in names)

    def disconnect(self) -> None:
        """Close the connections between CPUs, so that collectives of other ranks fail at once."""

        with contextlib.suppress(RuntimeError):
            dist.destroy_process_group(dist.group.WORLD)

    def _gather(self, value: Value) -> list[Value]:
        values = cast(list[Value], [None] * self.size)
        with self._reached():
            dist.all_gather_object(values, value)
        return values

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        """Explain a collective that fails, as it does when another rank has ended."""

        try:
            yield
        except RuntimeError as error:
            raise self._lost(error) from None

    def _lost(self, error: RuntimeError) -> LthError:
        self.lost = True
        if failure := self.failure():
            return failure.as_error()
        # The first sentence, without the place in the source of gloo.
        reason = excerpt(_PLACE.sub('', str(error)).split('. ')[0])
        return LthError(f'{self.name}: another rank has ended, or does not answer ({reason}). Completed rounds and '
                        'checkpoints are saved: start the same command with torchrun again to resume.',
                        exit_code=ENVIRONMENT_ERROR)


_joined: list[Ranks] = []


def current() -> Ranks | None:
    """The ranks that this process has joined, None if it works alone."""

    return _joined[0] if _joined else None


def set_current(ranks: Ranks | None) -> None:
    """Let this process be one of these ranks from now on."""

    _joined[:] = [ranks] if ranks else []


def _digest(tensor: Tensor) -> str:
    return hashlib.blake2b(tensor.detach().cpu().contiguous().numpy().tobytes(), digest_size=12).hexdigest()
