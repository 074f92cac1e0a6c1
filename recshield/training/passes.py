"""The passes over a batch that training by BPR is made of, each on half of the columns.

A table lies in two halves of equal width, an odd last column padded with zeros: two threads train one half each, and
meet where a score difference or a length needs both. One thread does the halves in turn, to the same last bit.

Rows are read by their numbers, `users[u, 0, k]`: of a view of each row, Numba counts the references in some loops.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from recshield.core.compiled import REORDERED
from recshield.core.lowlevel import prefetch, wide
from recshield.training.draws import mix

Matrix = NDArray[np.float32]
Ids = NDArray[np.int32]
#: Where a batch reads its rows, (2, rows, any, half of the width) for users and for items, of which it reads [:, :, 0];
#: and the rows of each triplet's user, of its positive and of its negative item.
Read = tuple[NDArray[np.float32], NDArray[np.float32], Ids, Ids, Ids]

STEP = np.uint64(0x9E3779B97F4A7C15)
#: Squared lengths below this lose digits to underflow.
_TINY = np.float32(1e-30)
#: Values below this count as it where they are divided by.
_SMALLEST = np.float32(1e-37)
#: Floats in a cache line.
_LINE = 16
inlined = numba.njit(**REORDERED)


@inlined
def number_rows(ids: Ids, slots: Ids, base: int, touched: Ids, places: Ids, count: int) -> int:
    """Give each new id the next slot, write every id's slot to `places`, return the number of slots used.

    `slots` holds `base` and more for the ids that have a slot, so that a larger base takes all slots back.
    """
    for spot in range(len(ids)):
        row = ids[spot]
        slot = slots[row] - base
        if slot < 0:
            slot = count
            slots[row] = base + slot
            touched[slot] = row
            count += 1
        places[spot] = slot
    return count


@inlined
def gather(
    state: NDArray[np.float32], half: int, touched: Ids, first: int, last: int, rows: NDArray[np.float32]
) -> None:
    """Copy the touched rows of one half to their slots."""
    for slot in range(first, last):
        rows[half, slot, 0] = state[half, touched[slot], 0]


@inlined
def near(
    state: NDArray[np.float32], half: int, touched: NDArray[np.int32], first: int, last: int, gradient: Matrix
) -> None:
    """Ask for touched rows and their sums of squares, and make their gradient zero meanwhile."""
    wide()
    width = state.shape[3]
    for slot in range(first, last):
        place = (half * state.shape[1] + np.int64(touched[slot])) * 2 * width
        for k in range(0, 2 * width, _LINE):
            prefetch(state, place + k)
    gradient[first:last] = 0


@inlined
def margins(
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    user_ids: Ids,
    positives: Ids,
    negatives: Ids,
    out: NDArray[np.float32],
) -> None:
    """Write the part of each score difference (Eq. 12) that comes from these columns."""
    wide()
    for spot in range(len(user_ids)):
        u, i, j = user_ids[spot], positives[spot], negatives[spot]
        margin = np.float32(0.0)
        for k in range(users.shape[2]):
            margin += users[u, 0, k] * (items[i, 0, k] - items[j, 0, k])
        out[spot] = margin


@inlined
def slopes(parts: Matrix, first: int, last: int, out: NDArray[np.float32]) -> float:
    """Write minus the derivative of the BPR loss in each score difference; return the summed loss."""
    total = 0.0
    for spot in range(first, last):
        margin = parts[0, spot] + parts[1, spot]
        # exp of a non-positive number cannot overflow
        small = np.float32(math.exp(-abs(margin)))
        slope = np.float32(1.0) / (np.float32(1.0) + small)
        out[spot] = small * slope if margin > 0 else slope
        total += math.log1p(small) + max(-float(margin), 0.0)
    return total


@inlined
def gradients(
    users: NDArray[np.float32],
    items: NDArray[np.float32],
    user_ids: Ids,
    positives: Ids,
    negatives: Ids,
    places: NDArray[np.int32],
    slope: NDArray[np.float32],
    weight: np.float32,
    out: Matrix,
) -> None:
    """Add `weight` times the gradient of the summed BPR loss at the rows read (Eq. 13 and 14) to `out`."""
    wide()
    width = users.shape[2]
    for spot in range(len(user_ids)):
        u, i, j = user_ids[spot], positives[spot], negatives[spot]
        to_user, to_liked, to_other = places[0, spot], places[1, spot], places[2, spot]
        held = weight * slope[spot]
        for k in range(width):
            out[to_user, k] -= held * (items[i, 0, k] - items[j, 0, k])
        for k in range(width):
            out[to_liked, k] -= held * users[u, 0, k]
        for k in range(width):
            out[to_other, k] += held * users[u, 0, k]


@inlined
def _read_dropped(
    read: Read,
    half: int,
    spot: int,
    width: int,
    drop: float,
    seed: np.uint64,
    out: Matrix,
) -> None:
    """Read a triplet's rows with values dropped at random, each read on its own, and the rest divided by 1 - drop.

    What is dropped depends on the seed, the triplet and the column in the whole table.
    """
    users, items, user_ids, positives, negatives = read
    column = half * users.shape[3]
    scale = np.float32(1.0 / (1.0 - drop))
    edge = np.uint64(drop * 9007199254740992.0)  # 2^53
    for role in range(3):
        row = users[half, user_ids[spot], 0]
        if role > 0:
            row = items[half, positives[spot] if role == 1 else negatives[spot], 0]
        for k in range(len(row)):
            bits = mix(seed + np.uint64((spot * 3 + role) * width + column + k) * STEP) >> np.uint64(11)
            out[role, k] = scale * row[k] if bits >= edge else np.float32(0.0)


@inlined
def margins_dropped(
    read: Read,
    half: int,
    width: int,
    drop: float,
    seed: np.uint64,
    out: NDArray[np.float32],
) -> None:
    """Do as `margins` with values dropped at random."""
    kept = np.empty((3, read[0].shape[3]), np.float32)
    for spot in range(len(read[2])):
        _read_dropped(read, half, spot, width, drop, seed, kept)
        margin = np.float32(0.0)
        for k in range(kept.shape[1]):
            margin += kept[0, k] * (kept[1, k] - kept[2, k])
        out[spot] = margin


@inlined
def gradients_dropped(
    read: Read,
    half: int,
    places: NDArray[np.int32],
    slope: NDArray[np.float32],
    width: int,
    drop: float,
    seed: np.uint64,
    out: Matrix,
) -> None:
    """Do as `gradients` with the values dropped that `margins_dropped` dropped."""
    column = half * read[0].shape[3]
    kept = np.empty((3, read[0].shape[3]), np.float32)
    scale = np.float32(1.0 / (1.0 - drop))
    edge = np.uint64(drop * 9007199254740992.0)  # 2^53
    for spot in range(len(read[2])):
        _read_dropped(read, half, spot, width, drop, seed, kept)
        for role in range(3):
            to_row = out[places[role, spot]]
            for k in range(kept.shape[1]):
                bits = mix(seed + np.uint64((spot * 3 + role) * width + column + k) * STEP) >> np.uint64(11)
                if bits >= edge:
                    other = kept[1, k] - kept[2, k] if role == 0 else (kept[0, k] if role == 1 else -kept[0, k])
                    to_row[k] -= slope[spot] * scale * other


@inlined
def count_reads(places: NDArray[np.int32], size: int, n_rows: int, reads: NDArray[np.int32]) -> None:
    """Count how often a batch reads each of its rows."""
    reads[:n_rows] = 0
    for role in range(3):
        for spot in range(size):
            reads[places[role, spot]] += 1


@inlined
def gaussian(row: NDArray[np.float32], seed: np.uint64) -> None:
    """Fill a row with standard normal values (Box and Muller 1958), each pair a function of the seed alone."""
    for pair in range((len(row) + 1) // 2):
        bits = mix(seed + np.uint64(pair + 1) * STEP)
        # Two 24-bit uniforms of one draw, the first one never 0.
        radius = np.float32((bits >> np.uint64(40)) + np.uint64(1)) * np.float32(1.0 / 16777217.0)
        radius = np.sqrt(np.float32(-2.0) * np.log(radius))
        angle = np.float32((bits >> np.uint64(8)) & np.uint64(0xFFFFFF)) * np.float32(2.0 * math.pi / 16777216.0)
        row[2 * pair] = radius * np.cos(angle)
        if 2 * pair + 1 < len(row):
            row[2 * pair + 1] = radius * np.sin(angle)


@inlined
def perturb_randomly(
    rows: Matrix,
    noise: NDArray[np.float32],
    column: int,
    first: int,
    last: int,
    eps: np.float32,
    seed: np.uint64,
) -> None:
    """Move each row by eps in a direction of its own, uniform on the sphere of the whole row.

    `noise` is room for one whole row, of which these columns begin at `column`; a padded column stays.
    """
    for slot in range(first, last):
        gaussian(noise, mix(seed + np.uint64(slot) * STEP))
        length = np.float32(0.0)
        for k in range(len(noise)):
            length += noise[k] * noise[k]
        factor = eps / np.float32(math.sqrt(length))
        for k in range(min(rows.shape[1], len(noise) - column)):
            rows[slot, k] += factor * noise[column + k]


@inlined
def lengths(gradient: Matrix, n_rows: int, out: NDArray[np.float32]) -> None:
    """Write the part of each row's squared length that comes from these columns."""
    wide()
    for slot in range(n_rows):
        slope = gradient[slot]
        length = np.float32(0.0)
        for k in range(len(slope)):
            length += slope[k] * slope[k]
        out[slot] = length


