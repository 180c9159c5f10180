"""Adam, AdamW and SGD as one pass over a flat vector: it reads the gradients where autograd left them, applies the
mask, and writes a bfloat16 copy of the weights.

A program updates one block of the vector. Its row of the table (gradient_table.py) says which: five integers, namely
the address of the gradient, the first weight, the number of weights, their place in the bfloat16 copy (-1: none), and
flags: 1 if the gradient is bfloat16, 2 if the block is complete and aligned. Complete blocks are loaded 16 bytes at a
time; the compiler could not do that if it had to test the end of the block.

Each program counts the steps for itself: with a common counter no program could tell whether another had counted.
A weight outside the mask is written back as it was read, so it keeps its bits, also those of a NaN.
"""

import triton.language as tl

from lth.training.engines.cuda.kernels.compiler import kernel

# pylint: disable=too-many-arguments,too-many-positional-arguments,too-many-locals # kernels have no records


@kernel
def adam(
        weights: tl.tensor, means: tl.tensor, squares: tl.tensor, trainable: tl.tensor, shadow: tl.tensor,
        table: tl.tensor, steps: tl.tensor, rate: tl.tensor, beta_1: tl.constexpr, beta_2: tl.constexpr,
        log_beta_1: tl.constexpr, log_beta_2: tl.constexpr, epsilon: tl.constexpr, decay: tl.constexpr,
        decoupled: tl.constexpr, halves: tl.constexpr, has_shadow: tl.constexpr, block: tl.constexpr) -> None:
    """Adam; with `decoupled` AdamW, whose decay is not part of the gradient. `halves`: gradients may be bfloat16."""

    row = table + 5 * tl.program_id(0)
    step = tl.load(steps + tl.program_id(0)) + 1
    # All threads load the count before one of them stores the next one.
    tl.debug_barrier()
    tl.store(steps + tl.program_id(0), step)
    # In double precision, as torch does: 1 - 0.999 has three digits less than 0.999. exp(t log b) is b to the power t.
    correction = 1 - tl.exp(step.to(tl.float64) * log_beta_1)
    scale = (1 / tl.sqrt(1 - tl.exp(step.to(tl.float64) * log_beta_2))).to(tl.float32)
    learning_rate = tl.load(rate)
    step_size = (learning_rate.to(tl.float64) / correction).to(tl.float32)
    if tl.load(row + 4) >= 2:
        adam_block(
            weights, means, squares, trainable, shadow, row, learning_rate, step_size, scale, beta_1, beta_2, epsilon,
            decay, decoupled, halves, has_shadow, block, True)
    else:
        adam_block(
            weights, means, squares, trainable, shadow, row, learning_rate, step_size, scale, beta_1, beta_2, epsilon,
            decay, decoupled, halves, has_shadow, block, False)


@kernel
def adam_block(
        weights: tl.tensor, means: tl.tensor, squares: tl.tensor, trainable: tl.tensor, shadow: tl.tensor,
        row: tl.tensor, learning_rate: tl.tensor, step_size: tl.tensor, scale: tl.tensor, beta_1: tl.constexpr,
        beta_2: tl.constexpr, epsilon: tl.constexpr, decay: tl.constexpr, decoupled: tl.constexpr, halves: tl.constexpr,
        has_shadow: tl.constexpr, block: tl.constexpr, complete: tl.constexpr) -> None:
    """Update the block that a row of the table describes."""

    lanes = tl.arange(0, block)
    inside = lanes < tl.load(row + 2)
    places = first_place(row + 1, complete) + lanes
    gradient = read_gradient(row, lanes, inside, halves, complete)
    weight = read(weights + places, inside, complete)
    decayed = weight
    if decoupled:
        decayed = weight * (1 - learning_rate * decay)
    elif decay > 0:
        gradient += decay * weight
    mean = beta_1 * read(means + places, inside, complete) + (1 - beta_1) * gradient
    square = beta_2 * read(squares + places, inside, complete) + (1 - beta_2) * gradient * gradient
    new = decayed - step_size * mean / (tl.sqrt(square) * scale + epsilon)
    write(means + places, mean, inside, complete)
    write(squares + places, square, inside, complete)
    write_weights(weights, trainable, shadow, row, lanes, places, inside, weight, new, has_shadow, complete)


