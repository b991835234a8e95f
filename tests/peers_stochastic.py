"""Samplers that draw, on unit vectors: draws are columns too, in their order. See :mod:`peers`."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import peers_diffusers
import torch
from peers import EDM, Recorder, grid_of
from peers_authors import quiet

from diffnum.grid import Grid
from diffnum.plan import Eval, Level, Lin, Line, Noise, Plan

__all__ = ["Drawing", "Path", "by_sigma", "run"]


@dataclass
class Drawing(Recorder):
    """A recorder whose last columns are draws."""

    draws: int = 0

    def draw(self) -> torch.Tensor:
        """A fresh unit vector."""
        self.draws += 1
        return self._unit(self.width - self.draws)

    def plan(self, output: torch.Tensor, start: Level, stop: Level) -> Plan:
        """What the sampler computed, all draws first."""
        lines: list[Line] = [Noise(start, stop, j) for j in range(self.draws)]
        for row, level in zip(self.rows, self.levels, strict=True):
            lines += [Lin(self._terms(row)), Eval(len(lines) + 1, level)]
        lines.append(Lin(self._terms(output.detach().double().reshape(-1).numpy())))
        return Plan(tuple(lines), (start, stop), (0, len(lines)), (("x", len(lines)),))

    def _terms(self, row: Any) -> tuple[tuple[int, float], ...]:
        def register(i: int) -> int:
            if i >= self.width - self.draws:
                return self.width - i
            return self.draws + 2 * i if i else 0

        return tuple((register(i), float(c)) for i, c in enumerate(row) if c != 0)


@dataclass
class Path:
    """A Brownian motion in ``sigma``: increments of its own over the parts of every interval that is asked for.

    A call ``(s, t)`` gives ``W(s, t) / sqrt(s - t)``; intervals with one start are nested, the shorter first.
    """

    model: Drawing
    last: tuple[float, float, Any] | None = None

    def __call__(self, s: Any, t: Any) -> torch.Tensor:
        a, b = float(s), float(t)
        if self.last is not None and self.last[0] == a:
            _, m, z = self.last
            share = 1.0 if b == m else (a - m) / (a - b)
            z = z if b == m else share**0.5 * z + (1 - share) ** 0.5 * self.model.draw()
        else:
            z = self.model.draw()
        self.last = a, b, z
        return z


def by_sigma(
    sample: Callable[[Any, torch.Tensor, Any], torch.Tensor], sigmas: Sequence[float], path: bool = True
) -> tuple[Plan, Grid]:
    """A sampler ``sample(denoiser, x, noise_sampler)`` with ``D(x, sigma)``, as in :func:`peers_authors.by_sigma`.

    Args:
        path: noise of a Brownian motion in ``sigma``; otherwise a fresh draw for every call.
    """
    grid = grid_of(sigmas, EDM)
    model = Drawing(64)

    def denoiser(x: torch.Tensor, sigma: Any, **options: Any) -> torch.Tensor:
        s = float(torch.as_tensor(sigma).reshape(-1)[0])
        return model(x, EDM.at_clock(s), "data", s)

    noise = Path(model) if path else lambda s, t: model.draw()
    with quiet():
        return model.plan(sample(denoiser, model.start(), noise), grid[0], grid[-1]), grid


def run(name: str, n: int, **settings: Any) -> peers_diffusers.Run:
    """:func:`peers_diffusers.run` of a scheduler that draws with ``randn_tensor``."""
    import diffusers

    module = importlib.import_module(getattr(diffusers, name).__module__)
    with _drawn(module) as made, mock.patch.object(module, "randn_tensor", lambda shape, **k: made[-1].draw()):
        return peers_diffusers.run(name, n, **settings)


@contextmanager
def _drawn(module: Any) -> Iterator[list[Drawing]]:
    made: list[Drawing] = []

    def recorder(width: int) -> Drawing:
        made.append(Drawing(4 * width))
        return made[-1]

    with mock.patch.object(peers_diffusers, "Recorder", recorder):
        yield made
