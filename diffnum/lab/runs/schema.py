"""The parameters of a notebook: names, types, bounds and defaults, read from its cell tagged ``parameters``.

The cell is the schema. What it cannot say stands in the notebook's metadata:

.. code-block:: json

    {"diffnum": {"parameters": {"steps": {"min": 1, "max": 64}, "grid": {"choices": ["uniform", "karras"]}}}}
"""

from __future__ import annotations

import ast
import io
import math
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from .secret import refuse_secrets

__all__ = ["UNKNOWN", "Parameter", "parameters_in", "resolve"]


class _Default(Enum):
    UNKNOWN = "computed in the notebook"


UNKNOWN: Any = _Default.UNKNOWN
"""The default of a parameter that is no literal: only the notebook knows it."""

_SCALARS = ("int", "float", "str", "bool", "path", "any")
_SAID = {
    "int": "a whole number",
    "float": "a finite number",
    "str": "text",
    "bool": "true or false",
    "path": "a file or folder that exists",
    "list": "a list",
    "dict": "a mapping",
}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Parameter:
    """One parameter of a notebook.

    Attributes:
        name: as the notebook assigns it.
        type: ``int``, ``float``, ``str``, ``bool``, ``path``, ``dict``, ``list``, ``list[...]`` of these, or ``any``.
        default: a literal, or :data:`UNKNOWN`.
        optional: None is a value too.
        choices: the only values; any if empty.
        min, max: bounds of a number, both inclusive.
        help: the comment behind the assignment.
    """

    name: str
    type: str = "any"
    default: Any = UNKNOWN
    optional: bool = False
    choices: tuple[Any, ...] = ()
    min: float | None = None
    max: float | None = None
    help: str = ""

    @property
    def wanted(self) -> str:
        """What may stand here, in words."""
        if self.choices:
            return "one of " + ", ".join(map(str, self.choices))
        inner = re.fullmatch(r"list\[(.*)\]", self.type)
        said = f"a list, each {_SAID.get(inner[1], 'value')}" if inner else _SAID.get(self.type, "any value")
        low = "" if self.min is None else f" >= {self.min:g}"
        high = "" if self.max is None else f" <= {self.max:g}"
        return said + " and".join(filter(None, (low, high))) + " or null" * self.optional

    def check(self, value: Any, base: Path) -> Any:
        """``value`` as the notebook gets it: a whole number is a float where one is wanted, a path is absolute.

        Args:
            base: what a relative path is relative to.

        Raises:
            ValueError: another type, out of bounds, not a choice, not finite.
        """
        if value is None and self.optional:
            return None
        if self.type == "path" and value in self.choices:
            return value
        try:
            value = _as_type(self.type, value, base)
        except ValueError:
            raise self._refusal(value) from None
        numbers = isinstance(value, int | float) and not isinstance(value, bool)
        below = numbers and self.min is not None and value < self.min
        above = numbers and self.max is not None and value > self.max
        foreign = self.choices and self.type != "path" and value not in self.choices
        if below or above or foreign:
            raise self._refusal(value)
        return value

    def parse(self, text: str) -> Any:
        """A word of the command line as a value of this type, not yet checked."""
        if self.type in ("str", "path") and not (self.optional and text == "null"):
            return text
        if self.type == "bool" and text.lower() in ("true", "false"):
            return text.lower() == "true"
        if self.type in ("int", "float") and _NUMBER.fullmatch(text):
            return int(text) if re.fullmatch(r"[+-]?\d+", text) else float(text)
        return text if self.type == "bool" else _yaml(text)

    def _refusal(self, value: Any) -> ValueError:
        return ValueError(f"the parameter {self.name} = {value!r} is not {self.wanted}: give such a value")


def _yaml(text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _as_type(kind: str, value: Any, base: Path) -> Any:
    inner = re.fullmatch(r"list\[(.*)\]", kind)
    if inner and isinstance(value, list | tuple):
        return [_as_type(inner[1], item, base) for item in value]
    if kind == "float" and isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)  # YAML 1.1 takes 1e-3 for text
    if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind == "path" and isinstance(value, str) and (base / value).exists():
        return str((base / value).resolve())
    types: dict[str, type] = {"str": str, "dict": dict, "list": list}
    if kind == "any" or (kind in types and isinstance(value, types[kind])):
        return _plain(value)
    raise ValueError(kind)


def _plain(value: Any) -> Any:
    """JSON data with finite numbers, or ValueError."""
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(value)


# --- reading the notebook --------------------------------------------------------------------------------------------