@kernel
def sgd(
        weights: tl.tensor, momenta: tl.tensor, trainable: tl.tensor, shadow: tl.tensor, table: tl.tensor,
        rate: tl.tensor, momentum: tl.constexpr, nesterov: tl.constexpr, decay: tl.constexpr, halves: tl.constexpr,
        has_shadow: tl.constexpr, block: tl.constexpr) -> None:
    """SGD, with momentum if it is not 0. `halves`: gradients may be bfloat16."""

    row = table + 5 * tl.program_id(0)
    learning_rate = tl.load(rate)
    if tl.load(row + 4) >= 2:
        sgd_block(
            weights, momenta, trainable, shadow, row, learning_rate, momentum, nesterov, decay, halves, has_shadow,
            block, True)
    else:
        sgd_block(
            weights, momenta, trainable, shadow, row, learning_rate, momentum, nesterov, decay, halves, has_shadow,
            block, False)


@kernel
def sgd_block(
        weights: tl.tensor, momenta: tl.tensor, trainable: tl.tensor, shadow: tl.tensor, row: tl.tensor,
        learning_rate: tl.tensor, momentum: tl.constexpr, nesterov: tl.constexpr, decay: tl.constexpr,
        halves: tl.constexpr, has_shadow: tl.constexpr, block: tl.constexpr, complete: tl.constexpr) -> None:
    """Update the block that a row of the table describes."""

    lanes = tl.arange(0, block)
    inside = lanes < tl.load(row + 2)
    places = first_place(row + 1, complete) + lanes
    weight = read(weights + places, inside, complete)
    gradient = read_gradient(row, lanes, inside, halves, complete)
    if decay > 0:
        gradient += decay * weight
    if momentum > 0:
        average = momentum * read(momenta + places, inside, complete) + gradient
        write(momenta + places, average, inside, complete)
        if nesterov:
            gradient += momentum * average
        else:
            gradient = average
    new = weight - learning_rate * gradient
    write_weights(weights, trainable, shadow, row, lanes, places, inside, weight, new, has_shadow, complete)


@kernel
def read_gradient(
        row: tl.tensor, lanes: tl.tensor, inside: tl.tensor, halves: tl.constexpr, complete: tl.constexpr) -> tl.tensor:
    """The gradient of a block in float32."""

    if halves:
        if tl.load(row + 4) % 2 == 1:
            gradient = read(pointer_at(row, tl.bfloat16, 8, complete) + lanes, inside, complete).to(tl.float32)
        else:
            gradient = read(pointer_at(row, tl.float32, 16, complete) + lanes, inside, complete)
    else:
        gradient = read(pointer_at(row, tl.float32, 16, complete) + lanes, inside, complete)
    return gradient


@kernel
def pointer_at(row: tl.tensor, dtype: tl.constexpr, alignment: tl.constexpr, complete: tl.constexpr) -> tl.tensor:
    """The address in the first column of a row as a pointer, aligned to some bytes in complete blocks."""

    pointer = tl.load(row).to(tl.pointer_type(dtype))
    if complete:
        pointer = tl.multiple_of(pointer, alignment)
    return pointer


@kernel
def write_weights(
        weights: tl.tensor, trainable: tl.tensor, shadow: tl.tensor, row: tl.tensor, lanes: tl.tensor,
        places: tl.tensor, inside: tl.tensor, old: tl.tensor, new: tl.tensor, has_shadow: tl.constexpr,
        complete: tl.constexpr) -> None:
    """Write the new values inside the mask and the old ones outside, and their bfloat16 copy."""

    weight = tl.where(read(trainable + places, inside, complete) != 0, new, old)
    write(weights + places, weight, inside, complete)
    if has_shadow:
        if tl.load(row + 3) >= 0:
            write(shadow + first_place(row + 3, complete) + lanes, weight.to(tl.bfloat16), inside, complete)


@kernel
def first_place(pointer: tl.tensor, complete: tl.constexpr) -> tl.tensor:
    """The index of a block's first weight, a multiple of 4 in complete blocks."""

    place = tl.load(pointer)
    if complete:
        place = tl.multiple_of(place, 4)
    return place


@kernel
def read(pointers: tl.tensor, inside: tl.tensor, complete: tl.constexpr) -> tl.tensor:
    """The values at the pointers that lie inside the block."""

    if complete:
        values = tl.load(pointers)
    else:
        values = tl.load(pointers, inside, 0)
    return values


@kernel
def write(pointers: tl.tensor, values: tl.tensor, inside: tl.tensor, complete: tl.constexpr) -> None:
    """Store the values that lie inside the block."""

    if complete:
        tl.store(pointers, values)
    else:
        tl.store(pointers, values, inside)
