"""The passes over a batch of triplets that training by BPR is made of, as Triton kernels.

A batch reads 3 x `batch` rows: read `role` x batch + t is that of triplet t as user, positive or negative item. Sorted
by row, equal reads stand together; the first of them, the head, owns the row: it adds up the gradients of all in their
sorted order, so that the sum is the same every time, and updates the row. One kernel runs behind the other.

Which batch it is: `start` on the device, plus `ahead`. So launches can be recorded once and replayed for later batches.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _keep(rows, slopes, spot, is_there, vector, above, below, width, batch, columns, inside):
    """Write the rows of one triplet, and minus its BPR loss's derivative in the score difference; 0 behind the last."""
    tl.store(rows + spot * width + columns, vector, mask=inside)
    tl.store(rows + (batch + spot) * width + columns, above, mask=inside)
    tl.store(rows + (2 * batch + spot) * width + columns, below, mask=inside)
    margin = tl.sum(vector * (above - below), axis=0)
    tl.store(slopes + spot, tl.where(is_there, 1.0 / (1.0 + tl.exp(margin)), 0.0))


@triton.jit(do_not_specialize=["ahead", "n_triplets"])
def read_rows(
    user_table,
    item_table,
    triplets,
    rows,
    slopes,
    start,
    ahead,
    n_triplets,
    n_places,
    width,
    batch,
    block: tl.constexpr,
):
    """Copy the rows of one triplet to `rows` (3, batch, width), and write minus its BPR loss's derivative.

    `triplets` (3, n_places) are users, positives and negatives. A triplet beyond the last one has a slope of 0.
    """
    spot = tl.program_id(0).to(tl.int64)
    place = (tl.load(start) + ahead) * batch + spot
    is_there = place < n_triplets
    columns = tl.arange(0, block)
    inside = columns < tl.where(is_there, width, 0)
    user = tl.load(triplets + place, mask=is_there, other=0).to(tl.int64)
    liked = tl.load(triplets + n_places + place, mask=is_there, other=0).to(tl.int64)
    other = tl.load(triplets + 2 * n_places + place, mask=is_there, other=0).to(tl.int64)
    vector = tl.load(user_table + user * width + columns, mask=inside, other=0.0)
    above = tl.load(item_table + liked * width + columns, mask=inside, other=0.0)
    below = tl.load(item_table + other * width + columns, mask=inside, other=0.0)
    _keep(rows, slopes, spot, is_there, vector, above, below, width, batch, columns, inside)


@triton.jit(do_not_specialize=["ahead", "n_triplets"])
def read_moved(moved, all_heads, rows, slopes, start, ahead, n_triplets, width, batch, block: tl.constexpr):
    """Do as `read_rows` with the perturbed rows, each of which stands at the place of its head.

    `all_heads` (n_batches, 3, batch) is the place of the head of each read.
    """
    spot = tl.program_id(0).to(tl.int64)
    turn = tl.load(start) + ahead
    is_there = turn * batch + spot < n_triplets
    heads = all_heads + turn * 3 * batch
    columns = tl.arange(0, block)
    inside = columns < tl.where(is_there, width, 0)
    user = tl.load(heads + spot).to(tl.int64)
    liked = tl.load(heads + batch + spot).to(tl.int64)
    other = tl.load(heads + 2 * batch + spot).to(tl.int64)
    vector = tl.load(moved + user * width + columns, mask=inside, other=0.0)
    above = tl.load(moved + liked * width + columns, mask=inside, other=0.0)
    below = tl.load(moved + other * width + columns, mask=inside, other=0.0)
    _keep(rows, slopes, spot, is_there, vector, above, below, width, batch, columns, inside)


@triton.jit
def _added_up(rows, slopes, order, place, stop, width, batch, columns, inside):
    """Return the gradient of the summed BPR loss (He et al. 2018, Eq. 13 and 14) at the row that these reads are of."""
    total = tl.zeros_like(columns).to(tl.float32)
    for one in range(place, stop):
        read = tl.load(order + one).to(tl.int64)
        spot = read % batch
        slope = tl.load(slopes + spot)
        if read < batch:
            above = tl.load(rows + (batch + spot) * width + columns, mask=inside, other=0.0)
            below = tl.load(rows + (2 * batch + spot) * width + columns, mask=inside, other=0.0)
            total -= slope * (above - below)
        else:
            vector = tl.load(rows + spot * width + columns, mask=inside, other=0.0)
            total += tl.where(read < 2 * batch, -slope, slope) * vector
    return total


