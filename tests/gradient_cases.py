"""Models whose gradients are known, the samplers that can be undone, and slopes as certificates fit them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.prediction import to_native
from diffnum.slopes import measured, rounding, settled
from diffnum.witness import COUNTS, HIGH, LOW

VP = dn.VP()
PROCESSES = [
    pytest.param(process, marks=() if process.name in ("VP", "Flow") else pytest.mark.full, id=process.name)
    for process in (VP, dn.Flow(), dn.VE(), dn.SubVP(), dn.Cosine(), dn.EDM())
]
TOP, BOTTOM = VP.at(LOW), VP.at(HIGH)


def grid(n, process=VP):
    return dn.grid.log_snr(process, n, start=process.at(LOW), stop=process.at(HIGH))


def both_ways(sampler, n, prediction="noise", process=VP):
    """A sampler to data, and back."""
    levels = grid(n, process)
    return dn.compile(sampler, levels, prediction), dn.compile(sampler, dn.gradients.backwards(levels), prediction)


def loss(x):
    return (torch.sin(x) + x**2 / 3).sum()


def slope(error, must="equal", counts=COUNTS):
    """The order of ``error(n)`` by doublings until they settle, as certificates measure it."""
    tried, errors = [], []
    for n in counts:
        tried.append(n)
        errors.append(error(n))
        if errors[-1] <= rounding(n) or settled(errors, tried):
            break
    return measured(errors, tried, "gradient", "uniform", "VP", "cold", must)


class Affine(torch.nn.Module):
    """The exact prediction of ``N(mean, diag(exp(log_variances)))``, both trainable; a condition shifts the mean."""

    def __init__(self, mean, variances, prediction="noise", weight=None):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.tensor(mean))
        self.log_variances = torch.nn.Parameter(torch.tensor(variances).log())
        self.prediction, self.weight, self.condition = prediction, weight, None

    def centre(self):
        return self.mean if self.condition is None else self.mean + self.condition @ self.weight

    def forward(self, x, level):
        m, c = self.centre(), self.log_variances.exp()
        D = m + level.alpha * c / (level.alpha**2 * c + level.sigma**2) * (x - level.alpha * m)
        a, b = to_native(level, self.prediction)
        return a * x + b * D

    def flow(self, x, s, t):
        """The closed form, through which torch differentiates exactly."""
        m, c = self.centre(), self.log_variances.exp()
        ratio = ((t.alpha**2 * c + t.sigma**2) / (s.alpha**2 * c + s.sigma**2)).sqrt()
        return t.alpha * m + ratio * (x - s.alpha * m)


class Modes(torch.nn.Module):
    """The exact prediction of a mixture on the line for each coordinate, with trainable means ``(d, K)``."""

    def __init__(self, law, prediction="noise"):
        super().__init__()
        self.law, self.prediction = law, prediction
        self.means = torch.nn.Parameter(torch.tensor(law.means))

    def forward(self, x, level):
        w, s = torch.tensor(self.law.weights), torch.tensor(self.law.stds)
        v = level.alpha**2 * s**2 + level.sigma**2
        r = x[..., None] - level.alpha * self.means
        share = torch.softmax(w.log() - v.log() / 2 - r**2 / (2 * v), -1)
        D = (share * (self.means + level.alpha * s**2 / v * r)).sum(-1)
        a, b = to_native(level, self.prediction)
        return a * x + b * D

    def truth(self, x, y, cotangent, s, t):
        """Gradients in ``x`` and in the means, of a flow ``x -> y`` that keeps the distribution function ``F``:
        ``dy = (f_s dx + dF_s - dF_t) / f_t`` with ``dF = -alpha w f_k dm``."""
        end = self._densities(y, t)
        here = self._densities(x, s)
        gain = here.sum(-1) / end.sum(-1)
        shift = (t.alpha * end - s.alpha * here) / end.sum(-1)[..., None]
        return cotangent * gain, (cotangent[..., None] * shift).sum(0)

    def _densities(self, x, level):
        v = level.alpha**2 * self.law.stds**2 + level.sigma**2
        r = x[..., None] - level.alpha * self.law.means
        return self.law.weights * np.exp(-(r**2) / (2 * v)) / np.sqrt(2 * math.pi * v)


def dense(width=16, dim=4, seed=0):
    """A small network of ``x`` and log-SNR, float64."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(dim + 1, width), torch.nn.Tanh(), torch.nn.Linear(width, dim)).double()
    return lambda x, level: net(torch.cat([x, torch.full_like(x[:, :1], level.lam)], 1)), list(net.parameters())


def convolutional(seed=0):
    """A small network of images of two channels, with a condition of one number per channel, float64."""
    torch.manual_seed(seed)
    first, last = (torch.nn.Conv2d(a, b, 3, padding=1).double() for a, b in ((2, 6), (6, 2)))
    condition = torch.randn(2, dtype=torch.float64, requires_grad=True)

    def model(x, level):
        return last(torch.nn.functional.silu(first(x + condition[:, None, None]) + level.lam / 4))

    return model, [condition, *first.parameters(), *last.parameters()]


def coupled(T, levels, p=0.93):
    """EDICT's pair."""
    y = T.given("y", T.x)
    for s, t in T.steps(levels):
        r = t.sigma / s.sigma
        c = t.alpha - r * s.alpha
        x = T.held(r * T.x + c * T.denoise(y, s), "x")
        y = T.held(r * y + c * T.denoise(x, s), "y")
        T.x = T.held(p * x + (1 - p) * y, "x")
        y = T.held(p * y + (1 - p) * T.x, "y")
    T.returns("y", y)


def coupled_noisy(T, levels):
    """The same pair, which adds a known draw to one of its states: a stochastic sampler that can be undone."""
    y = T.given("y", T.x)
    for s, t in T.steps(levels):
        r = t.sigma / s.sigma
        c = t.alpha - r * s.alpha
        x = T.held(r * T.x + c * T.denoise(y, s) + 0.1 * t.sigma * T.noise(s, t), "x")
        y = T.held(r * y + c * T.denoise(x, s), "y")
        T.x = x
    T.returns("y", y)


two_step = dn.solvers.bdia.with_options(gamma=0.9)


def name(value):
    """The name of a case in the name of a test."""
    return getattr(value, "__name__", str(value))


def apart(one, two):
    """Largest difference, relative to the largest entry of the second."""
    pairs = zip([one.x, *one.parameters], [two.x, *two.parameters], strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)
