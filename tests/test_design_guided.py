"""Designs for guided networks: families as one mixture against class by class, joined trajectories against apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from design_cases import begun, free

import diffnum as dn
from diffnum.design import design, fit
from diffnum.design.classes import Classes, Joined
from diffnum.design.learned import Guided
from diffnum.design.sensitivity import numbers
from diffnum.design.surrogates import chosen_by, designed_on, judged_on, split
from diffnum.design.trajectories import Trajectories
from diffnum.design.trial import Part, Trial
from diffnum.targets import Conditional, Mixture

RNG = np.random.default_rng(5)
LABELS = np.repeat(["cat", "dog"], 60)
DATA = RNG.standard_normal((120, 3)) * [1.0, 0.5, 0.2] + np.where(LABELS == "cat", 1.0, -1.0)[:, None]
START = dn.VP().level(1.0)


def laws(scale=2.5):
    return Classes(LABELS, scale).laws(DATA, 4, 4, 0)


@pytest.mark.parametrize("quantity", ["data", "noise", "velocity", "score"])
def test_a_family_asked_as_one_mixture_is_the_family_asked_class_by_class(quantity):
    family = laws()[0].family
    apart = Conditional((*family.classes[:1], dn.Conditional(family.classes[1:])), family.weights)
    assert family.joined is not None
    assert apart.joined is None
    x = torch.tensor(family.sample(6, 1, level := dn.VP().level(0.4)), requires_grad=True)
    ours, theirs = (law.predict(x, level, quantity) for law in (family, apart))
    assert torch.allclose(ours, theirs, atol=1e-12)
    rows = x.detach().numpy()
    assert np.allclose(family.posterior_cov(rows, level), apart.posterior_cov(rows, level), atol=1e-12)
    slopes = [torch.autograd.grad(found.sum(), x)[0] for found in (ours, theirs)]
    assert torch.allclose(*slopes, atol=1e-10)


def test_low_rank_classes_are_asked_class_by_class():
    for factors, diagonal in ((1, np.full((1, 3), 0.1)), (2, np.full(1, 0.1))):
        one = Mixture.low_rank([1.0], -np.ones((1, 3)), np.ones((1, 3, 1)), diagonal)
        other = Mixture.low_rank([1.0], np.ones((1, 3)), np.ones((1, 3, factors)), diagonal)
        family = Conditional((one, other))
        x = family.sample(4, 0, level := dn.VP().level(0.4))
        assert family.joined is None
        assert np.allclose(family.guided(x, level, 0, 0.0), family.denoise(x, level))


def test_joined_trajectories_are_those_of_each_class():
    joined = Joined.draw(laws(), START, 7, seed=3, tol=1e-4)
    cat, dog = laws()
    apart = [Trajectories.draw(cat, START, 4, 3, 1e-4), Trajectories.draw(dog, START, 3, 104, 1e-4)]
    plan = dn.compile("dpmpp_2m", dn.grid.log_snr(dn.VP(), 4))
    assert np.array_equal(joined.squares(plan), np.concatenate([t.squares(plan) for t in apart]))
    assert len(joined) == 7
    assert len(joined.first(4)) == 4
    assert len(joined.first(1)) == 2


def test_fits_to_joined_trajectories_have_the_slopes_of_differences():
    family = free(dn.VP(), 3)
    joined = Joined.draw(laws(), START, 4, seed=3, tol=1e-4)
    theta, e = begun(family), 1e-5
    slopes = joined.slopes(numbers(family.plan, theta), START)
    for i in range(family.size):
        step = e * np.eye(family.size)[i]
        above, below = (joined.outputs(family.plan((theta + s).tolist())) for s in (step, -step))
        assert np.allclose(slopes[..., i], (above - below) / (2 * e), atol=1e-5)


@pytest.mark.full
def test_a_fit_under_guidance_lowers_the_guided_error():
    family = free(dn.VP(), 4)
    trial = Trial("guided", (Part(Joined.draw(laws(), START, 24, seed=3, tol=1e-4)),))
    found = fit(family, begun(family, size=0.0), [trial])
    assert found.error < 0.5 * found.before
    assert found.error == pytest.approx(trial.error(found.plan()), rel=0.3)


def test_surrogates_under_guidance_reach_every_class():
    parts = split(DATA, 0, Classes(LABELS, 2.0))
    assert [len(part) for part in (parts.design, parts.choose, parts.judge)] == [60, 30, 30]
    makers = (designed_on, chosen_by, judged_on)
    held = (parts.design, parts.choose, parts.judge)
    for make, part, classes in zip(makers, held, parts.classes, strict=True):
        for trial in make(part, START, paths=2, classes=classes):
            joined = trial.parts[0].trajectories
            assert isinstance(joined, Joined)
            guided = [t.target for t in joined.parts]
            assert all(isinstance(law, Guided) for law in guided)
            assert {law.label for law in guided} == {"cat", "dog"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"guidance": 2.0}, "pass labels"),
        ({"guidance": -1.0, "labels": LABELS}, "guidance = -1.0"),
        ({"guidance": 2.0, "labels": LABELS[:5]}, r"shape \(5,\) for 120"),
        ({"guidance": 2.0, "labels": np.zeros(120)}, "1 classes"),
        ({"guidance": 2.0, "labels": np.arange(120) > 2}, "class False has"),
    ],
)
def test_guidance_without_classes_enough_is_refused(more, said):
    with pytest.raises(ValueError, match=said):
        design(DATA, 3, **more)
