"""Every generated formula, as plans evaluate it in float64, against itself in 160 digits: steps from 1e-8 to 10, step
ratios from 1/20 to 20."""

import inspect
import random
from fractions import Fraction

import mpmath
import pytest

from diffnum.num import extended
from diffnum.solvers import generated

FORMULAS = [name for name in generated.__all__ if inspect.isfunction(getattr(generated, name))]
MULTISTEP = ("adams", "dpm_2m", "dpm_3m", "uni", "ipndm", "bdf", "extrapolation")


def points(name, rng):
    """Arguments by what they mean: ``z`` of either sign, ``h``, past nodes from step ratios, nodes inside a step."""
    past, found = 0.0, {}
    for argument in inspect.signature(getattr(generated, name)).parameters:
        size = 10.0 ** rng.uniform(-8, 1)
        if argument == "z":
            found[argument] = rng.choice((-1, 1)) * size
        elif argument in ("h", "y"):
            found[argument] = size
        elif argument == "rate":
            found[argument] = rng.uniform(0.1, 3)
        elif name.startswith(MULTISTEP) or "adams" in name:
            past -= 20 ** rng.uniform(-1, 1)
            found[argument] = past
        else:
            found[argument] = rng.uniform(0.05, 0.95)
    return found.values()


def rows(value):
    """Numbers that are summed: a row each; a bare number is a row of one."""
    if isinstance(value, tuple | list) and value and not any(isinstance(v, tuple | list) for v in value):
        return [list(value)]
    return [row for part in value for row in rows(part)] if isinstance(value, tuple | list) else [[value]]


def exact(x):
    return mpmath.mpf(x.numerator) / x.denominator if isinstance(x, int | Fraction) else mpmath.mpf(x)


def worst(name, count):
    formula, rng, found = getattr(generated, name), random.Random(name), 0.0
    for _ in range(count):
        at = list(points(name, rng))
        with mpmath.workdps(160):
            true = formula(*map(mpmath.mpf, at))
            for rounded, row in zip(rows(extended(formula, *at)), rows(true), strict=True):
                size = sum(abs(exact(x)) for x in row)
                if size:
                    errors = [abs(exact(a) - exact(b)) for a, b in zip(rounded, row, strict=True)]
                    found = max(found, float(max(errors) / size))
    return found


@pytest.mark.parametrize("name", FORMULAS)
def test_rounded_coefficients_equal_exact_ones_to_1e_14_of_their_row(name):
    assert worst(name, 5) < 1e-14


@pytest.mark.full
@pytest.mark.parametrize("name", FORMULAS)
def test_rounded_coefficients_equal_exact_ones_at_many_points(name):
    assert worst(name, 200) < 1e-14


def test_plain_float64_would_not_do():
    """The comparison notices what extended precision is for."""
    h = 1e-5
    with mpmath.workdps(160):
        true = rows(generated.etd3rk(mpmath.mpf(-h)))
    plain = rows(generated.etd3rk(-h))
    gap = [max(abs(a - float(b)) for a, b in zip(p, t, strict=True)) for p, t in zip(plain, true, strict=True)]
    assert max(gap) > 0
    assert worst("etd3rk", 1) < 2**-52
