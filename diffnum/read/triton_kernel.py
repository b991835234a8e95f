"""One linear line as one Triton kernel; imported by :mod:`diffnum.read.triton_lines` where triton is installed."""

# ruff: noqa: ANN001, ANN202
from __future__ import annotations

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

__all__ = ["MOST", "add_up"]

MOST = 8
BLOCK = 1024


@triton.jit
def _line(
    out, v0, v1, v2, v3, v4, v5, v6, v7, c0, c1, c2, c3, c4, c5, c6, c7, n, TERMS: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    # from the last term to the first, which is the state
    total = tl.zeros([BLOCK], dtype=tl.float32)
    if TERMS > 7:
        total += c7 * tl.load(v7 + at, mask=inside).to(tl.float32)
    if TERMS > 6:
        total += c6 * tl.load(v6 + at, mask=inside).to(tl.float32)
    if TERMS > 5:
        total += c5 * tl.load(v5 + at, mask=inside).to(tl.float32)
    if TERMS > 4:
        total += c4 * tl.load(v4 + at, mask=inside).to(tl.float32)
    if TERMS > 3:
        total += c3 * tl.load(v3 + at, mask=inside).to(tl.float32)
    if TERMS > 2:
        total += c2 * tl.load(v2 + at, mask=inside).to(tl.float32)
    if TERMS > 1:
        total += c1 * tl.load(v1 + at, mask=inside).to(tl.float32)
    total += c0 * tl.load(v0 + at, mask=inside).to(tl.float32)
    tl.store(out + at, total.to(out.dtype.element_ty), mask=inside)


def add_up(out, terms) -> None:
    """``out = sum(c * v for c, v in terms)`` for one to :data:`MOST` contiguous tensors of at most 32 bits."""
    values = [v for _, v in terms] + [out] * (MOST - len(terms))
    numbers = [float(c) for c, _ in terms] + [0.0] * (MOST - len(terms))
    n = out.numel()
    if n:
        grid = (triton.cdiv(n, BLOCK),)
        _line[grid](out, *values, *numbers, n, TERMS=len(terms), BLOCK=BLOCK)  # pyright: ignore[reportIndexIssue]
