"""The reference: a page for each module, from docstrings, and a page for each room of the README."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...trace import Solver
from .modules import Module, Room, modules, rooms

__all__ = ["housed", "reference", "sources"]

_OTHERS, _SAYS = "Other modules", "What these rooms stand on, and what leads to them"


def reference(root: Path, readme: str) -> Iterator[tuple[str, str]]:
    """Pages of ``diffnum``: file name below ``api/`` and reStructuredText."""
    found = [module for module in modules(root, "diffnum") if module.importable]
    papers = sources((root / "diffnum" / "references.bib").read_text(encoding="utf-8"))
    for module in found:
        if module.name != "diffnum":
            yield f"{module.name}.rst", _page(module, papers)
    tops = dict.fromkeys(module.name.split(".")[1] for module in found if module.name != "diffnum")
    everything = housed(rooms(readme), list(tops))
    for room in everything:
        if len(_inside(room, found)) > 1:
            yield f"{_file(room)}.md", _room(room, found)
    yield "index.rst", _index(found, everything)


def housed(listed: Sequence[Room], tops: Sequence[str]) -> list[Room]:
    """Rooms with ``process_table`` beside ``process`` and the like, and one more for what the README does not name."""
    known = {top for room in listed for top in room.tops}
    left = [top for top in tops if top not in known]
    beside = {top: next((k for k in known if top.startswith(f"{k}_")), "") for top in left}
    found = [Room((*room.tops, *(top for top in left if beside[top] in room.tops)), room.says) for room in listed]
    others = tuple(top for top in left if not beside[top])
    return [*found, Room(others, _SAYS)] if others else found


def _file(room: Room) -> str:
    return f"room-{room.tops[0]}"


def _inside(room: Room, found: Sequence[Module]) -> list[Module]:
    return [module for top in room.tops for module in found if module.name.split(".")[1:2] == [top]]


def _title(room: Room) -> str:
    named = [top for top in room.tops if not any(top.startswith(f"{other}_") for other in room.tops)]
    return _OTHERS if room.says == _SAYS else ", ".join(top.replace("_", " ") for top in named)


def _room(room: Room, found: Sequence[Module]) -> str:
    inside, title = _inside(room, found), _title(room)
    rows = [f"- [`{module.name}`]({module.name}.rst): {_summary(module)}" for module in inside]
    tree = ["```{toctree}", ":hidden:", "", *map(_entry_of_tree, inside), "```"]
    says = re.sub(r"\]\((?!\w+:)", "](../", f"{room.says[:1].upper()}{room.says[1:]}.")
    return "\n".join([f"# {title[:1].upper()}{title[1:]}", "", says, "", *rows, "", *tree, ""])


def _entry_of_tree(module: Module) -> str:
    return f"{module.name.removeprefix('diffnum.')} <{module.name}>"


def _summary(module: Module) -> str:
    """The first sentence of a module's docstring, as Markdown."""
    first = " ".join((inspect.getdoc(module.object) or "").partition("\n\n")[0].split())
    first = re.sub(r":[a-z:]+:`~?([^`]+)`", r"`\1`", first).replace("``", "`")
    return re.sub(r"([*_|$<])(?![^`]*`(?:[^`]*`[^`]*`)*[^`]*$)", r"\\\1", first)


def _index(found: Sequence[Module], everything: Sequence[Room]) -> str:
    (root,) = [module for module in found if module.name == "diffnum"]
    head = ["Reference", "=========", "", *_own_words(root.object), ""]
    head += ["Public names", "------------", "", "What ``import diffnum as dn`` gives.", ""]
    head += [*_table([(f"dn.{name}", _home(root.object, name)) for name in root.public], root.object), ""]
    for name in root.own:
        head += [f".. autofunction:: diffnum.{name}", ""]
    head += ["Rooms", "-----", "", ".. toctree::", "   :maxdepth: 1", ""]
    for room in everything:
        inside = _inside(room, found)
        head.append(f"   {_file(room)}" if len(inside) > 1 else f"   {_entry_of_tree(inside[0])}")
    return "\n".join([*head, ""])


def _own_words(module: Any) -> list[str]:
    from .docstrings import as_rst

    return as_rst(inspect.getdoc(module) or "").splitlines()


def _home(module: Any, name: str) -> str:
    """The dotted name under which an object is documented."""
    value = getattr(module, name)
    place = getattr(value, "__module__", "") if not isinstance(value, Solver) else ""
    return f"{place or module.__name__}.{getattr(value, '__name__', name)}"


