"""One thread, no display, and the same Hypothesis examples on every run."""

import os

# Before torch or numpy is imported: on few cores a second thread can cost hundreds of times what it brings.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from functools import lru_cache

import pytest
from hypothesis import settings

settings.register_profile("diffnum", deadline=None, derandomize=True)
settings.load_profile("diffnum")

# by parts of their names; a design is judged for minutes
ALONE = ("test_claims.py::", "test_design.py::test_on_digits_the_design_beats")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file is one piece of work, since its tests share fixtures; those of ALONE share none, and are done last, one by
    one, where a process has time left."""
    # xdist 3.8 marks groups in an attribute that pytest 9.2 no longer reads: every test went where there was room
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            path = nodeid.partition("::")[0]
            return nodeid if any(alone in nodeid for alone in ALONE) else path

    return ByFile(config, log)


@pytest.fixture(scope="session")
def certificate():
    """``certificate(name)``, made once for all tests."""
    from diffnum.certificate import certify
    from diffnum.solvers import ALL

    return lru_cache(lambda name: certify(ALL[name]))


@pytest.fixture(scope="session")
def study_folder(tmp_path_factory):
    """A small study, as the command writes it."""
    from diffnum.cli import run

    folder = tmp_path_factory.mktemp("studies") / "small"
    assert run(["study", "digits", "--size", "4", "--limit", "80", "--nfe", "3,6", "--out", str(folder)]) == 0
    return folder