@inlined
def _perturb_tiny(
    row: NDArray[np.float32], gradient: NDArray[np.float32], half: int, slot: int, eps: np.float32
) -> None:
    """Move a row where the squares of the gradient underflow."""
    largest = np.float32(0.0)
    for part in range(2):
        for k in range(gradient.shape[2]):
            largest = max(largest, abs(gradient[part, slot, k]))
    if largest > 0:
        length = np.float32(0.0)
        for part in range(2):
            for k in range(gradient.shape[2]):
                scaled = gradient[part, slot, k] / largest
                length += scaled * scaled
        for k in range(gradient.shape[2]):
            row[k] += eps * (gradient[half, slot, k] / largest) / np.float32(math.sqrt(length))


@inlined
def perturb(
    state: NDArray[np.float32],
    half: int,
    touched: Ids,
    first: int,
    last: int,
    gradient: NDArray[np.float32],
    parts: Matrix,
    eps: np.float32,
    rows: NDArray[np.float32],
) -> None:
    """Write each touched row to its slot, moved along its summed gradient (Eq. 8 and 15), or as it is without one."""
    wide()
    for slot in range(first, last):
        length = parts[0, slot] + parts[1, slot]
        row, held, slope = rows[half, slot, 0], state[half, touched[slot], 0], gradient[half, slot]
        factor = eps / np.float32(math.sqrt(length)) if length > _TINY else np.float32(0.0)
        for k in range(len(row)):
            row[k] = held[k] + factor * slope[k]
        if length <= _TINY:
            _perturb_tiny(row, gradient, half, slot, eps)


