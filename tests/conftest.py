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


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """With ``--dist loadgroup`` a file is one piece of work, since its tests share fixtures; claims share none, and are
    done last, one by one, where a process has time left."""
    if config.pluginmanager.hasplugin("xdist"):
        for item in items:
            if item.path.name != "test_claims.py":
                item.add_marker(pytest.mark.xdist_group(item.path.stem))


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
