"""What is public: modules with ``__all__``, where each name is at home, and in which room of the README it lies."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["Module", "Room", "modules", "rooms"]


@dataclass(frozen=True)
class Module:
    """One file of ``diffnum`` or ``theory``.

    Attributes:
        name: dotted.
        path: of the file.
    """

    name: str
    path: Path

    @cached_property
    def object(self) -> Any:
        """The module, imported."""
        return import_module(self.name)

    @property
    def importable(self) -> bool:
        """Whether all packages that the module needs are here; some need one that only machines with a GPU have."""
        try:
            return bool(self.object)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in ("diffnum", "theory"):
                raise
            return False

    @cached_property
    def defined(self) -> frozenset[str]:
        """Names that the file itself defines or assigns at its top level."""
        return frozenset(_defined(ast.parse(self.path.read_text(encoding="utf-8")).body))

    @property
    def public(self) -> list[str]:
        """``__all__``, without names of submodules."""
        names = getattr(self.object, "__all__", ())
        return [name for name in names if type(getattr(self.object, name, None)).__name__ != "module"]

    @property
    def own(self) -> list[str]:
        """Public names that are at home here."""
        return [name for name in self.public if name in self.defined]

    @property
    def again(self) -> list[str]:
        """Public names that are at home in another module."""
        return [name for name in self.public if name not in self.defined]


@dataclass(frozen=True)
class Room:
    """A row of the README's table of rooms.

    Attributes:
        tops: names below ``diffnum``.
        says: what is in it.
    """

    tops: tuple[str, ...]
    says: str


def _defined(body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name))
        elif isinstance(node, ast.If | ast.Try):
            yield from _defined([*node.body, *node.orelse])


def modules(root: Path, package: str) -> list[Module]:
    """Modules of a package with ``__all__``, packages before what is in them; of ``theory`` all. None is private."""
    found = []
    for path in sorted((root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        if any(part.startswith("_") for part in parts) or "conf" in parts[-1:]:
            continue
        listed = re.search(r"^__all__\b", path.read_text(encoding="utf-8"), re.M) or path.name == "__init__.py"
        if listed or package == "theory":
            found.append(Module(".".join(parts), path))
    return sorted(found, key=lambda module: module.name)


def rooms(readme: str) -> list[Room]:
    """The rooms below ``diffnum/`` that the README lists, in its order."""
    table = readme.partition("| room | what is in it |")[2]
    found = []
    for row in re.findall(r"^\| (`.*?) \| (.*) \|$", table, re.M):
        spans = re.findall(r"`([^`]+)`", row[0])
        if spans[0].startswith("diffnum/"):
            tops = [span.removeprefix("diffnum/").removesuffix("/").removesuffix(".py") for span in spans]
            found.append(Room(tuple(tops), row[1]))
    return found
