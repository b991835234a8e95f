"""The report of a study: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from ..study import MEASURES, Entry
from .network import NetworkStudy
from .pictures import Picture
from .result import Study, many, record

__all__ = ["error_of", "number", "packaged", "render", "spearman_of", "with_error"]

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float, digits: int = 3) -> str:
    """``value`` to ``digits`` significant digits, as people write it: ``0.0312``, ``1240``, ``3.10×10⁻⁶``.

    Zeros that are significant stay; from 10000 and below 0.001 powers of ten take over; NaN is a dash.
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    mantissa, exponent = f"{abs(value):.{digits - 1}e}".split("e")
    sign, power = "−" * (value < 0), int(exponent)
    if not -3 <= power < 4:
        return f"{sign}{mantissa}×10{str(power).translate(_SUPERSCRIPT)}"
    decimals = max(0, digits - 1 - power)
    return sign + f"{abs(float(f'{mantissa}e{exponent}')):.{decimals}f}"


def with_error(value: float, error: float) -> str:
    """``value ± error`` to the first digit of the error: ``0.047 ± 0.008``."""
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return number(value)
    decimals = max(0, -int(f"{error:.0e}".split("e")[1]))
    if decimals > 6:
        return f"{number(value)} ± {number(error, 1)}"
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"


def error_of(entry: Entry, by: str) -> str:
    """An entry's error by one measure as people read it; a path's with its standard error."""
    return with_error(entry.path, entry.path_se) if by == "path" else number(entry.w2)


def spearman_of(network: NetworkStudy, by: str, budget: int) -> str:
    """A rank correlation with its 95 % interval as people read it: ``0.81 (0.60 to 0.92)``."""
    if (by, budget) not in network.checks:
        return "–"
    rho = network.spearman(by, budget)
    return "–" if rho is None else f"{rho.value:.2f} ({rho.low:.2f} to {rho.high:.2f})".replace("-", "−")


def render(study: Study, pictures: Mapping[str, Sequence[Picture]]) -> str:
    """The page.

    Args:
        pictures: by section, from :func:`diffnum.lab.pictures.draw_all`; embedded as they are.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "embed": _embed, "many": many}
    return environment.from_string(packaged("report.html.j2")).render(
        css=packaged("page.css"),
        study=study,
        facts=record(study),
        pictures={name: list(found) for name, found in pictures.items()},
        tables={by: [_row(study, entry, by) for entry in study.winners(by)] for by in MEASURES},
        candidates={budget: _candidates(study, budget) for budget in study.budgets},
        answer=_answer(study),
        agree=_agreement(study),
        network=_network(study),
        spectrum=_spectrum(study),
        inner=getattr(study.surrogate.mixture, "inner", study.surrogate.mixture).dim,
        example=study.winners()[0],
        file_of=study.file_of,
        process=_process(study.process),
    )


def packaged(name: str) -> str:
    """A file of this package as text: a template, or ``page.css``, the look of all pages."""
    return files("diffnum.lab").joinpath(name).read_text(encoding="utf-8")


def _row(study: Study, entry: Entry, by: str) -> dict[str, Any]:
    after = " ×".join(study.runner_up(entry, by))
    return {"entry": entry, "error": error_of(entry, by), "percent": study.percent(entry, by), "after": after}


def _candidates(study: Study, budget: int) -> list[dict[str, Any]]:
    """Each sampler at a budget: its best candidate by the study's measure, and by the other; samplers that have no
    number by the study's measure last."""
    order = sorted(MEASURES, key=lambda by: by != study.by)
    best = {by: {e.sampler: e for e in study.ranking.best(budget, by)} for by in order}
    first = {by: next(iter(found.values())) for by, found in best.items() if found}
    rows = []
    for name in dict.fromkeys(name for by in order for name in best[by]):
        chosen = {by: best[by].get(name) for by in MEASURES}
        rows.append(chosen | {"firsts": {by for by in first if chosen[by] is first[by]}})
    return rows


def _answer(study: Study) -> list[dict[str, Any]]:
    """The winners by the study's measure, budgets with the same sampler and grid together."""
    groups: dict[tuple[str, str], list[int]] = {}
    for entry in study.winners():
        groups.setdefault((entry.sampler, entry.grid), []).append(entry.budget)
    return [{"sampler": s, "grid": grid, "budgets": budgets} for (s, grid), budgets in groups.items()]


def _agreement(study: Study) -> dict[str, list[int]]:
    """Budgets at which the two measures name one sampler, and those at which they do not."""
    first, second = ({e.budget: e.sampler for e in study.winners(by)} for by in MEASURES)
    both = [budget for budget in first if budget in second]
    same = [budget for budget in both if first[budget] == second[budget]]
    return {"same": same, "different": [budget for budget in both if budget not in same]}


def _network(study: Study) -> list[dict[str, Any]]:
    """The recommended plans of both measures on the trained network, budget by budget; nothing without one."""
    network = study.network
    if isinstance(network, str):
        return []
    rows = []
    for by, budget in sorted(network.checks, key=lambda key: (key[1], key[0] != study.by)):
        found = network.recommended(by, budget)
        row = {"budget": budget, "by": "W₂" if by == "w2" else by, "entry": found.entry, "leads": by == study.by}
        row |= {"error": with_error(found.error, found.error_se), "place": network.place(by, budget)}
        rows.append(row | {"spearman": spearman_of(network, by, budget)})
    return rows


def _spectrum(study: Study) -> dict[str, Any]:
    """How the data's variance is spread over directions."""
    variances = study.surrogate.gaussian.eigen()[1]
    total = variances.sum()
    share, ninety, count = 0.0, 0, 0
    for count, variance in enumerate(sorted(variances, reverse=True), 1):
        share += variance / total
        if share >= 0.9:
            ninety = count
            break
    per_value = study.surrogate.spread / math.sqrt(study.surrogate.dim)
    return {"ninety": ninety or count, "flat": int((variances == 0).sum()), "per_value": per_value}


def _process(process: Any) -> str:
    facts = process.to_json()
    inside = ", ".join(f"{k} {v:g}" for k, v in facts.get("params", facts).items() if isinstance(v, int | float))
    return f"{type(process).__name__} process" + (f" ({inside})" if inside else "")


def _embed(picture: Picture) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.path.read_bytes()).decode()
