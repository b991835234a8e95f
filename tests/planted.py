"""A scheduler with one error of choice, and without: what an examination has to find, and where."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch

__all__ = ["FAULTS", "FlowEuler", "Multistep", "Noisy"]

FAULTS = ("sign", "factor", "swapped", "history", "noise", "reused", "stale", "rounded", "dropped", "doubled")
STEP = 3


def table():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    return torch.cumprod(1 - betas, 0)


class Table:
    """Levels equally spaced in log-SNR between the ends of a table, then the data; times between its entries."""

    def __init__(self, fault="", prediction_type="sample"):
        self.fault = fault
        self.config = SimpleNamespace(num_train_timesteps=1000, prediction_type=prediction_type)
        self.alphas_cumprod = table()
        self.past = []

    def set_timesteps(self, n):
        p = self.alphas_cumprod
        lams = (p.log() - (1 - p).log()) / 2
        self.lams = torch.linspace(float(lams[-1]), float(lams[0]), n, dtype=torch.float64)
        times = []
        for lam in self.lams:
            i = max(int((lams > lam + 1e-12).sum()), 1)
            times.append(i - 1 + (float(lams[i - 1]) - float(lam)) / (float(lams[i - 1]) - float(lams[i])))
        # interpolation at the ends is exact but for rounding
        times = [min(max(t, 0.0), 999.0) for t in times]
        times = [float(round(t)) if abs(t - round(t)) < 1e-9 else t for t in times]
        if self.fault == "rounded":
            times[STEP] = float(round(times[STEP]))
        self.timesteps = torch.tensor(times[:-1] if self.fault == "dropped" else times, dtype=torch.float64)
        self.index = 0
        if self.fault != "stale":
            self.past = []

    def scales(self, i):
        if i == len(self.lams):
            return 1.0, 0.0
        lam = float(self.lams[i])
        alpha = 1 / math.sqrt(1 + math.exp(-2 * lam))
        return alpha, alpha * math.exp(-lam)


class Multistep(Table):
    """DPM-Solver++ 2M on data predictions, its last step of order one."""

    def step(self, D, t, x, return_dict=True):
        i, planted = self.index, self.fault if self.index == STEP else ""
        (alpha_s, sigma_s), (alpha, sigma) = self.scales(i), self.scales(i + 1)
        self.past.append(D)
        weight, h = 0.0, math.inf
        if sigma > 0 and len(self.past) > 1:
            h = float(self.lams[i + 1] - self.lams[i])
            weight = h / float(self.lams[i] - self.lams[i - 1]) / 2
        grown = alpha * -math.expm1(-h) if h < math.inf else alpha - sigma / sigma_s * alpha_s
        if planted == "swapped":
            grown = alpha_s * -math.expm1(-h)
        old = self.past[-3 if planted == "history" else -2] if weight else D
        weight *= 0.5 if planted == "factor" else 1.0
        slope = grown * (D + weight * (D - old))
        self.index += 1
        return (sigma / sigma_s * x + (-slope if planted == "sign" else slope),)


class Noisy(Table):
    """The ancestral sampler of DDPM on noise predictions."""

    def __init__(self, fault=""):
        super().__init__(fault, "epsilon")

    def step(self, eps, t, x, return_dict=True):
        i, planted = self.index, self.fault if self.index == STEP else ""
        (alpha_s, sigma_s), (alpha, sigma) = self.scales(i), self.scales(i + 1)
        r = (alpha_s * sigma / (alpha * sigma_s)) ** 2
        D = (x - sigma_s * eps) / alpha_s
        self.index += 1
        if sigma == 0:
            return (D,)
        z = self.kept if planted == "reused" else torch.randn(x.shape, dtype=x.dtype)
        self.kept = z
        std = sigma * math.sqrt(1 - r) * (1.1 if planted == "noise" else 1.0)
        return (alpha * D + sigma * math.sqrt(r) * eps + std * z,)


class FlowEuler:
    """Euler's method of flow matching on shifted levels from one to 1/1000, then the data."""

    def __init__(self, fault="", shift=3.0):
        self.fault = fault
        self.config = SimpleNamespace(num_train_timesteps=1000, shift=shift)

    def set_timesteps(self, n):
        sigmas = torch.linspace(1.0, 0.001, n, dtype=torch.float64)
        for _ in range(2 if self.fault == "doubled" else 1):
            sigmas = self.config.shift * sigmas / (1 + (self.config.shift - 1) * sigmas)
        self.timesteps = 1000 * sigmas
        self.sigmas = [*sigmas.tolist(), 0.0]
        self.index = 0

    def step(self, v, t, x, return_dict=True):
        s, t = self.sigmas[self.index : self.index + 2]
        self.index += 1
        return (x + (t - s) * v,)
