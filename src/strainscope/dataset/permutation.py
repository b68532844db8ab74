"""Pseudo-random numbers and permutations by index: the i-th can be had without those before it."""

import hashlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Words = NDArray[np.uint64]

_ROUNDS = 6
_PER_SAMPLE = 4  # a Philox counter gives four words


def key_of(*parts: object) -> int:
    """A 64-bit key from anything that prints the same everywhere."""
    text = "/".join(str(part) for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def uniforms(key: int, first: int, last: int, number: int) -> Floats:
    """Numbers in (0, 1) of samples first to last - 1, shape (last - first, number); each depends on its index alone.

    References:
        Salmon et al., Proc. SC11 (2011), doi:10.1145/2063384.2063405 (Philox, a counter-based generator).
    """
    blocks = -(-number // _PER_SAMPLE)
    generator = np.random.Philox(key=key).advance(first * blocks)
    words = generator.random_raw((last - first) * blocks * _PER_SAMPLE)
    rows = words.reshape(last - first, -1)[:, :number]
    return np.asarray(((rows >> np.uint64(11)) + 0.5) * 2.0**-53, dtype=np.float64)


def _mixed(words: Words) -> Words:
    """SplitMix64's finaliser: every bit of the result depends on every bit of the word."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def permuted(index: Integers, size: Integers, keys: Words) -> Integers:
    """Where a keyed permutation of 0 … size - 1 takes each index; no two indices of one key go to one place.

    A Feistel network on the smallest even number of bits that holds the size, walked on until it falls below it.

    Args:
        index: Below size, shape (n,).
        size: Of the set that is permuted, shape (n,).
        keys: Which permutation, shape (n,).

    References:
        Black & Rogaway, CT-RSA 2002, doi:10.1007/3-540-45760-7_9 (cycle walking).
    """
    half = np.maximum(1, np.ceil(np.log2(np.maximum(size, 2)) / 2)).astype(np.uint64)
    # log2 of sizes near a power of four may round either way.
    half += (np.uint64(1) << (np.uint64(2) * half)) < size.astype(np.uint64)
    mask = (np.uint64(1) << half) - np.uint64(1)
    result = index.astype(np.uint64)
    pending = np.arange(len(index))
    with np.errstate(over="ignore"):
        while len(pending):
            value, bits, low, key = result[pending], half[pending], mask[pending], keys[pending]
            left, right = value >> bits, value & low
            for turn in range(_ROUNDS):
                salt = key + np.uint64((turn * 0x9E3779B97F4A7C15) % 2**64)
                left, right = right, left ^ (_mixed(right + salt) & low)
            result[pending] = (left << bits) | right
            pending = pending[result[pending] >= size[pending].astype(np.uint64)]
    return result.astype(np.int64)
