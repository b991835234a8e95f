"""One page per defect that can be pasted into a bug report: a few lines of Python, the numbers, what to change."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from .findings import Defect, Record

__all__ = ["RUNS", "filename", "page", "script"]

# shown by a loop over the sampler itself; the rest by lifting it
RUNS = ("stopped", "infinite", "outside", "ledger", "calls", "missing")


def filename(record: Record, defect: Defect) -> str:
    """Without characters that are trouble in paths."""
    words = "".join(c if c.isalnum() else "-" for c in record.key).strip("-")
    while "--" in words:
        words = words.replace("--", "-")
    # names that differ by signs, or where they are cut
    mark = hashlib.sha256(record.key.encode()).hexdigest()[:6]
    return f"{words[:120]}-{mark}-{defect.kind}.txt"


def page(record: Record, defect: Defect, versions: str) -> str:
    """The whole text."""
    parts = [
        f"{record.call}: {defect.kind}",
        f"{_sentence(defect.sentence)} ({defect.where})",
        script(record, defect).rstrip(),
        *_numbers(record, defect),
        _suggested(record, defect),
        f"Measured with {versions}." + (f" It was {record.remark}." if record.remark else ""),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _suggested(record: Record, defect: Defect) -> str:
    if defect.kind in ("order", "diverges", "monotone") and record.advice:
        return f"Suggested correction: {record.advice}"
    return f"Suggested correction: {defect.remedy}." if defect.remedy else ""


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def script(record: Record, defect: Defect) -> str:
    """Python that shows it."""
    if defect.kind == "lookup":
        return _lookup(record, defect)
    if record.kind == "scheduler" and defect.kind in RUNS:
        return _loop(record, int(defect.numbers.get("n") or 10))
    if record.kind == "scheduler" and defect.kind == "reuse":
        return _loop(record, 10, twice=True)
    if defect.kind in ("order", "diverges", "monotone"):
        return _measurement(record)
    return _examination(record, int(defect.numbers.get("n") or 10), defect.kind)


def _imports(record: Record) -> str:
    module, name = record.path.split(":")
    return f"from {module.split('.')[0] if module.endswith('schedulers') else module} import {name}"


def _prepared(record: Record) -> str:
    return "".join(f", {k}={v!r}" for k, v in record.preparation.items())


def _loop(record: Record, n: int, twice: bool = False) -> str:
    more = "".join(f", {k}={v!r}" for k, v in record.options.items())
    walk = f"""for i, t in enumerate(s.timesteps):
    y = s.scale_model_input(x, t) if hasattr(s, "scale_model_input") else x
    x = s.step(0.1 * y, t, x{more}, return_dict=False)[0]
    print(i, float(t), x.flatten()[0].item())
"""
    return f"""import torch
{_imports(record)}

torch.manual_seed(0)
s = {record.call}
s.set_timesteps({n}{_prepared(record)})
print(len(s.timesteps), "calls for {n} steps, at", s.timesteps.tolist())
x = torch.ones(1, 1, 1, 4)
{walk}{"x = torch.ones(1, 1, 1, 4)" + chr(10) + walk if twice else ""}"""


def _lookup(record: Record, defect: Defect) -> str:
    k = int(defect.numbers["time"])
    return f"""import torch
{_imports(record)}

s = {record.call}
print([float(t) for t in s.timesteps if abs(float(t) - {k}) < 0.5])
s.index_for_timestep(torch.tensor({k}))
"""


def _examination(record: Record, n: int, kind: str) -> str:
    head, arguments = _arguments(record, n)
    # what single precision does shows beside double, a repeated level in the list of levels
    shown = {
        "precision": f"print(examine({arguments}, precision='double'))\n",
        "idle": "print(*(f'{level.sigma / level.alpha:.6g}' for level in found.plan.levels))\n",
    }
    return f"""from diffnum.lifting import examine
{head}

found = examine({arguments})
print(found)
{shown.get(kind, "")}"""


def _arguments(record: Record, n: int) -> tuple[str, str]:
    """Imports, and what is examined, as Python."""
    more = f", options={dict(record.options)!r}" if record.options else ""
    if record.kind == "function":
        return f"import numpy as np\n{_imports(record)}", f"{record.name}, [*np.geomspace(80, 0.002, {n}), 0]{more}"
    if record.kind == "stepper":
        # it holds a denoiser, which a case makes for it
        return f"{_case(record)}", f"case.build({n}){more}"
    if record.preparation:
        more += f", timesteps={dict(num_inference_steps=n, **record.preparation)!r}"
        return _imports(record), f"{record.call}, None{more}"
    return _imports(record), f"{record.call}, {n}{more}"


def _measurement(record: Record) -> str:
    return f"""{_case(record, "Case, Sampler, audited")}
for order in audited(case).orders:
    print(order.witness, order.errors, order.slopes)
"""


def _case(record: Record, names: str = "Case, Sampler") -> str:
    def pairs(values: object) -> str:
        return repr(tuple(dict(values).items()))  # type: ignore[call-overload]

    return f"""from diffnum.audit import {names}

case = Case(
    Sampler({record.path!r}, {record.kind!r}),
    settings={pairs(record.settings)},
    options={pairs(record.options)},
    off={record.off!r},
    preparation={pairs(record.preparation)},
)"""


def _numbers(record: Record, defect: Defect) -> Sequence[str]:
    if defect.kind in ("order", "diverges", "monotone") and record.order is not None:
        order = record.order
        rows = ["    n     steps there  error      slope"]
        slopes = (math.nan, *order.slopes, *[math.nan] * len(order.errors))
        for n, width, error, slope in zip(order.counts, order.widths, order.errors, slopes, strict=False):
            rows.append(
                f"    {n:<5d} {width:<12d} {error:<10.3g} {'' if math.isnan(slope) else f'{slope:.2f}'}".rstrip()
            )
        return [f"Errors on the {order.place}, log-SNR -2 to 2:", "\n".join(rows), *_near(record)]
    if defect.kind in ("scale", "level", "noise", "precision"):
        return _near(record)
    return []


def _near(record: Record) -> list[str]:
    if not record.near:
        return []
    if not record.difference:
        return [f"It is {record.near}, coefficient by coefficient."]
    return [f"Nearest sampler known: {record.near}. First difference: {record.difference}."]
