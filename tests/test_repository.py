"""The files around the package agree with each other, and with what they promise."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
META = PROJECT["project"]
EXTRAS = META["optional-dependencies"]
LIMIT = 420


def requirements(extra: str | None = None) -> list[Requirement]:
    return [Requirement(line) for line in (META["dependencies"] if extra is None else EXTRAS[extra])]


def constraints() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def pin(requirement: Requirement) -> Version:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", f"{requirement} is not a pin"
    return Version(specifier.version)


# --- dependencies and pins ---


def test_torch_bound_admits_the_pin_and_refuses_the_next_minor_version():
    (torch,) = [r for r in requirements() if r.name == "torch"]
    (pinned,) = [r for r in constraints() if r.name == "torch"]
    assert pin(pinned) == Version("2.13.0")
    assert Version("2.13.0") in torch.specifier
    assert Version("2.14.0") not in torch.specifier
    assert not [r for r in PROJECT["build-system"]["requires"] if Requirement(r).name == "torch"]


def test_every_pin_is_exact_and_without_local_version():
    pins = constraints()
    assert len(pins) > 100
    for requirement in pins:
        assert pin(requirement).local is None, f"{requirement}: nobody with another build of it could install"
        assert requirement.url is None
        assert canonicalize_name(requirement.name) != "diffnum"


@pytest.mark.parametrize("extra", [None, *EXTRAS])
def test_every_direct_dependency_is_pinned_inside_its_range(extra):
    pins = constraints()
    for requirement in requirements(extra):
        name = canonicalize_name(requirement.name)
        versions = [pin(p) for p in pins if canonicalize_name(p.name) == name]
        assert versions, f"{requirement} has no pin: run make lock"
        assert all(v in requirement.specifier for v in versions), f"{requirement} against {versions}"


def test_packages_that_need_torchvision_are_nowhere():
    # torchvision installs without complaint beside a CPU build of torch and then fails at import.
    forbidden = {"torchvision", "torchaudio", "timm", "clean-fid", "torch-fidelity", "lpips", "k-diffusion", "azula"}
    named = {canonicalize_name(r.name) for r in constraints()}
    named |= {canonicalize_name(r.name) for extra in (None, *EXTRAS) for r in requirements(extra)}
    assert not named & forbidden


def test_a_cpu_build_of_torch_comes_without_cuda_packages_and_torchvision():
    if "+cpu" not in version("torch"):
        pytest.skip("torch is not a CPU build here")
    installed = {canonicalize_name(d.metadata["Name"]) for d in distributions()}
    assert not {name for name in installed if name == "torchvision" or name.startswith("nvidia-")}


# --- the other descriptions of the project ---


def test_conda_environment_gives_the_interpreter_and_pip_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert set(environment) == {"name", "channels", "dependencies"}
    assert environment["name"] == META["name"]
    assert "conda-forge" in environment["channels"]
    conda = {re.match(r"[\w-]+", d)[0]: d for d in environment["dependencies"] if isinstance(d, str)}
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert set(conda) == {"python", "pip", "make"}, "packages come from pip alone"
    assert Version(conda["python"].removeprefix("python=")) in SpecifierSet(META["requires-python"])
    assert pip[0] == "-c constraints.txt"
    (editable,) = pip[1:]
    found = re.fullmatch(r"-e \.\[([\w,]+)\]", editable)
    assert found, editable
    assert set(found[1].split(",")) <= set(EXTRAS)


def test_makefile_installs_extras_that_exist_and_locks_the_pinned_torch():
    makefile = (ROOT / "Makefile").read_text()
    extras = re.search(r"^EXTRAS \?= (.*)$", makefile, re.M)
    torch = re.search(r"^TORCH\s+:= (.*)$", makefile, re.M)
    assert extras and set(extras[1].split(",")) == set(EXTRAS) - {"docs"}
    assert "-e '.[docs]'" in makefile, "sphinx is installed by `make docs`, not by every installation"
    assert torch and [pin(r) for r in constraints() if r.name == "torch"] == [Version(torch[1])]


def test_ci_run_is_executable_and_calls_make_test():
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    assert "make test" in run.read_text().splitlines()


def test_citation_agrees_with_pyproject():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["version"] == META["version"]
    assert citation["license"] == META["license"]
    assert citation["authors"] == META["authors"]


def test_changelog_opens_with_the_version_of_pyproject():
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert headings[0] == META["version"]


@pytest.mark.parametrize("command", META["scripts"])
def test_console_script_points_at_a_function(command):
    module, _, name = META["scripts"][command].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


# --- the package ---


def test_import_diffnum_is_quick():
    heavy = {"torch", "scipy", "sympy", "mpmath", "matplotlib", "sklearn", "PIL", "typer", "rich", "jinja2"}
    code = f"import sys; import diffnum; print(*sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_no_reading_mentions_a_sampler():
    from diffnum.solvers import ALL

    names = [getattr(solver, "name", solver) for solver in ALL]
    readings = sorted((ROOT / "diffnum" / "read").rglob("*.py"))
    assert len(names) > 10 and len(readings) > 4
    mention = re.compile(rf"\b({'|'.join(map(re.escape, names))})\b")
    found = [f"{path.name}: {hit[0]}" for path in readings for hit in mention.finditer(path.read_text())]
    assert not found


def test_every_citation_is_in_the_bibliography():
    from diffnum.solvers import ALL

    entries = set(re.findall(r"^@\w+\{(\w+),", (ROOT / "diffnum" / "references.bib").read_text(), re.MULTILINE))
    assert {member.cite for member in ALL.values()} <= entries


def test_no_file_holds_both_sides_of_a_merge():
    text = re.compile(r"|\.(py|md|toml|ya?ml|txt|cff|bib|j2|css|ipynb|json|csv)")
    marks = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
    hidden = {".git", ".venv", ".peers", "build", "study"}
    files = [p for p in ROOT.rglob("*") if p.is_file() and not hidden & set(p.relative_to(ROOT).parts)]
    files = [p for p in files if text.fullmatch(p.suffix)]
    assert len(files) > 500
    assert not [str(p.relative_to(ROOT)) for p in files if marks.search(p.read_text(errors="replace"))]


def test_every_file_can_be_read_in_one_sitting():
    files = [p for folder in ("diffnum", "theory", "tests") for p in (ROOT / folder).rglob("*.py")]
    written = [p for p in files if p.name != "generated.py"]
    lengths = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in written}
    assert not {name: lines for name, lines in lengths.items() if lines > LIMIT}
