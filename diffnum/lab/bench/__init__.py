"""The benchmark: what a step of a sampler costs, here and in other libraries, and how quickly the oracle answers.

``make bench`` measures and writes ``tests/benchmarks/cpu``; ``python -m diffnum.lab.bench --help`` has the choices.
Numbers that compare are ratios measured in one process, in turns: to :func:`dn.sample`, or to the ideal, which reads
every needed tensor once and writes every kept result once.
"""

from .cases import CASES, Case
from .forms import FormRow, compare
from .ideal import Ideal, ideals, least, of_step
from .networks import NetworkRow, end_to_end
from .oracle import OracleRow, answers, denoisers
from .results import read, write
from .steps import StepRow, measure
from .tables import form_table, network_table, oracle_table, step_table
from .traffic import Counts, Traffic

__all__ = [
    "CASES",
    "Case",
    "Counts",
    "FormRow",
    "Ideal",
    "NetworkRow",
    "OracleRow",
    "StepRow",
    "Traffic",
    "answers",
    "compare",
    "denoisers",
    "end_to_end",
    "form_table",
    "ideals",
    "least",
    "measure",
    "network_table",
    "of_step",
    "oracle_table",
    "read",
    "step_table",
    "write",
]
