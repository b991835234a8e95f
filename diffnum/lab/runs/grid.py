"""The runs of a sweep, from a YAML file: values to cross, and runs one by one.

.. code-block:: yaml

    cross:                    # every combination, the last name fastest
      sampler: [ddim, dpmpp_2m]
      steps: [5, 10, 20]
    runs:                     # these besides
      - {sampler: heun_edm, steps: 7}
    fixed:                    # in all of them, unless a run says otherwise
      seed: 3
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

from .request import Notebook, Request

__all__ = ["read_grid", "requests"]

_PARTS = ("cross", "runs", "fixed")


def read_grid(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The parameters of each run, in order.

    Raises:
        ValueError: no such file, no YAML, a name twice, another part than ``cross``, ``runs`` and ``fixed``, no runs.
    """
    import yaml

    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file: name a YAML file with {', '.join(_PARTS)}")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_loader())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping) or set(content) - set(_PARTS):
        extra = ", ".join(map(str, set(content) - set(_PARTS))) if isinstance(content, Mapping) else repr(content)
        raise ValueError(f"{path} holds {extra}: use the parts {', '.join(_PARTS)}")
    fixed = _mapping(path, "fixed", content.get("fixed") or {})
    cross = _mapping(path, "cross", content.get("cross") or {})
    for name, values in cross.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"{path} crosses {name} = {values!r}: give a list of values")
    crossed = [dict(zip(cross, values, strict=True)) for values in product(*cross.values())] if cross else []
    single = content.get("runs") or []
    if not isinstance(single, list):
        raise ValueError(f"{path} has runs = {single!r}: give a list of mappings")
    listed = [_mapping(path, f"runs[{k}]", run) for k, run in enumerate(single)]
    if not crossed and not listed:
        raise ValueError(f"{path} names no run: cross some lists, or list runs")
    return [fixed | run for run in (*crossed, *listed)]


def requests(notebook: Notebook, grid: list[dict[str, Any]], command: str = "") -> list[Request]:
    """A request for each run, those that are the same once.

    Raises:
        ValueError: parameters that the notebook refuses, before anything is computed.
    """
    found: dict[str, Request] = {}
    for run in grid:
        request = notebook.request(run, command)
        found.setdefault(request.key, request)
    return list(found.values())


def _mapping(path: Path, part: str, content: Any) -> dict[str, Any]:
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        raise ValueError(f"{path} has {part} = {content!r}: give names with values")
    return dict(content)


def _loader() -> Any:
    import yaml

    class Once(yaml.SafeLoader):
        """YAML in which a name stands once: the second would silently replace the first."""

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            names = [self.construct_object(key, deep=True) for key, _ in node.value]
            twice = next((name for name in names if names.count(name) > 1), None)
            if twice is not None:
                raise yaml.YAMLError(f"{twice!r} stands twice in one mapping: keep one")
            return super().construct_mapping(node, deep)

    return Once
