"""The laboratory: studies of data sets, with reports to read."""

from .result import Study
from .study import run_study, winners_table
from .surrogate import Surrogate, draw

__all__ = ["Study", "Surrogate", "draw", "run_study", "winners_table"]
