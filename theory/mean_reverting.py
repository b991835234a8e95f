"""Samplers of mean-reverting diffusion are those of centred diffusion, shifted and scaled.

Mean-reverting diffusion ``x = alpha x0 + (1 - alpha) mu + sigma eps`` is ``u = (x - mu) / scale`` with the same
``alpha`` and with ``sigma / scale``, so a sampler for one is a sampler for the other. MR Sampler's published steps are
compared with those of DPM-Solver and DPM-Solver++ in these coordinates.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import sympy

from diffnum.plan import Level, Plan, interpret
from diffnum.solvers import reverting
from diffnum.trace import compile

from . import published as one
from . import published_noise as noisy
from .coordinates import ANY, InLogSNR, in_log_snr
from .statement import Chapter, Statement, prove

__all__ = ["CHAPTER", "shifted"]


def step_form(plan: Plan) -> tuple[list[dict[str, Any]], list[Level]]:
    """Every input of the model and the state that every step makes, as rows over earlier states ``x0, x1, ...``, data
    predictions and draws; and the levels of all evaluations."""
    rows: list[dict[str, Any]] = []
    levels: list[Level] = []
    draws = iter(range(1, len(plan.draws) + 1))
    place = {register: i for i, register in enumerate(plan.states)}

    def lin(terms: Any) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for c, value in terms:
            for key, a in value.items():
                out[key] = out.get(key, 0) + c * a
        return out

    def evaluate(value: Any, level: Level, quantity: str) -> dict[str, Any]:
        rows.append(value)
        levels.append(level)
        return {f"D{len(levels)}": 1}

    def visit(register: int, line: Any, value: Any) -> Any:
        if register not in place:
            return value
        rows.append(value)
        return {f"x{place[register]}": 1}

    interpret(plan, {}, lin, evaluate, lambda line: {f"z{next(draws)}": 1}, visit)
    return rows[1:], levels


def shifted(reverting: Any, plain: Any, steps: int) -> list[Any]:
    """Residual of: ``reverting`` in ``x`` is ``plain`` in ``u = (x - mu) / scale``, step by step, draws included.

    A step ``u' = sum a_j u_j + sum b_i D^u_i + c n`` is ``x' = sum a_j x_j + sum b_i D_i + (1 - sum a_j - sum b_i) mu +
    scale c n``; ``mu`` is the first draw of the mean-reverting plan.
    """
    scale = sympy.Symbol("scale", positive=True)
    found, at = step_form(compile(reverting, in_log_snr(ANY, steps)[0]))
    centred, where = step_form(compile(plain, in_log_snr(InLogSNR(scale=scale), steps)[0]))
    residual: list[Any] = []
    for made, row in zip(found, centred, strict=True):
        draws = {f"z{int(key[1:]) + 1}": scale * c for key, c in row.items() if key.startswith("z")}
        kept = {key: c for key, c in row.items() if not key.startswith("z")}
        wanted = kept | draws | {"z1": 1 - sum(kept.values())}
        residual += [made.get(key, 0) - wanted.get(key, 0) for key in sorted({*made, *wanted})]
    return [
        *residual,
        *(d for p, q in zip(at, where, strict=True) for d in (p.alpha - q.alpha, p.sigma - scale * q.sigma)),
    ]


def mean_reverting_flow() -> Statement:
    """MRS for the ODE, orders 1 to 3, data and noise prediction."""
    pairs = [(noisy.mrs_data, one.dpmpp_heun), (noisy.mrs_noise, one.dpm_solver_heun)]
    return prove(
        'MRS-1, 2, 3 are DPM-Solver++ and DPM-Solver multistep of type "heun", the third order as published, in '
        "(x - mu) / scale",
        r"x = \alpha x_0 + (1 - \alpha) \mu + \sigma \epsilon, \quad u = \frac{x - \mu}{\text{scale}}: \qquad x_t = "
        r"\frac{\sigma_t}{\sigma_s} x - \alpha_t (e^{-h} - 1) D + \dots + \Bigl(1 - \frac{\sigma_t}{\sigma_s} + "
        r"\frac{\sigma_t}{\sigma_s} \alpha_s - \alpha_t\Bigr) \mu",
        [r for a, b in pairs for n in (1, 2, 3) for r in shifted(partial(a, order=n), partial(b, order=n), n)],
        "Li et al. 2025; Lu et al. 2022",
    )


def mean_reverting_sde() -> Statement:
    """MRS for the SDE, orders 1 and 2, data and noise prediction, draws included."""
    heun_sde = partial(noisy.k_dpmpp_2m_sde, weight=noisy.sde_heun)
    pairs = [
        (partial(noisy.mrs_sde_data, order=1), partial(noisy.k_dpmpp_2m_sde, weight=noisy.sde_first)),
        (partial(noisy.mrs_sde_data, order=2), heun_sde),
        (partial(noisy.mrs_sde_noise, order=1), noisy.sde_dpm_solver),
        (partial(noisy.mrs_sde_noise, order=2), partial(noisy.sde_dpm_solver, order=2)),
    ]
    return prove(
        'MRS-1, 2 for the SDE are SDE-DPM-Solver++ and SDE-DPM-Solver of type "heun" in (x - mu) / scale',
        r"\frac{\sigma_t}{\sigma_s} e^{-h} x + \alpha_t (1 - e^{-2h}) D + \Bigl(1 - \frac{\alpha_t}{\alpha_s} e^{-2h} "
        r"- \alpha_t (1 - e^{-2h})\Bigr) \mu + \dots + \sigma_t \sqrt{1 - e^{-2h}}\, z",
        [residual for a, b in pairs for residual in shifted(a, b, 2)],
        "Li et al. 2025; Lu et al. 2022",
    )


def library() -> Statement:
    """The samplers of :mod:`diffnum.solvers.reverting`, aliases included, on a centred process."""
    pairs = [
        *(((noisy.mrs_data, n), name) for n, name in ((1, "mrs_1"), (2, "mrs_2"), (3, "mrs_3"))),
        *(((noisy.mrs_noise, n), name) for n, name in ((1, "mrs_1_noise"), (2, "mrs_2_noise"), (3, "mrs_3_noise"))),
    ]
    return prove(
        "The code's mrs_1, mrs_2, mrs_3, on the data and on the noise, are MRS-1, 2, 3 in x - mu",
        r"u = x - \mu: \qquad \texttt{mrs\_n}(u) = \text{MRS-}n(x) - \mu",
        [r for (build, n), name in pairs for r in shifted(partial(build, order=n), getattr(reverting, name), n)],
        "diffnum.solvers.reverting; diffnum.Centred",
    )


CHAPTER: Chapter = (mean_reverting_flow, mean_reverting_sde, library)