@inlined
def scale(gradient: Matrix, n_rows: int, factor: np.float32) -> None:
    """Multiply the gradient of the clean term by its weight."""
    wide()
    for slot in range(n_rows):
        for k in range(gradient.shape[1]):
            gradient[slot, k] *= factor


@inlined
def inverse_root(value: np.float32) -> np.float32:
    """Return 1 / sqrt(value) to float32's rounding, and that of the smallest value for 0.

    A first guess from the bits (3.4 % off at most), then three steps of Newton: products and sums, where a square root
    and a division take several times as long.
    """
    value = max(value, _SMALLEST)
    bits = np.float32(value).view(np.int32)
    root = np.int32(np.int32(0x5F3759DF) - (bits >> np.int32(1))).view(np.float32)
    half = np.float32(0.5) * value
    root = root * (np.float32(1.5) - half * root * root)
    root = root * (np.float32(1.5) - half * root * root)
    return root * (np.float32(1.5) - half * root * root)


@inlined
def adagrad(
    state: NDArray[np.float32],
    half: int,
    touched: NDArray[np.int32],
    first: int,
    last: int,
    gradient: Matrix,
    reads: NDArray[np.int32],
    rate: np.float32,
    l2: np.float32,
) -> None:
    """Update the touched rows: equal to dense Adagrad, as untouched rows have no gradient."""
    wide()
    for slot in range(first, last):
        place = touched[slot]
        row, total, slope = state[half, place, 0], state[half, place, 1], gradient[slot]
        shrink = np.float32(2.0) * l2 * np.float32(reads[slot])
        for k in range(len(row)):
            step = slope[k] + shrink * row[k]
            held = total[k] + step * step
            total[k] = held
            row[k] -= rate * step * inverse_root(held)
