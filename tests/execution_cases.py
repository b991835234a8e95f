"""Plans, a network and bounds that the tests of executions share."""

import torch
from hypothesis import strategies as st

import diffnum as dn
from diffnum.plan import Eval, Level, Lin, Noise, Plan, interpret

# deterministic multistep, stages, a corrector, two outputs, noise at the end and in the middle of steps, Langevin steps
KINDS = [
    "ddim", "dpmpp_2m", "dpmpp_3m", "unipc_3", "heun", "rk4", "bdia", "edict", "reversible_heun", "ddpm_ancestral",
    "sde_dpmpp_2m", "sde_dpmpp_2s", "edm_churn", "reverse_diffusion_pc",
]  # fmt: skip


def network(x, level):
    """Smooth and elementwise; allocates one tensor."""
    return torch.sin(x).mul_(float(level.sigma))


def plan_of(name, n=6, prediction="noise"):
    return dn.compile(name, dn.grid.log_snr(dn.VP(), n), prediction)


def run(plan, x, model=network, **options):
    source = dn.noise.Counter(3) if plan.draws else None
    return dn.sample(plan, model, x, noise=source, outputs="all", **options)


def start(*shape, dtype=torch.float32, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@st.composite
def plans(draw):
    """Any straight-line code of the three lines, not only that of samplers."""
    levels = [Level(1.0 - t, 0.2 + t, 1.0 - t) for t in (0.0, 0.25, 0.5)]
    lines = []
    for r in range(1, draw(st.integers(2, 14))):
        kind = draw(st.sampled_from(["lin", "lin", "lin", "eval", "noise"]))
        if kind == "lin":
            of = draw(st.lists(st.integers(0, r - 1), min_size=1, max_size=5))
            lines.append(Lin(tuple((q, draw(st.floats(-2, 2))) for q in of)))
        elif kind == "eval":
            lines.append(Eval(draw(st.integers(0, r - 1)), draw(st.sampled_from(levels))))
        else:
            lines.append(Noise(levels[0], levels[1], r))
    last = len(lines)
    outputs = (("x", last), ("y", draw(st.integers(0, last))))
    return Plan(tuple(lines), tuple(levels), (0, draw(st.integers(0, last)), last), outputs)


def within_rounding(plan, x, execution=None, sampled=None):
    """Assert that a run with a linear model is that in float64 within a bound on its error.

    Beside each value in float64 goes the bound: a line rounds once in the state's dtype and once per term in float32, a
    prediction rounds once, and errors are magnified by coefficients as they go on. ``sampled`` is a function of the
    plan, the model, ``x`` and noise in the place of ``dn.sample``.
    """
    sampled = sampled or (lambda *run: dn.sample(*run, outputs="all", execution=execution))
    tiny = torch.finfo(x.dtype).tiny
    unit = torch.finfo(x.dtype).eps / 2
    draws = [start(*x.shape, dtype=x.dtype, seed=i) for i in range(len(plan.draws))]
    wanted, again = iter(draws), iter(draws)

    def rounded(value, error):
        return value, error + unit * (value.abs() + error) + tiny

    def combined(terms):
        value, size = sum(c * v for c, (v, _) in terms), sum(abs(c) * (v.abs() + e) for c, (v, e) in terms)
        return rounded(value, sum(abs(c) * e for c, (_, e) in terms) + 2 * len(terms) * 2.0**-24 * size)

    bounds = interpret(
        plan,
        (x.double(), torch.zeros(1)),
        combined,
        lambda pair, level, quantity: rounded(0.5 * pair[0], 0.5 * pair[1]),
        lambda line: (next(again).double(), torch.zeros(1)),
    )
    ends = sampled(plan, lambda x, level: 0.5 * x, x, lambda s, t, j, x: next(wanted))
    for end, (value, error) in zip(ends, bounds, strict=False):
        assert end.dtype == x.dtype and ((end.double() - value).abs() <= error).all()