@triton.jit(do_not_specialize=["ahead"])
def move_rows(
    rows,
    slopes,
    all_order,
    all_stops,
    all_keys,
    gradient,
    moved,
    eps,
    n_users,
    width,
    batch,
    start,
    ahead,
    block: tl.constexpr,
):
    """Write a head's gradient, and its row moved by eps along it (Eq. 8 and 15); a row with a zero gradient stays.

    Of all batches, (n_batches, 3 * batch): `all_order` the reads sorted by row, `all_keys` the rows (items behind the
    users; what lies behind both is none), `all_stops` the place behind the last equal read at a head and 0 elsewhere.
    `eps` is that of users and that of items.
    """
    turn = tl.load(start) + ahead
    order = all_order + turn * 3 * batch
    stops = all_stops + turn * 3 * batch
    keys = all_keys + turn * 3 * batch
    place = tl.program_id(0).to(tl.int64)
    stop = tl.load(stops + place)
    if stop > place:
        columns = tl.arange(0, block)
        inside = columns < width
        total = _added_up(rows, slopes, order, place, stop, width, batch, columns, inside)
        tl.store(gradient + place * width + columns, total, mask=inside)
        size = tl.load(eps + tl.where(tl.load(keys + place) < n_users, 0, 1))
        # Divided by the largest value before squaring: squares of small gradients underflow.
        largest = tl.max(tl.abs(total), axis=0)
        scaled = total / tl.where(largest > 0, largest, 1.0)
        length = tl.sqrt(tl.sum(scaled * scaled, axis=0))
        row = tl.load(rows + tl.load(order + place).to(tl.int64) * width + columns, mask=inside, other=0.0)
        tl.store(moved + place * width + columns, row + size * scaled / tl.where(length > 0, length, 1.0), mask=inside)


@triton.jit(do_not_specialize=["ahead"])
def update_rows(
    user_table,
    item_table,
    user_sums,
    item_sums,
    rows,
    slopes,
    all_order,
    all_stops,
    all_keys,
    gradient,
    n_users,
    width,
    batch,
    start,
    ahead,
    rate,
    l2,
    clean,
    weight,
    has_term: tl.constexpr,
    block: tl.constexpr,
):
    """Update a head's row by Adagrad: equal to dense Adagrad, as untouched rows have no gradient.

    With a term, `rows` are the perturbed ones, and `clean` times the gradient that was kept is added to `weight` times
    theirs.
    """
    turn = tl.load(start) + ahead
    order = all_order + turn * 3 * batch
    stops = all_stops + turn * 3 * batch
    keys = all_keys + turn * 3 * batch
    place = tl.program_id(0).to(tl.int64)
    stop = tl.load(stops + place)
    if stop > place:
        columns = tl.arange(0, block)
        inside = columns < width
        total = _added_up(rows, slopes, order, place, stop, width, batch, columns, inside)
        if has_term:
            total = weight * total + clean * tl.load(gradient + place * width + columns, mask=inside, other=0.0)
        key = tl.load(keys + place).to(tl.int64)
        if key < n_users:
            table = user_table + key * width
            sums = user_sums + key * width
        else:
            table = item_table + (key - n_users) * width
            sums = item_sums + (key - n_users) * width
        row = tl.load(table + columns, mask=inside, other=0.0)
        total += 2.0 * l2 * (stop - place) * row
        held = tl.load(sums + columns, mask=inside, other=0.0) + total * total
        tl.store(sums + columns, held, mask=inside)
        # The smallest normal number: a sum of squares of 0 has a gradient of 0.
        tl.store(table + columns, row - rate * total / tl.sqrt(tl.maximum(held, 1.2e-38)), mask=inside)
