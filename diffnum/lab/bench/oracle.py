"""How quickly the oracle answers: plans, exact moments and distances, certificates, exact denoisers, studies, designs.

Times are processor times on one thread, the least of several; certificates, designs and studies are asked once, in a
process that has not asked them before, and all certificates in two processes, by the wall clock. In seconds and in
units of one matrix product: ``512 x 512 x 512`` in float64 on the same machine in the same minute. A denoiser is asked
where a sampler asks, at points of its law under noise, and held against the matrix products that its formula needs,
each multiplication and addition counted, at the rate measured for products of its own shapes in its own precision:

    empirical law of n points, batch b, dimension d     4 b n d             distances and averages
    mixture of k diagonal components                    8 b k d             two products for densities, two for means
    mixture of k components of full covariance          4 b k d^2           into each eigenbasis and back
    mixture of k components of rank r                   4 b k d (r + 2)     onto the factors and back, and the diagonal
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import grid
from ...certificate import certify, certify_all
from ...design import design
from ...process import VP
from ...read.distance import w2
from ...read.moments import moments
from ...solvers import ALL
from ...targets import Empirical, Gaussian, Mixture
from ...trace import compile
from ..study import run_study
from .clock import Clock, Lap, seconds

__all__ = ["OracleRow", "answers", "denoisers", "rate"]

SEED = 0
LEVEL = VP().at(0.0)


@dataclass(frozen=True)
class OracleRow:
    """A line of the table of answers.

    Attributes:
        question, size, device: what was asked.
        seconds: of processor time; by the wall clock for what is asked once; on a GPU between events.
        products: the same in products of ``512 x 512`` float64 matrices on the CPU.
        share: of the matrix-product rate that a denoiser reaches; empty for others.
    """

    question: str
    size: str
    device: str
    seconds: float
    products: float
    share: str = ""


def answers(small: bool = False) -> Iterator[OracleRow]:
    """The questions that are no denoiser's.

    Args:
        small: the quick ones alone, at small sizes.
    """
    unit = _product()

    def row(question: str, size: str, run: Callable[[], Any]) -> OracleRow:
        took = seconds(run).cpu
        return OracleRow(question, size, "cpu", took, took / unit)

    steps = 50 if small else 1000
    for name in ("dpmpp_3m", "unipc_3"):
        yield row("compile", f"{name}, {steps} steps", lambda name=name: compile(ALL[name], _levels(steps)))
    plan = compile(ALL["dpmpp_2m"], _levels(20))
    for modes in (64,) if small else (64, 3072, 200_000):
        law = Gaussian.power_law(modes)
        yield row("exact moments", f"20 steps, {modes} modes", lambda law=law: moments(plan, law))
        yield row("exact Frechet error", f"20 steps, {modes} modes", lambda law=law: w2(plan, law, at="data") ** 2)
    if small:
        return
    spectrum = 1.0 / np.arange(1, 33) ** 2
    few = [ALL["ddim"], ALL["dpmpp_2m"]]
    once: dict[tuple[str, str], Callable[[], Any]] = {
        ("certificate", "dpmpp_2m, the first"): lambda: certify(ALL["dpmpp_2m"]),
        ("certificate", "unipc_3, another"): lambda: certify(ALL["unipc_3"]),
        ("design", "4 evaluations, 32 modes"): lambda: design(nfe=4, spectrum=spectrum, samplers=few),
        ("certificate", f"all {len(ALL)}, two processes"): lambda: certify_all(ALL.values(), jobs=2),
        ("study", "digits, 5 evaluations"): _study,
    }
    for (question, size), run in once.items():
        took = Clock().time(run).wall
        yield OracleRow(question, size, "cpu", took, took / unit)


def denoisers(device: str = "cpu", small: bool = False) -> Iterator[OracleRow]:
    """Every exact denoiser at its work."""
    unit = _product()
    rng = np.random.default_rng(SEED)
    for name, law, points, work, shape in _laws(rng, 0.1 if small else 1.0, device != "cpu"):
        dtype = "float32" if getattr(law, "precision", "") == "single" else "float64"
        x = law.sample(points, rng, LEVEL)
        given = x if device == "cpu" else torch.tensor(x, dtype=getattr(torch, dtype), device=device)
        took = _device_time(seconds(lambda law=law, given=given: law.denoise(given, LEVEL), 3, 0.0, device), device)
        share = work / took / rate(shape, dtype, device)
        yield OracleRow("denoiser", f"{name}, batch {points}, {dtype}", device, took, took / unit, f"{share:.3g}")


def rate(shape: tuple[int, int, int], dtype: str = "float64", device: str = "cpu") -> float:
    """Operations per second of products of an ``m x k`` and a ``k x n`` matrix, the better of numpy and torch."""
    m, k, n = shape
    rng = np.random.default_rng(SEED)
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    ta, tb = torch.tensor(a, device=device), torch.tensor(b, device=device)
    took = [_device_time(seconds(lambda: ta @ tb, 3, 0.02, device), device)]
    if device == "cpu":
        took.append(seconds(lambda: a @ b, 3, 0.02).cpu)
    return 2 * m * k * n / min(took)


def _laws(
    rng: np.random.Generator, scale: float, large: bool
) -> Iterator[tuple[str, Any, int, float, tuple[int, int, int]]]:
    """Name, law, batch, operations, and the shape ``(m, k, n)`` of the product that it is held against.

    Args:
        scale: of their sizes.
        large: sizes for a GPU.
    """
    b = 256
    n, d = (50_000, 3072) if large else (int(4096 * scale), 768)
    data = rng.standard_normal((n, d))
    for precision in ("double", "single"):
        yield f"empirical, {n} x {d}", Empirical(data, precision=precision), b, 4.0 * b * n * d, (b, d, n)
    k, d, r = max(8, int((256 if large else 64) * scale)), 256, 8
    means, ones = rng.standard_normal((k, d)), np.ones(k)
    law = Mixture(ones, means, rng.uniform(0.1, 1.0, (k, d)))
    yield f"diagonal mixture, {k} x {d}", law, b, 8.0 * b * k * d, (b, d, k)
    law = Mixture.low_rank(ones, means, rng.standard_normal((k, d, r)), np.full(k, 0.1))
    yield f"mixture of rank {r}, {k} x {d}", law, b, 4.0 * b * k * d * (r + 2), (b, d, k * r)
    k = max(2, k // 4)
    roots = rng.standard_normal((k, d, d)) / d**0.5
    law = Mixture(ones[:k], means[:k], roots @ roots.transpose(0, 2, 1))
    yield f"full mixture, {k} x {d}", law, b, 4.0 * b * k * d * d, (b, d, d)


def _product() -> float:
    x = np.random.default_rng(SEED).standard_normal((512, 512))
    return seconds(lambda: x @ x).cpu


def _device_time(lap: Lap, device: str) -> float:
    return lap.cpu if device == "cpu" else lap.wall


def _levels(n: int) -> Any:
    return grid.log_snr(VP(), n)


def _study() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_study("digits", (5,), Path(folder) / "study")