def parameters_in(name: str, cells: list[Any], said: Mapping[str, Any]) -> dict[str, Parameter]:
    """The schema of a notebook.

    The type of a parameter is its annotation (``steps: int = 8``, ``grid: Literal["uniform", "karras"] = "uniform"``,
    ``x: float | None = None``, ``data: Path = "digits"``), else a comment ``# type: int``, else that of its default.

    Args:
        name: of the notebook, for messages.
        cells: of the notebook; the one tagged ``parameters`` is read. None at all means no parameters.
        said: by parameter, what the metadata say: ``type``, ``choices``, ``min``, ``max``, ``optional``, ``help``.

    Raises:
        ValueError: two such cells, a cell that is no Python, metadata that fit no parameter, a name like a secret.
    """
    found = [c for c in cells if c["cell_type"] == "code" and "parameters" in c["metadata"].get("tags", [])]
    if len(found) > 1:
        raise ValueError(f"{name}: {len(found)} cells are tagged 'parameters': leave the tag on one")
    schema = _read("".join(found[0]["source"]), name) if found else {}
    for key, entry in said.items():
        if key not in schema:
            raise ValueError(
                f"{name}: the metadata describe {key!r}, which the parameters cell does not set: {_known(schema)}"
            )
        schema[key] = _told(schema[key], entry, name)
    for parameter in schema.values():
        refuse_secrets(name, parameter.name, parameter.default)
    return schema


def _known(schema: Mapping[str, Parameter]) -> str:
    return f"use one of {', '.join(schema)}" if schema else "it has no cell tagged 'parameters'"


def _read(source: str, name: str) -> dict[str, Parameter]:
    try:
        body = ast.parse(source).body
    except SyntaxError as error:
        raise ValueError(f"{name}: line {error.lineno} of its parameters cell is no Python: {error.msg}") from error
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    schema = {}
    for line in body:
        annotation = line.annotation if isinstance(line, ast.AnnAssign) else None
        targets = (
            [line.target] if isinstance(line, ast.AnnAssign) else line.targets if isinstance(line, ast.Assign) else []
        )
        value = getattr(line, "value", None)
        if len(targets) == 1 and isinstance(targets[0], ast.Name) and value is not None:
            key = targets[0].id
            schema[key] = _parameter(key, value, annotation, comments.get(line.end_lineno or 0, ""))
    return schema


def _parameter(key: str, value: ast.expr, annotation: ast.expr | None, comment: str) -> Parameter:
    try:
        default = _plain(ast.literal_eval(value))
    except (ValueError, TypeError):
        default = UNKNOWN
    typed = re.match(r"type:\s*(\S+)\s*(.*)", comment)
    if typed and annotation is None:
        annotation, comment = ast.parse(typed[1], mode="eval").body, typed[2]
    base = Parameter(key, default=default, help=comment)
    if annotation is not None:
        return _annotated(base, annotation)
    if default is UNKNOWN or default is None:
        return base
    return replace(base, type=type(default).__name__)


def _annotated(base: Parameter, node: ast.expr) -> Parameter:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        sides = [side for side in (node.left, node.right) if ast.unparse(side) != "None"]
        return replace(_annotated(base, sides[0]), optional=True) if len(sides) == 1 else base
    text = ast.unparse(node)
    head, _, inner = text.rpartition(".")[2].partition("[") if "[" not in text else text.partition("[")
    head = head.rpartition(".")[2].lower()
    if head == "optional" and isinstance(node, ast.Subscript):
        return replace(_annotated(base, node.slice), optional=True)
    if head == "literal" and isinstance(node, ast.Subscript):
        try:
            values = ast.literal_eval(node.slice)
        except ValueError:
            return base
        values = values if isinstance(values, tuple) else (values,)
        kinds = {type(v).__name__ for v in values}
        return replace(base, type=kinds.pop() if len(kinds) == 1 else "any", choices=values)
    kind = f"list[{inner}" if head == "list" and inner else head
    return replace(base, type=kind if _is_type(kind) else "any")


def _is_type(kind: Any) -> bool:
    inner = re.fullmatch(r"list\[(.*)\]", str(kind))
    return _is_type(inner[1]) if inner else kind in (*_SCALARS, "list", "dict")


def _told(parameter: Parameter, entry: Any, name: str) -> Parameter:
    where = f"{name}: what the metadata say of {parameter.name!r}"
    fields = {"type", "choices", "min", "max", "optional", "help"}
    if not isinstance(entry, Mapping) or set(entry) - fields:
        extra = ", ".join(sorted(set(entry) - fields)) if isinstance(entry, Mapping) else repr(entry)
        raise ValueError(f"{where} has {extra}: use {', '.join(sorted(fields))}")
    if not _is_type(entry.get("type", parameter.type)):
        raise ValueError(
            f"{where} has the type {entry['type']!r}: use {', '.join(_SCALARS)}, list, dict or list[int] and the like"
        )
    changed = dict(entry)
    if "choices" in changed:
        changed["choices"] = tuple(changed["choices"])
    return replace(parameter, **changed)


# --- values ----------------------------------------------------------------------------------------------------------


def resolve(name: str, schema: Mapping[str, Parameter], given: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Every parameter with its value: what is given, checked, then the defaults that are literals.

    Args:
        name: of the notebook, for messages.
        given: values by name.
        base: what relative paths are relative to.

    Raises:
        ValueError: an unknown name, a value of another type or out of bounds, what looks like a secret.
    """
    for key, value in given.items():
        refuse_secrets(name, key, value)
        if key not in schema:
            raise ValueError(f"{name} has no parameter {key!r}: {_known(schema)}")
    values = {}
    for key, parameter in schema.items():
        if key in given:
            try:
                values[key] = parameter.check(given[key], base)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        elif parameter.default is not UNKNOWN:
            values[key] = parameter.default
    return values
