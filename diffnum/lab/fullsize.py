"""The notebooks on images at full size, on a GPU: ``python -m diffnum.lab.fullsize`` runs them as ``diffnum run`` does
and keeps what is to be committed, their tables and their footers."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .folder import write_text
from .runs import Notebook, check_store, compute

__all__ = ["FULL", "main", "run_all"]

# by the number of a notebook, what makes it full
FULL: dict[str, dict[str, Any]] = {
    "11": {"samples": 10000, "followed": 1000},
    "12": {"full": True},
    "13": {"full": True},
}
# of a run's record, what its footer says
_FOOTER = ("notebook", "parameters", "numbers", "device", "host", "versions", "commit", "command", "started", "seconds")


def run_all(notebooks: Sequence[Path], device: str, full: bool, store: Path, out: Path) -> list[Path]:
    """Each notebook on a device, and its tables and footer in ``out``, named after it and the device.

    Args:
        full: with the parameters of :data:`FULL`, else with its own.
        store: folder of runs; what is finished there is not computed again.

    Returns:
        The files written.

    Raises:
        ValueError: no such device; a notebook without these parameters; one that fails.
    """
    _check_device(device)
    out.mkdir(parents=True, exist_ok=True)
    return [file for path in notebooks for file in _run(path, device, full, check_store(store), out)]


def _run(path: Path, device: str, full: bool, store: Path, out: Path) -> list[Path]:
    notebook = Notebook.load(path)
    given = {"device": device, **(FULL.get(path.name[:2], {}) if full else {})}
    words = ["diffnum", "run", str(path), *(w for k, v in given.items() for w in ("-p", f"{k}={_word(v)}"))]
    outcome = compute(notebook.request(given, shlex.join(words)), store, again=True)
    if outcome.status != "finished":
        raise ValueError(f"{outcome.reason}; see {outcome.folder}")
    folder = Path(outcome.folder or "")
    record: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    stem = f"{path.stem}-{device.partition(':')[0]}"
    made = []
    for file in sorted(name for name in record["artefacts"] if name.endswith(".csv")):
        made.append(out / f"{stem}-{Path(file).stem}.csv")
        part = made[-1].with_suffix(".csv.part")
        shutil.copyfile(folder / file, part)
        part.replace(made[-1])
    made.append(out / f"{stem}.json")
    footer = {name: record[name] for name in _FOOTER if name in record}
    write_text(made[-1], json.dumps(footer, indent=1, allow_nan=False) + "\n")
    return made


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_device(device: str) -> None:
    import torch

    if device.partition(":")[0] == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"torch {torch.__version__} finds no CUDA device here: run this where there is one, or with --device cpu "
            "--small"
        )


def main(words: Sequence[str] | None = None) -> int:
    """The command; returns the exit code, 2 for what is refused."""
    parser = argparse.ArgumentParser(prog="python -m diffnum.lab.fullsize", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true", help="the default sizes, as tests have them")
    parser.add_argument("--notebooks", type=Path, default=Path("notebooks"), help="the folder that holds them")
    parser.add_argument("--store", type=Path, default=Path("runs"), help="folder of runs")
    parser.add_argument("--out", type=Path, default=Path("notebooks/full-size"), help="folder of tables and footers")
    given = parser.parse_args(words)
    found = sorted(path for number in FULL for path in given.notebooks.glob(f"{number}-*.ipynb"))
    try:
        made = run_all(found, given.device, not given.small, given.store, given.out)
    except ValueError as error:
        print(f"full size: {error}", file=sys.stderr)
        return 2
    print("\n".join(str(path) for path in made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
