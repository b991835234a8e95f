"""Noise that belongs to an interval and a sample, not to a call.

A draw ``N(0, I)`` of a plan is named by its interval ``(s, t)``, its index ``j`` there and the number of
the sample it is for. :class:`Counter` turns these names into normals without any state, by Philox4x32-10
(Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3"): a keyed
bijection of 128-bit blocks, ten multiplications deep. So sample 17 gets the same noise alone, in a batch
of a thousand or in the second chunk of one, in numpy and in torch, on a CPU and on a GPU, in bfloat16 and
in float64: the integer bits are the same everywhere, the normals agree to float64 rounding, and the cast
to the state's dtype comes last.

The names are laid out in two applications of the same function ``philox(counter, key)``:

.. code-block:: text

    w0 w1 w2 w3 = philox((low(s.t), high(s.t), low(t.t), high(t.t)), (low(seed), high(seed)))
    four words  = philox((block, low(sample), high(sample) ^ w2, j ^ w3), (w0, w1))

with ``low`` and ``high`` the 32-bit halves of a 64-bit pattern, for times that of their float64. One block
of four words makes two uniforms of 52 bits and, by Box and Muller (1958), elements ``2 * block`` and
``2 * block + 1`` of the flattened sample. Since both maps are bijections, distinct names inside one interval
never share a block, and two intervals do so with probability ``2**-64``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from ..num import cos, log, sin, sqrt
from ..plan import Noise
from .words import fill, philox

__all__ = ["Counter", "box_muller", "check_integer", "check_rows", "draw", "draws", "philox"]

_WORD = 0xFFFFFFFF
# never the bits of a time, which cannot be NaN: x_T belongs to no interval
_START = 0x7FF8000000000000
# blocks worked on at once: a GPU gets work enough
_CHUNK = 1 << 22


def box_muller(words: Sequence[Any]) -> Any:
    """Two float64 normals from each block of four 32-bit words.

    With ``u = (k + 1/2) 2**-52`` for the first 52 bits ``k`` of two words, exact in float64 and never 0
    or 1, the pair is ``sqrt(-2 log u1) (cos 2 pi u2, sin 2 pi u2)``; the largest is 8.6.

    Args:
        words: four arrays of shape ``(n, blocks)``.

    Returns:
        Array of shape ``(n, 2 * blocks)``, pairs side by side.
    """
    radius = sqrt(-2.0 * log(_uniform(words[0], words[1])))
    angle = (2.0 * math.pi) * _uniform(words[2], words[3])
    pair = (radius * cos(angle), radius * sin(angle))
    if isinstance(radius, np.ndarray):
        return np.stack(pair, axis=-1).reshape(len(radius), -1)
    return import_module("torch").stack(pair, -1).flatten(1)


def _uniform(first: Any, second: Any) -> Any:
    bits = (first << 20) | (second >> 12)
    return ((bits.astype(np.float64) if isinstance(bits, np.ndarray) else bits.double()) + 0.5) * 2.0**-52


@dataclass(frozen=True)
class Counter:
    """Independent draws for every seed, sample, interval and index, without state.

    A Counter is a noise source for :func:`diffnum.sample`. It names an interval by the exact float64 bits
    of its two times, so it is the same on the same grid only; refining a grid gives fresh noise.

    Attributes:
        seed: ``0 <= seed < 2**64``.
        first: number of the batch's first sample. A long run is cut into batches by
            ``Counter(seed, first=k)`` for the batch that starts with sample ``k``, and equals the run in one piece.

    Raises:
        ValueError: ``seed`` or ``first`` is not an integer in its range.
    """

    seed: int
    first: int = 0

    def __post_init__(self) -> None:
        check_integer("seed", self.seed, 64)
        check_integer("first", self.first, 62)

    def __call__(self, line: Noise, x: Any, offset: int = 0) -> Any:
        """The draw of ``line`` for the batch ``x``, row ``i`` being for sample ``first + offset + i``.

        Args:
            line: the plan's line; its times ``s.t``, ``t.t`` and its index ``j`` name the draw.
            x: numpy array or torch tensor of a floating dtype, batch first, shape ``(n, ...)``.
            offset: added to ``first`` when a caller cuts ``x`` itself.

        Returns:
            An array of the shape, device and dtype of ``x``.

        Raises:
            ValueError: ``x`` has no batch axis or no floating dtype, a time is NaN or not a number, or
                ``j`` or ``offset`` is no index.
        """
        check_rows(x)
        stream = self._stream(_bits(line.s.t), _bits(line.t.t), line.j)
        return draw(stream, self._sample(offset), tuple(x.shape), x)

    def initial(self, n: int, shape: int | Sequence[int], std: float = 1.0, like: Any = None, offset: int = 0) -> Any:
        """``x_T = std * N(0, I)`` of shape ``(n, *shape)``, independent of the draws of every interval.

        Args:
            n: number of samples, ``first + offset`` being the first.
            shape: shape of one sample; an int for a vector.
            std: standard deviation, ``plan.prior``; multiplied in float64 before the cast.
            like: array or tensor whose kind, device and dtype to follow; numpy float64 if None.
            offset: as in a call.
        """
        check_integer("n", n, 48)
        whole = (n, shape) if isinstance(shape, int) else (n, *shape)
        like = np.empty(0) if like is None else like
        return draw(self._stream(_START, _START, 0), self._sample(offset), whole, like, float(std))

    def _sample(self, offset: int) -> int:
        check_integer("offset", offset, 62)
        return int(self.first) + int(offset)

    def _stream(self, s: int, t: int, j: int) -> tuple[int, int, int, int]:
        check_integer("j", j, 32)
        # plain ints: a numpy integer would wrap with a warning
        seed = int(self.seed)
        w0, w1, w2, w3 = philox((s & _WORD, s >> 32, t & _WORD, t >> 32), (seed & _WORD, seed >> 32))
        return w0, w1, w2, w3 ^ int(j)


def check_rows(x: Any) -> None:
    """Refuse an array without a batch axis."""
    if not x.shape:
        raise ValueError("noise for an array without axes has no sample to belong to: give x a batch axis, x[None]")


def draw(stream: Sequence[int], first: int, shape: tuple[int, ...], like: Any, scale: float = 1.0) -> Any:
    kind = _Kind(like)
    n, size = shape[0], math.prod(shape[1:])
    out = kind.empty(n, size)
    if kind.where == "cpu":
        fill(stream, first, out, scale)
        return kind.send(out.reshape(shape))
    blocks = kind.range(0, (size + 1) // 2)
    rows = max(1, _CHUNK // max(1, len(blocks)))
    for start in range(0, n, rows):
        samples = kind.range(first + start, min(rows, n - start))
        out[start : start + rows] = scale * box_muller(_words(stream, samples, blocks))[:, :size]
    return kind.send(out.reshape(shape))


def draws(streams: Sequence[np.ndarray], first: int, shape: tuple[int, ...], like: Any) -> Any:
    """:func:`draw` of several streams, four arrays of ``m`` words: an array of shape ``(m, *shape)``, made at once."""
    m = len(streams[0])
    if m == 1:
        return draw([int(w[0]) for w in streams], first, shape, like)[None]
    kind = _Kind(like)
    n, size = shape[0], math.prod(shape[1:])
    blocks = kind.range(0, (size + 1) // 2)
    stream = [kind.words(w)[:, None, None] for w in streams]
    words = _words(stream, kind.range(first, n), blocks)
    normals = box_muller([w.reshape(m * n, len(blocks)) for w in words])[:, :size]
    return kind.send(normals.reshape((m, *shape)))


def _words(stream: Sequence[Any], samples: Any, blocks: Any) -> tuple[Any, Any, Any, Any]:
    # (n, 1) against (1, blocks): what depends on the sample alone is computed once per sample
    samples = samples[:, None]
    counter = (blocks[None, :], samples & _WORD, (samples >> 32) ^ stream[2], stream[3])
    return philox(counter, (stream[0], stream[1]))


class _Kind:
    """Where and in what dtype ``like`` lives: the few array makers that numpy and torch spell differently."""

    def __init__(self, like: Any) -> None:
        self.like = like
        self.torch = None if type(like).__module__ == "numpy" else import_module("torch")
        if self.torch is None:
            floating, self.where = np.issubdtype(like.dtype, np.floating), "cpu"
        else:
            floating, device = like.dtype.is_floating_point, like.device
            # Metal has no float64: there the numbers are made on the host
            self.device = self.torch.device("cpu") if device.type == "mps" else device
            self.where = "cpu" if self.device.type == "cpu" else "other"
        if not floating:
            raise ValueError(f"noise of dtype {like.dtype} does not exist: give a real floating-point array")

    def range(self, first: int, count: int) -> Any:
        """``first, first + 1, ...`` in 64-bit integers."""
        if self.torch is None:
            return np.arange(first, first + count, dtype=np.uint64)
        return self.torch.arange(first, first + count, dtype=self.torch.int64, device=self.device)

    def words(self, values: np.ndarray) -> Any:
        """Words of 32 bits in 64-bit integers."""
        if self.torch is None:
            return values
        return self.torch.as_tensor(values.astype(np.int64), device=self.device)

    def empty(self, *shape: int) -> Any:
        """An array to fill, already of the final dtype."""
        if self.torch is None:
            return np.empty(shape, dtype=self.like.dtype)
        return self.torch.empty(shape, dtype=self.like.dtype, device=self.device)

    def send(self, array: Any) -> Any:
        """To the device of ``like``."""
        return array if self.torch is None else array.to(self.like.device)


def _bits(t: Any) -> int:
    """The float64 pattern of a time, with one zero."""
    try:
        value = float(t.detach() if hasattr(t, "detach") else t)
    except (TypeError, ValueError) as error:
        raise ValueError(f"time {t!r} is not a number: only numeric plans have draws with values") from error
    if math.isnan(value):
        raise ValueError("an interval that ends at time nan names no draw: give its levels a time")
    return struct.unpack("<Q", struct.pack("<d", value + 0.0))[0]


def check_integer(name: str, value: Any, bits: int) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not 0 <= value < 1 << bits:
        raise ValueError(f"{name} = {value!r} names no draw: use an integer from 0 to 2**{bits} - 1")
