"""Named random generators: every table and every draw has its own, derived from a seed and a name."""

from __future__ import annotations

import hashlib

import torch


def number(seed: int, *names: str | int) -> int:
    """Return a 63-bit number that depends on the seed and the names alone."""
    text = "\x1f".join(str(part) for part in (seed, *names))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """Return a CPU generator for the draws called `names` under `seed`."""
    made = torch.Generator(device="cpu")
    made.manual_seed(number(seed, *names))
    return made


def child(rng: torch.Generator, *names: str | int) -> torch.Generator:
    """Return a generator named below `rng`; what `rng` has drawn so far does not matter.

    Tables that are drawn from children keep their values when another table grows.
    """
    return generator(rng.initial_seed(), *names)
