"""A book of everything that can be read here, to open in a browser without a network: ``make docs``.

The pages are what is committed: README, the lists of samplers and certificates, the proofs, the notebooks with
the outputs that they were stored with, the model cards, the changes, and the docstrings of all public names. Nothing is
executed and nothing is fetched; formulas are MathML, set by the browser in a font that lies beside the pages.
"""

from .building import build
from .docstrings import as_rst
from .formulas import as_mathml

__all__ = ["as_mathml", "as_rst", "build"]
