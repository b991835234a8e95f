"""A Brownian path that every grid sees the same: increments and areas that refine, in a virtual dyadic tree.

A :class:`Counter` gives an interval fresh noise, so 20 and 40 steps have nothing in common. Here every sample has one
path ``B`` on the fixed clock ``c = (alpha / sigma)^(2 rate)``, in which the noise of the reverse SDEs is a pure
increment: with noise of ``rate`` per log-SNR,

    d(e^(rate lam) x / sigma) = D d e^((1 + rate) lam) + dB_c,    c = e^(2 rate lam)     (data; rate = 1 by default)
    d(x / alpha) = -2 e^-lam eps dlam + dB_c,                     c = e^(-2 lam)         (noise, rate one: rate = -1)

A draw of the interval from ``s`` to ``t`` is, with ``L = c_t - c_s``,

    j = 0:  (B_t - B_s) / sqrt(L)
    j = 1:  sqrt(12 / L^3) int_s^t (B_r - B_s - (r - c_s) / L (B_t - B_s)) dr      the space-time area
    j > 1:  as a Counter draws it

both standard normal and independent of one another (Foster, Lyons & Oberhauser 2020, "An optimal polynomial
approximation of Brownian motion"). Increments add up, ``W(s, t) + W(t, u) = W(s, u)`` to rounding, whatever the grids.
An interval that runs against the reverse SDE, towards noise as in churn, reads a second path on the clock ``1 / c``.

The tree: every octave ``[2^k, 2^(k+1))`` of the clock has an increment and an area of its own, and is halved
:data:`DEPTH` times. Given ``W`` and ``I = int B`` over an interval of unit length, at its middle

    W_m = 3/2 I - W / 4 + z_1 / 4,    I_m = I / 2 - W / 8 + z_2 / sqrt(192)

(:func:`middle`, derived in theory.brownian) with normals that are named by octave, depth and place, so nothing is
stored. A leaf's path is its conditional mean (:func:`leaf`), a fraction ``2^-DEPTH`` of the octave's variance away from
a Brownian path.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from ..num import exp
from ..plan import Level, Noise
from .counter import Counter, check_integer, check_rows, draws, philox

__all__ = ["DEPTH", "Brownian", "leaf", "middle"]

DEPTH = 32
# below this power of two the clock is one interval down to pure noise
BOTTOM = -48
_WORD = 0xFFFFFFFF
# never the upper half of a time, which is not NaN: no block is shared with a Counter of the same seed
_TREE = 0x7FF80000
_MIDDLE = 1 / math.sqrt(192)
# normals of nodes held at once
_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Brownian:
    """One Brownian path per sample on the clock ``(alpha / sigma)^(2 rate)``: a noise source for ``dn.sample``.

    The same for any grid, batch, chunk, device and dtype; numbers are float64 and are cast last.

    Attributes:
        seed: ``0 <= seed < 2**64``; ``initial`` draws what ``Counter(seed)`` does.
        first: number of the batch's first sample.
        rate: noise per log-SNR for which the clock is exact; not zero. With another rate draws are still standard
            normal and independent over intervals; the path that they follow then changes by ``O(h)`` with the grid.

    Raises:
        ValueError: ``seed`` or ``first`` is not an integer in its range, ``rate`` is zero or not finite.
    """

    seed: int
    first: int = 0
    rate: float = 1.0

    def __post_init__(self) -> None:
        check_integer("seed", self.seed, 64)
        check_integer("first", self.first, 62)
        if not (math.isfinite(self.rate) and self.rate != 0):
            raise ValueError(f"rate = {self.rate!r} gives the path no clock: use a finite rate, not zero, such as 1.0")

    def __call__(self, line: Noise, x: Any, offset: int = 0) -> Any:
        """The draw of ``line`` for the batch ``x``, row ``i`` being for sample ``first + offset + i``.

        Args:
            line: the plan's line; its levels and its index ``j`` name the draw.
            x: numpy array or torch tensor of a floating dtype, batch first, shape ``(n, ...)``.
            offset: added to ``first`` when a caller cuts ``x`` itself.

        Returns:
            An array of the shape, device and dtype of ``x``.

        Raises:
            ValueError: an interval that has no length or ends at the clean level, where the clock is infinite.
        """
        if line.j > 1:
            return Counter(self.seed, self.first)(line, x, offset)
        check_rows(x)
        _, w, integral = self._over(line.s, line.t, x, offset)
        area = math.sqrt(12) * (integral - w / 2) if line.j else w
        return _cast(area, x)

    def initial(self, n: int, shape: int | Sequence[int], std: float = 1.0, like: Any = None, offset: int = 0) -> Any:
        """``x_T`` as :meth:`Counter.initial` draws it: it belongs to no interval."""
        return Counter(self.seed, self.first).initial(n, shape, std, like, offset)

    def increment(self, s: Level, t: Level, x: Any, offset: int = 0) -> Any:
        """``B_t - B_s`` itself, of variance ``|c_t - c_s|``, for the batch ``x``, in its dtype."""
        check_rows(x)
        length, w, _ = self._over(s, t, x, offset)
        return _cast(math.sqrt(length) * w, x)

    def _over(self, s: Level, t: Level, x: Any, offset: int) -> tuple[float, Any, Any]:
        """Length, increment and integral over the interval, in units of its length."""
        check_integer("offset", offset, 62)
        up = t.lam < s.lam
        # towards noise: another path, on the clock of the forward process
        a, b = (self._clock(level, -self.rate if up else self.rate) for level in (s, t))
        low, high = min(a, b), max(a, b)
        if not (low < high < math.inf):
            raise ValueError(
                f"the interval from t = {s.t!r} to {t.t!r} has {'no length' if low == high else 'no end'} on the "
                "Brownian path's clock: stop before the clean level, or pass noise=Counter(seed)"
            )
        parts = [(k, *_part(k, low, high)) for k in range(_octave(low), _octave(high) + 1)]
        pieces = [piece for piece in parts if piece[1] < piece[2]]
        normals = _Normals(self.seed, int(self.first) + int(offset), int(up), tuple(x.shape), _wide(x))
        drawn = normals.of(_listed(pieces))
        length, w, integral = _joined([_piece(*piece, lambda node: next(drawn)) for piece in pieces])
        if b < a:
            # time runs backwards: int_s^t (B_r - B_s) dr of the path read from its other end
            w, integral = -w, integral - w
        return length, w, integral

    def _clock(self, level: Level, rate: float) -> float:
        lam = float(level.lam.detach() if hasattr(level.lam, "detach") else level.lam)
        return 0.0 if lam * rate == -math.inf else math.inf if lam * rate == math.inf else float(exp(2 * rate * lam))


Node = tuple[int, int, int]
Part = tuple[float, Any, Any]
Pairs = Callable[[Node], tuple[Any, Any]]


def _piece(octave: int, a: float, b: float, pairs: Pairs) -> Part:
    """``(length, W, I)`` over the fractions ``a`` to ``b`` of an octave, ``W`` and ``I`` in units of the length."""
    w, z = pairs((octave, 0, 0))
    length, *rest = _within((octave, 0, 0), w, w / 2 + z / math.sqrt(12), a, b, pairs)
    return length * _length(octave), *rest


def _within(node: Node, w: Any, i: Any, a: float, b: float, pairs: Pairs) -> Part:
    """The same within a node of unit length, whose ``W`` and ``I`` are known."""
    octave, depth, place = node
    if a == 0 and b == 1:
        return 1.0, w, i
    if depth == DEPTH:
        length, rise, integral = leaf(w, i, a, b)
        return length, rise / math.sqrt(length), integral / length**1.5
    z1, z2 = pairs((octave, depth + 1, place))
    half, area = middle(w, i, z1 / 4, _MIDDLE * z2)
    parts: list[Part] = []
    if a < 0.5:
        left = (octave, depth + 1, 2 * place)
        parts.append(_within(left, math.sqrt(2) * half, 2**1.5 * area, 2 * a, min(2 * b, 1.0), pairs))
    if b > 0.5:
        right = (octave, depth + 1, 2 * place + 1)
        rest = math.sqrt(2) * (w - half), 2**1.5 * (i - area - half / 2)
        parts.append(_within(right, *rest, max(2 * a - 1, 0.0), 2 * b - 1, pairs))
    length, *found = _joined(parts)
    return length / 2, *found


def _listed(pieces: Sequence[tuple[int, float, float]]) -> list[Node]:
    """The nodes that :func:`_piece` asks for, in order."""
    nodes: list[Node] = []

    def note(node: Node) -> tuple[float, float]:
        nodes.append(node)
        return 0.0, 0.0

    for octave, a, b in pieces:
        _piece(octave, a, b, note)
    return nodes


@dataclass(frozen=True)
class _Normals:
    """Pairs of normals of nodes for a batch of samples, many nodes at once where the batch is small."""

    seed: int
    first: int
    path: int
    shape: tuple[int, ...]
    like: Any

    def of(self, nodes: Sequence[Node]) -> Iterator[tuple[Any, Any]]:
        """In the order of ``nodes``."""
        group = max(1, _AT_ONCE // max(1, math.prod(self.shape)))
        for start in range(0, len(nodes), group):
            yield from self._drawn(nodes[start : start + group])

    def _drawn(self, nodes: Sequence[Node]) -> Iterator[tuple[Any, Any]]:
        seed = int(self.seed)
        octaves, depths, places = zip(*nodes, strict=True)
        counter = (
            np.array([k & _WORD for k in octaves], dtype=np.uint64),
            np.array([_TREE | (2 * d + self.path + 1) for d in depths], dtype=np.uint64),
            np.array(places, dtype=np.uint64),
            np.zeros(len(nodes), dtype=np.uint64),
        )
        w0, w1, w2, w3 = philox(counter, (seed & _WORD, seed >> 32))
        first, second = (draws((w0, w1, w2, w3 ^ j), self.first, self.shape, self.like) for j in (0, 1))
        return zip(first, second, strict=True)


def _octave(c: float) -> int:
    return max(math.frexp(c)[1] - 1, BOTTOM - 1) if c else BOTTOM - 1


def _length(octave: int) -> float:
    return 2.0 ** max(octave, BOTTOM)


def _part(octave: int, low: float, high: float) -> tuple[float, float]:
    """The part of an octave between two clocks, as exact fractions of it."""
    base = 2.0**octave if octave >= BOTTOM else 0.0
    a, b = ((c - base) / _length(octave) for c in (low, high))
    return max(a, 0.0), min(b, 1.0)


def _joined(parts: Sequence[Part]) -> Part:
    """Neighbours in order as one interval; ``W`` in units of ``sqrt(length)``, ``I`` of ``length^(3/2)``."""
    if len(parts) == 1:
        return parts[0]
    total = math.fsum(part[0] for part in parts)
    w, i = 0.0, 0.0
    for length, dw, di in parts:
        share = length / total
        i = i + share * w + share**1.5 * di
        w = w + math.sqrt(share) * dw
    return total, w, i


def middle(w: Any, i: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """``B`` and ``int B`` at the middle of a unit interval from those at its end, and what they do not say: ``a`` of
    variance 1/16, ``b`` of variance 1/192, independent."""
    return 3 * i / 2 - w / 4 + a, i / 2 - w / 8 + b


def leaf(w: Any, i: Any, a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Length, rise and integral between ``a`` and ``b`` of the conditional mean ``x (3 x - 2) W + 6 x (1 - x) I``.

    Over the part it is ``bend x (x - length) + slope x``, so that nothing is subtracted that nearly cancels.
    """
    length, both = b - a, a + b
    slope = (3 * both - 2) * w + 6 * (1 - both) * i
    bend = 3 * w - 6 * i
    return length, length * slope, length * length * (slope / 2 - bend * length / 6)


def _wide(x: Any) -> Any:
    """Nothing, in float64, where ``x`` lives; on the host where float64 does not exist."""
    if type(x).__module__ == "numpy":
        return np.empty(0, dtype=np.float64 if np.issubdtype(x.dtype, np.floating) else x.dtype)
    torch = import_module("torch")
    device = "cpu" if x.device.type == "mps" else x.device
    return torch.empty(0, dtype=torch.float64 if x.dtype.is_floating_point else x.dtype, device=device)


def _cast(value: Any, x: Any) -> Any:
    if type(x).__module__ == "numpy":
        return value.astype(x.dtype)
    return value.to(device=x.device, dtype=x.dtype)
