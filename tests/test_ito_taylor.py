"""Ito-Taylor of strong order 1.5: its step on a Gaussian against the formula, its Laplacian, its order on one path."""

import math

import numpy as np
import pytest
import torch

import diffnum as dn
from diffnum.adaptive import ito_taylor
from diffnum.noise import Brownian, Counter
from diffnum.plan import Noise
from diffnum.targets import Mixture1D
from diffnum.witness import coupled

VP = dn.VP()
LAW = dn.Product1D((Mixture1D(np.array([0.4, 0.6]), np.array([-1.0, 0.8]), np.array([0.5, 0.6])),))
# jvp compiles on first use, with a warning of torch's own
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")


def grid(n, low=-1.5, high=1.5):
    return dn.grid.log_snr(VP, n, start=VP.at(low), stop=VP.at(high))


@pytest.mark.parametrize("prediction", ["data", "noise", "velocity", "score"])
def test_a_step_on_a_gaussian_is_the_formula(prediction):
    """``D = g(rho) y + (1 - ...) m`` there, with ``g = c / (1 + c rho)``, so every derivative is known."""
    c, m, source = 0.7, 0.3, Brownian(5)
    law, levels = dn.Gaussian(np.array([m]), np.array([c])), grid(1, -0.3, 0.4)
    s, t = levels.levels
    x = law.sample(6, 0, s)
    run = ito_taylor(law, levels, torch.as_tensor(x), source, prediction=prediction)
    rho, end = ((u.alpha / u.sigma) ** 2 for u in (s, t))
    L, y = end - rho, x * s.alpha / s.sigma**2
    g = c / (1 + c * rho)
    D, D_y, D_rho = (m + c * y) / (1 + c * rho), g, -c * (m + c * y) / (1 + c * rho) ** 2
    w, area = (source(Noise(s, t, j), x) for j in (0, 1))
    W = math.sqrt(L) * w
    Z = L * (W / 2 + math.sqrt(L / 12) * area)
    expected = y + L * D + W + D_y * Z + L**2 / 2 * (D_rho + D_y * D)
    np.testing.assert_allclose(run.x.numpy(), expected * t.sigma**2 / t.alpha, rtol=1e-12)
    assert (run.evaluations, run.jvps, run.second) == (5, 1, 1)


def test_probes_estimate_the_whole_laplacian():
    """Of signs, so that diagonal terms are exact and the others have mean zero."""
    law, levels = coupled(), grid(1, -0.3, 0.4)
    x = torch.as_tensor(law.sample(1, 0, levels.levels[0])).repeat(4000, 1)

    def same_path(s, t, j, x):
        # one path for all, and signs of their own
        draws = Counter(2)(Noise(s, t, j), x)
        return draws[:1].expand_as(x).contiguous() if j < 2 else draws

    whole = ito_taylor(law, levels, x[:2], same_path, probes=None).x[0]
    some = ito_taylor(law, levels, x, same_path).x
    error = some.std(0) / math.sqrt(len(x))
    assert (error > 0).all() and ((some.mean(0) - whole).abs() < 4.5 * error).all()


@pytest.mark.parametrize("probes", [None, pytest.param(2, marks=pytest.mark.full)])
def test_strong_order_along_one_path(probes):
    x = LAW.sample(100, 1, VP.at(-1.5))
    exact = dn.sample(dn.compile("sra3", grid(256)), LAW, x, Brownian(3))
    runs = [ito_taylor(LAW, grid(n), torch.as_tensor(x), Brownian(3), probes).x.numpy() for n in (16, 32, 64)]
    errors = [math.sqrt(((run - exact) ** 2).mean()) for run in runs]
    assert math.log2(errors[0] / errors[-1]) / 2 == pytest.approx(1.5, abs=0.15)


def test_single_precision_is_kept_and_ends_are_reached():
    levels = dn.grid.log_snr(VP, 6, end="zero")
    x = torch.as_tensor(LAW.sample(3, 1, levels.levels[0]), dtype=torch.float32)
    run = ito_taylor(LAW, levels, x, Counter(1))
    assert run.x.dtype == torch.float32 and torch.isfinite(run.x).all() and run.jvps == 5


def test_bad_input_is_refused():
    x = torch.as_tensor(LAW.sample(2, 1, VP.at(-1.5)))
    with pytest.raises(ValueError, match="probes = 0"):
        ito_taylor(LAW, grid(2), x, Counter(1), probes=0)
    with pytest.raises(ValueError, match="give a tensor"):
        ito_taylor(LAW, grid(2), x.numpy(), Counter(1))
    with pytest.raises(ValueError, match=r"no source|given no source"):
        ito_taylor(LAW, grid(2), x, None)
