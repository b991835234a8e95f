"""Laws near a law: what a tilt and other weights keep, and what they change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import diffnum as dn
from diffnum.design import surrogates
from diffnum.design.classes import Classes
from diffnum.design.perturbed import SPREAD, reweighted, tilted
from diffnum.targets.mixture import Mixture

START = dn.VP().level(dn.VP().t_start)


def mixture(k, seed):
    rng = np.random.default_rng(seed)
    return Mixture(rng.uniform(0.5, 2, k), rng.standard_normal((k, 3)), rng.uniform(0.1, 1, (k, 3)))


@given(st.integers(1, 9), st.integers(0, 99), st.floats(0.01, 2.0))
@settings(deadline=None, max_examples=30)
def test_other_weights_are_probabilities_of_the_same_components(k, seed, spread):
    law = mixture(k, seed)
    other = reweighted(law, seed, spread)
    assert other.weights.sum() == pytest.approx(1) and other.weights.min() > 0
    assert np.array_equal(other.means, law.means) and other.covariances is law.covariances
    # the same again
    assert np.array_equal(other.weights, reweighted(law, seed, spread).weights)


def test_logarithms_of_the_factors_have_the_spread_that_is_said():
    law = mixture(4000, 1)
    moved = np.log(reweighted(law, 2).weights / law.weights)
    # standard error of a standard deviation of 4000 numbers: 1.1 %
    assert moved.std() == pytest.approx(SPREAD, rel=0.05)
    assert reweighted(law, 2, 0.0) is law


@given(st.integers(0, 99), st.floats(0.5, 1.5))
@settings(deadline=None, max_examples=30)
def test_a_tilt_keeps_mean_and_total_and_raises_ratios_of_variances_to_its_power(seed, power):
    y = np.random.default_rng(seed).standard_normal((50, 4)) * np.array([3.0, 1.0, 0.5, 0.1]) + 1.0
    moved = tilted(y, power)
    assert moved.mean(axis=0) == pytest.approx(y.mean(axis=0))
    before, after = y.var(axis=0), moved.var(axis=0)
    assert after.sum() == pytest.approx(before.sum())
    assert after / after[0] == pytest.approx((before / before[0]) ** power)


@pytest.mark.parametrize("guided", [False, True])
def test_of_the_laws_to_choose_by_two_have_another_spectrum_and_other_weights(guided, monkeypatch):
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], 60)
    y = rng.standard_normal((120, 3)) + 4 * labels[:, None] + np.arange(120)[:, None] % 3
    seen = []
    # the laws themselves, not their trajectories
    monkeypatch.setattr(surrogates.Law, "trial", lambda self, paths: seen.append(self))
    surrogates.chosen_by(y, START, 8, classes=Classes(labels, 2.0) if guided else None)
    found = {law.name: law.target for law in seen}
    flat, steep = (found[name] for name in ("flatter, other weights", "steeper, other weights"))
    monkeypatch.setattr("diffnum.design.surrogates.SPREAD", 0.0)
    seen.clear()
    surrogates.chosen_by(y, START, 8, classes=Classes(labels, 2.0) if guided else None)
    plain = {law.name: law.target for law in seen}
    same = [plain[name] for name in ("flatter, other weights", "steeper, other weights")]
    for law, before in zip((flat, steep), same, strict=True):
        ours, theirs = (one[0].family.classes if guided else (one,) for one in (law, before))
        assert any(not np.allclose(a.weights, b.weights) for a, b in zip(ours, theirs, strict=True))
        assert all(np.array_equal(a.means, b.means) for a, b in zip(ours, theirs, strict=True))
