"""The pages that list every sampler: what each costs, what each claims and keeps. Their sums stand in the README."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeVar

from ..certificate import Certificate
from ..facts import Facts, markdown, titled
from ..solvers import ALIASES

__all__ = [
    "CERTIFICATES",
    "SAMPLERS",
    "certificate_page",
    "certificate_summary",
    "certificate_table",
    "sampler_page",
    "sampler_summary",
]

SAMPLERS, CERTIFICATES = "diffnum/solvers/README.md", "theory/CERTIFICATES.md"

_SAMPLERS = """# Samplers

Written by `python -m diffnum.lab.readme samplers`; do not edit. Every number is measured on the plan that runs;
`diffnum solvers` prints the same (`--family implicit`, `--json`, `--markdown`, `--out FILE`).
[What they claim and keep](../../theory/CERTIFICATES.md), and [what is proved of them](../../theory/PROOFS.md).

- *order*: with exact starting values; with the sampler's own start-up (*cold*) and on grids whose steps change
  smoothly, where these differ. *Weak* orders are those of laws.
- *NFE*: evaluations in `n` steps, start and end included. *stages*: those of one step; in brackets those that must wait
  for one another, where others need not.
- *back*: how many earlier steps a step uses. *live*: samples held at once, for a model of data or of noise, whichever
  needs fewer.
- *interval*: the `L` up to which `dy/dc = mu y` is stable, `-L <= mu dc <= 0`; `c` is `sigma / alpha` or, where a
  sampler steps in another variable, `alpha / sigma` (*SNR*), the *angle* or *log-SNR*; it *varies* with the length of a
  step for exponential samplers.
- *guidance*: the largest scale that is stable at steps of 1/2 in log-SNR for every Gaussian class at every noise, one
  question to all; shorter steps allow more. Below 1 steps of 1/2 grow without any guidance.
"""

_CERTIFICATES = """# Certificates

Written by `python -m diffnum.lab.readme certificates`; do not edit. `diffnum certify NAME` makes one again, with its
reasons; [the samplers](../diffnum/solvers/README.md) and [the proofs](PROOFS.md) have pages of their own.

- *claimed*: the order on the sampler's decorator, with exact starting values (warm), with the start-up as published
  (*cold*) and, where it is another, on grids whose steps change smoothly.
- *proved*: the order by rooted trees of the plan that runs, on a generic process with random steps.
- *measured*: the slope on a non-linear law with exact flow; *Gaussian*: the smallest on Gaussians. For a method of
  order zero it is that of one step. For a stochastic sampler it is that of expectations on the non-linear law, by
  quadrature of its transition kernels, where a step remembers its state alone and its evaluations see at most one draw,
  else of the variance; and of exact moments on Gaussians in the middle of the interval. Slopes are of 32 to 128 steps
  where they have settled there near a whole number, and of more, or in extended precision, where not.
- *float32*: the constant K in `err32 <= err64 + K 2^-24 sqrt(n) max|x|`.
- *mutants*: broken copies of the plan that were noticed, and those, *free*, that are provably another method of the
  same order or the same law. Where the order is zero there is none to lose.

