"""Philox4x32-10, the bijection behind :class:`~diffnum.noise.Counter`, and normals made of its words on the host."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

__all__ = ["fill", "philox"]

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_WORD = 0xFFFFFFFF
# blocks worked on at once: temporaries stay in a CPU's cache
_AT_ONCE = 1 << 14


def philox(counter: Sequence[Any], key: Sequence[int]) -> tuple[Any, Any, Any, Any]:
    """Philox4x32-10: four words of 32 bits from four words and a key of two.

    Args:
        counter: four words, each a Python int, a numpy array of uint64 or a torch tensor of int64 with
            values below ``2**32``; shapes broadcast. A product of two words needs 64 bits, which wrap
            in int64 to the right pattern.
        key: two Python ints below ``2**32``.

    Returns:
        Four words of the same kind, as Salmon et al. 2011 publish them in Random123's test vectors.
    """
    return _rounds(counter, key, 10)[0]


def _rounds(counter: Sequence[Any], key: Sequence[int], number: int) -> tuple[tuple[Any, Any, Any, Any], Sequence[int]]:
    a, b, c, d = counter
    for _ in range(number):
        k, m = key
        p, q = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b, c, d = _high(q) ^ b ^ k, q & _WORD, _high(p) ^ d ^ m, p & _WORD
        key = _next(key)
    return (a, b, c, d), key


def _next(key: Sequence[int]) -> tuple[int, int]:
    return (key[0] + _WEYL[0]) & _WORD, (key[1] + _WEYL[1]) & _WORD


def _high(product: Any) -> Any:
    # the mask undoes the sign that int64 carries into the upper half
    return (product >> 32) & _WORD


def fill(stream: Sequence[int], first: int, out: Any, scale: float = 1.0) -> None:
    """Write the normals of a stream into ``out``, row ``i`` for sample ``first + i``.

    The same numbers as :func:`diffnum.noise.box_muller` of :func:`philox` of the whole, bit for bit, made a piece at a
    time in the same few arrays.

    Args:
        stream: four words.
        out: ``(n, size)``, numpy or torch on the host, of any floating dtype.
        scale: of the normals, in float64.
    """
    n, size = tuple(out.shape)
    blocks = (size + 1) // 2
    columns = max(1, min(blocks, _AT_ONCE))
    rows = max(1, min(n, _AT_ONCE // columns))
    work = np.empty((6, rows * columns), dtype=np.uint64)
    for i in range(0, n, rows):
        samples = np.arange(first + i, first + min(i + rows, n), dtype=np.uint64)[:, None]
        for j in range(0, blocks, columns):
            some = np.arange(j, min(j + columns, blocks), dtype=np.uint64)[None]
            cos, sin = _normals(_words(stream, samples, some, work), isinstance(out, np.ndarray), scale)
            part = out[i : i + len(samples), 2 * j : 2 * (j + some.shape[1])]
            part[:, ::2] = cos
            part[:, 1::2] = sin[:, : part.shape[1] // 2]


def _words(stream: Sequence[int], samples: np.ndarray, blocks: np.ndarray, work: np.ndarray) -> np.ndarray:
    """``(6, n, blocks)``: two arrays to write, and four words."""
    # after two rounds of broadcasting every word is one of sample and block
    counter = (blocks, samples & _WORD, (samples >> 32) ^ stream[2], np.full((1, 1), stream[3], dtype=np.uint64))
    begun, key = _rounds(counter, stream[:2], 2)
    shape = (6, len(samples), blocks.shape[1])
    whole = work[:, : shape[1] * shape[2]].reshape(shape)
    p, q, a, b, c, d = whole
    for word, value in zip((a, b, c, d), begun, strict=True):
        word[...] = value
    for _ in range(8):
        np.multiply(a, _MULTIPLIERS[0], out=p)
        np.multiply(c, _MULTIPLIERS[1], out=q)
        for word, product, other, k in ((a, q, b, key[0]), (c, p, d, key[1])):
            np.right_shift(product, 32, out=word)
            np.bitwise_xor(word, other, out=word)
            np.bitwise_xor(word, k, out=word)
            np.bitwise_and(product, _WORD, out=other)
        key = _next(key)
    return whole


def _normals(words: np.ndarray, numpy: bool, scale: float) -> tuple[Any, Any]:
    """The pair of :func:`diffnum.noise.box_muller` from the last four arrays, in the memory of all."""
    p, q, a, b, c, d = words
    uniforms = (_uniform(a, b, p.view(np.float64)), _uniform(c, d, q.view(np.float64)))
    here = (*uniforms, a.view(np.float64))
    # the functions of the array that is filled, for the same digits as everywhere else
    xp: Any = np if numpy else import_module("torch")
    radius, angle, sin = here if numpy else [xp.from_numpy(one) for one in here]
    xp.log(radius, out=radius)
    xp.multiply(radius, -2.0, out=radius)
    xp.sqrt(radius, out=radius)
    xp.multiply(angle, 2.0 * math.pi, out=angle)
    xp.sin(angle, out=sin)
    xp.cos(angle, out=angle)
    for one in (angle, sin):
        xp.multiply(one, radius, out=one)
        if scale != 1.0:
            xp.multiply(one, scale, out=one)
    return angle, sin


def _uniform(first: np.ndarray, second: np.ndarray, out: np.ndarray) -> np.ndarray:
    np.left_shift(first, 20, out=first)
    np.right_shift(second, 12, out=second)
    np.bitwise_or(first, second, out=first)
    # 52 bits: exact as an int64 too, which converts faster
    np.copyto(out, first.view(np.int64))
    np.add(out, 0.5, out=out)
    return np.multiply(out, 2.0**-52, out=out)
