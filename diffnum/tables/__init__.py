"""Other people's tables of coefficients, checked: Runge-Kutta, exponential and linear multistep methods.

    from diffnum.tables import audit, read
    for table in read("mine.json"):
        print(audit(table, claim=4))

A table may come as JSON, as a pasted Butcher array or from Python (:mod:`.readers`), with fractions, decimals, floats
and roots for entries (:mod:`.entries`). What is wrong is named with its residual and its place; where one entry would
explain it, that entry is named with the value it should have.
"""

from .auditing import audit
from .readers import from_json, from_python, from_text, read
from .records import Exponential, Multistep, RungeKutta, TableRecord
from .report import Audit, Finding, Known
from .slips import Slip

__all__ = [
    "Audit",
    "Exponential",
    "Finding",
    "Known",
    "Multistep",
    "RungeKutta",
    "Slip",
    "TableRecord",
    "audit",
    "from_json",
    "from_python",
    "from_text",
    "read",
]
