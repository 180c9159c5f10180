"""Memory that a plan needs, estimated before images are read and seeds are trained. The estimates are lower bounds.

Memory of a GPU is not estimated: what does not fit there is an error with the sizes (training/engines/device_failures).
"""
from lth.errors import ENVIRONMENT_ERROR, LthError
from lth.experiments.plan import Plan
from lth.models.memory_estimate import BYTES, feature_bytes
from lth.system.memory import available_memory, in_gibibytes
from lth.training.engines.devices import resolve_device

# Initial weights, trained weights and their gradients; optimizers add up to two.
_VECTORS = 3


def refuse_too_much_for_one(plan: Plan, device: str) -> None:
    """LthError if the memory of this machine is too small to train one seed on the device, named as in --device."""

    on_cpu = device == 'cpu' or device == 'auto' and resolve_device(device).type == 'cpu'
    refuse_too_much(plan, seeds=int(on_cpu))


def refuse_too_much(plan: Plan, *, processes: int = 0, seeds: int = 1) -> None:
    """LthError if the memory of this machine is too small to read the images, here and in each of the processes, and to
    train this number of seeds at the same time, which is 0 where the CPU does not train.
    """

    recipe, copies = plan.recipe, processes + 1
    images = plan.source.image_bytes(recipe.data)
    weights = _VECTORS * BYTES * plan.network.layout.size * seeds
    batches = seeds * max(recipe.algorithm.mask_batches, int(recipe.algorithm.trains != 'never'))
    batch = feature_bytes(plan.network.module, plan.network.shape, recipe.training.batch_size) if batches else 0
    batch *= batches
    needed, limit = copies * images + weights + batch, available_memory()
    if needed <= limit:
        return
    parts = {f'{sum(plan.source.image_counts):,} images of {recipe.data.name} in {copies} processes': copies * images,
             f'the weights of {seeds} seeds': weights,
             f'batches of {recipe.training.batch_size} images': batch}
    amounts = ', '.join(f'{in_gibibytes(size)} for {what}' for what, size in parts.items() if size)
    raise LthError(f'{recipe.model.name} on {recipe.data.name} needs at least {in_gibibytes(needed)} of memory: '
                   f'{amounts}. The limit is {in_gibibytes(limit)}, the memory of this machine. Use smaller images '
                   '(data.size), smaller batches (-b), or fewer seeds at a time (--seeds).',
                   exit_code=ENVIRONMENT_ERROR)