def _table(names: Sequence[tuple[str, str]], module: Any) -> list[str]:
    rows = [".. list-table::", "   :widths: 30 70", ""]
    for shown, home in names:
        text = inspect.getdoc(getattr(module, shown.rpartition(".")[2])) or ""
        first = text.partition("\n\n")[0].replace("\n", " ")
        rows += [f"   * - :py:obj:`{shown} <{home}>`", f"     - {_cell(first)}"]
    return rows


def _cell(text: str) -> str:
    from .docstrings import as_rst

    return re.sub(r"::$", ":", " ".join(as_rst(text).split()))


def _page(module: Module, papers: Mapping[str, str]) -> str:
    lines = [module.name, "=" * len(module.name), "", f".. automodule:: {module.name}", "   :no-members:", ""]
    lines += [f".. py:currentmodule:: {module.name}", ""]
    again = [(name, _home(module.object, name)) for name in module.again]
    if again:
        samplers = [name for name, _ in again if isinstance(getattr(module.object, name), Solver)]
        others = [(name, home) for name, home in again if name not in samplers]
        lines += _table(others, module.object) if others else []
        lines += ["", *([" ".join(f":py:obj:`{name}`" for name in samplers)] if samplers else []), ""]
    for name in module.own:
        lines += [*_entry(module, name, papers), ""]
    return "\n".join(lines)


def _entry(module: Module, name: str, papers: Mapping[str, str]) -> list[str]:
    value = getattr(module.object, name)
    full = f"{module.name}.{name}"
    if isinstance(value, Solver):
        return _sampler(module, name, value, papers)
    if inspect.isclass(value):
        order = ["   :members:", "   :member-order: bysource"]
        return [f".. autoclass:: {full}", *order]
    if inspect.isroutine(value) or hasattr(value, "__wrapped__"):
        return [f".. autofunction:: {full}"]
    return [f".. autodata:: {full}", "   :no-value:"]


def _sampler(module: Module, name: str, made: Solver, papers: Mapping[str, str]) -> list[str]:
    """A sampler: what it claims and whose it is, what its docstring says, and its formula as it is written."""
    kind = "weak order" if made.stochastic else "order"
    claim = f"{kind} {made.order}, from a cold start {made.cold}"
    claim += f", {made.smooth} on smooth grids" if made.smooth is not None else ""
    lines = [f".. py:data:: {name}", "", f"   Claims {claim}."]
    if made.cite:
        where = f" ({_escaped(_equation(made.eq))})" if made.eq else ""
        lines[-1] += f" {papers.get(made.cite, made.cite)}{where}."
    words = made.__doc__ if made.__doc__ != Solver.__doc__ else ""
    lines += ["", *(f"   {line}" for line in _docs(words))]
    if made.note:
        lines += ["", f"   {_cell(made.note)}."]
    formula = _formula(module, made)
    return [*lines, "", *(["   .. code-block:: python", "", *(f"      {line}" for line in formula)] if formula else [])]


def _docs(words: str | None) -> list[str]:
    from .docstrings import as_rst

    return as_rst(inspect.cleandoc(words or "")).splitlines()


def _equation(eq: str) -> str:
    return f"eq. {eq}" if re.fullmatch(r"[\dA-Z.,() -]+", eq) else eq


def _formula(module: Module, made: Solver) -> list[str]:
    """The source of a builder that is written in this module as a decorated function."""
    if getattr(made.build, "__module__", "") != module.name or "<locals>" in made.build.__qualname__:
        return []
    text = inspect.getsource(made.build)
    if not text.startswith("@solver"):
        return []
    words = re.search(r'^ +""".*?"""\n', text, re.M | re.S)
    return (text.replace(words[0], "", 1) if words else text).rstrip().splitlines()


def _escaped(text: str) -> str:
    return re.sub(r"([*_|`\\])", r"\\\1", text)


def sources(bib: str) -> dict[str, str]:
    """Key to authors, year and title of each entry of a BibTeX file, as reStructuredText with a link to arXiv."""
    found = {}
    for key, rest in re.findall(r"^@\w+\{(\w+),(.*)\}\s*$", bib, re.M):
        fields = dict(re.findall(r"(\w+)=\{((?:[^{}]|\{[^{}]*\})*)\}", rest))
        last = [re.sub(r"[{}]|\\.", "", who.partition(",")[0]) for who in fields.get("author", key).split(" and ")]
        who = last[0] if len(last) == 1 else " and ".join(last) if len(last) == 2 else f"{last[0]} et al."
        title = _escaped(re.sub(r"[{}]", "", fields.get("title", "")))
        arxiv = fields.get("eprint", "")
        link = f" (`arXiv {arxiv} <https://arxiv.org/abs/{arxiv}>`__)" if re.fullmatch(r"\d{4}\.\d+", arxiv) else ""
        found[key] = f"{_escaped(who)} {fields.get('year', '')}, *{title}*{link}"
    return found