Below a table stands what is to be said of a sampler, and for a claim that fails why it does.
"""


Listed = TypeVar("Listed", Certificate, Facts)


def certificate_table(certificates: Sequence[Certificate]) -> str:
    """The certificates as a Markdown table, and below it notes and reasons."""
    head = "| sampler | claimed | proved | measured | Gaussian | float32 | mutants | verdict |"
    rows = [head, "|---|---|---|---|---|---|---|---|"]
    for c in certificates:
        kind = "weak " if c.proof.kind == "weak order" else ""
        gaussian = (s.value for s in c.slopes if s.witness.startswith("Gaussian") and s.must != "print")
        gauss = min(gaussian, default=float("nan"))
        mutants = f"{c.killed} noticed" + (f", {len(c.free)} free" if c.free else "") if c.mutants else "none"
        claimed = _orders(c.claimed, c.claimed_cold, c.claimed_smooth)
        proved = _orders(c.proof.order, c.proof.cold, c.proof.smooth)
        rows.append(
            f"| `{c.name}` | {kind}{claimed} | {kind}{proved} "
            f"| {_two(c.measured)} | {_two(gauss)} | {c.float32:.1f} | {mutants} | {c.verdict} |"
        )
    notes = [f"- `{c.name}`: {c.note}" for c in certificates if c.note]
    notes += [f"- `{c.name}` fails: {'; '.join(c.reasons)}" for c in certificates if c.reasons]
    return "\n".join([*rows, "", *notes] if notes else rows)


def certificate_page(certificates: Sequence[Certificate]) -> str:
    """``theory/CERTIFICATES.md``: a table for each family, with how many hold."""

    def part(members: Sequence[Certificate]) -> str:
        count = sum(c.verdict == "holds" for c in members)
        said = f"All {count} hold" if count == len(members) else f"{count} of {len(members)} hold"
        return f"{said}.\n\n{certificate_table(members)}"

    return _page(_CERTIFICATES, certificates, part)


def certificate_summary(certificates: Sequence[Certificate]) -> str:
    """What the README says of all certificates: how many hold, and what became of the slips that were tried."""
    failing = ", ".join(f"`{c.name}`" for c in certificates if c.verdict != "holds")
    weak = [c for c in certificates if c.proof.kind == "weak order"]
    paths = [c for c in certificates if c.proof.kind != "weak order"]
    rows = ["| claim | samplers | hold | slips tried | noticed | free |", "|---|---|---|---|---|---|"]
    for said, members in (("order, of paths", paths), ("weak order, of laws", weak), ("all", certificates)):
        held = sum(c.verdict == "holds" for c in members)
        slips = (sum(c.mutants for c in members), sum(c.killed for c in members), sum(len(c.free) for c in members))
        rows.append(f"| {said} | {' | '.join(map(str, (len(members), held, *slips)))} |")
    verdict = f"These claims fail: {failing}." if failing else f"All {len(certificates)} claims hold."
    return "\n".join([*rows, "", f"{verdict} [Every certificate, by family]({CERTIFICATES})"])


def sampler_page(facts: Sequence[Facts]) -> str:
    """``diffnum/solvers/README.md``: a table for each family."""

    def part(members: Sequence[Facts]) -> str:
        weak = "weak " if all(one.stochastic for one in members) else ""
        return f"{len(members)} of {weak}order {_range([one.order for one in members])}.\n\n{markdown(members)}"

    return _page(_SAMPLERS, facts, part)


def sampler_summary(facts: Sequence[Facts]) -> str:
    """What the README says of all samplers: for each family how many, of which orders, at what cost."""
    rows = ["| family | samplers | order | evaluations a step |", "|---|---|---|---|"]
    families = _by_family(facts)
    for family, members in families.items():
        link = f"[{titled(family)}]({SAMPLERS}#{family.lower().replace(' ', '-')})"
        weak = "weak " if all(one.stochastic for one in members) else ""
        order, each = _range([one.order for one in members]), _range([one.nfe.each for one in members])
        rows.append(f"| {link} | {len(members)} | {weak}{order} | {each} |")
    said = f"{len(facts)} samplers in {len(families)} families, and {len(ALIASES)} more names in `dn.solvers.ALIASES`."
    return "\n".join([*rows, "", f"{said} [Every sampler, by family]({SAMPLERS})"])


def _page(head: str, listed: Sequence[Listed], part: Callable[[Sequence[Listed]], str]) -> str:
    """``head``, and a heading for each family with what ``part`` says of its members."""
    parts = [f"## {titled(family)}\n\n{part(members)}" for family, members in _by_family(listed).items()]
    return "\n\n".join([head.rstrip(), *parts]) + "\n"


def _by_family(listed: Sequence[Listed]) -> dict[str, list[Listed]]:
    found: dict[str, list[Listed]] = {}
    for one in listed:
        found.setdefault(one.family, []).append(one)
    return found


def _range(numbers: Sequence[int | Fraction]) -> str:
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def _orders(order: int, cold: int, smooth: int | None) -> str:
    return f"{order}, cold {cold}" + ("" if smooth is None else f", smooth grids {smooth}")


def _two(value: float) -> str:
    return "none" if value != value else f"{round(value, 2) + 0.0:.2f}"  # never -0.00
