"""One thread, no display, and the same Hypothesis examples on every run."""

import os

# Before torch or numpy is imported: on few cores a second thread can cost hundreds of times what it brings.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from hypothesis import settings

settings.register_profile("diffnum", deadline=None, derandomize=True)
settings.load_profile("diffnum")
