"""What is heavy is imported where it is used: not by the package, and not by the command that prints its help."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "torch", "scipy", "sympy", "matplotlib", "sklearn", "pandas", "dask", "distributed", "papermill", "diffusers",
    "mpmath", "joblib", "jinja2", "PIL", "safetensors", "skimage", "nbformat", "jsonschema",
}  # fmt: skip
TELL = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})), file=sys.stderr)"
HELP = """
import sys
from diffnum.cli import main
sys.argv = ["diffnum", {words}]
try:
    main()
except SystemExit as end:
    assert not end.code
"""


def loaded(code):
    words = [sys.executable, "-c", f"{code}\n{TELL}"]
    done = subprocess.run(words, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    ["import diffnum", HELP.format(words="'--help'"), HELP.format(words="'certify', '--help'")],
    ids=["import diffnum", "diffnum --help", "diffnum certify --help"],
)
def test_what_is_heavy_is_not_loaded_at_start(code):
    assert not loaded(code) & HEAVY


def test_the_check_sees_what_is_loaded():
    assert "mpmath" in loaded("import mpmath")
