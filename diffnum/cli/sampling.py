"""``diffnum sample``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .printing import AsJson, check_file, print_json
from .studies import Components, Limit, Seed, Size, image_size

if TYPE_CHECKING:
    from ..lab import Surrogate
    from ..models import Network
    from ..plan import Plan

__all__ = ["sample"]

_FILES = (".png", ".npy")
_FIT, _OF_NETWORK = ("data", "components", "size", "limit"), ("classes", "batch", "device")


def sample(
    context: typer.Context,
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="A plan as JSON, such as a study writes.")],
    data: Annotated[str | None, typer.Option(help="Images to fit; else the plan's study has them.")] = None,
    n: Annotated[int, typer.Option("--n", "-n", help="How many images.")] = 64,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="A .png of all images, or .npy of (n, h, w, c); of a network also a folder.")
    ] = None,
    components: Components = 10,
    size: Size = None,
    limit: Limit = None,
    network: Annotated[str | None, typer.Option(help="Ask a network: digits, or a checkpoint as safetensors.")] = None,
    classes: Annotated[str | None, typer.Option(help="Of a network: a class, or all of them in turn.")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Of a network: images at a time.")] = 250,
    device: Annotated[str, typer.Option(help="Of a network: cpu or cuda, one GPU for each process.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Run a plan on the exact prediction of a mixture fitted to images; or on a network, with --network.

    Several processes share the images of a network: torchrun --nproc-per-node 2 -m diffnum sample PLAN --network digits
    -n 10000 --out DIR. Stopped, the same command goes on, with any number of processes, and draws the same images.
    """
    if n < 1:
        raise ValueError(f"--n {n} draws nothing: use a whole number >= 1")
    _refuse_unread(context, network, data)
    loaded = _load(plan)
    if network is not None:
        place = Path("samples") if out is None else out
        return _sample_network(plan, loaded, network, n, seed, classes, batch, device, place, as_json)
    out = Path("samples.png") if out is None else out
    check_file(out, _FILES)
    surrogate = _surrogate(plan, data, components, seed, image_size(size), limit)
    from ..lab import draw
    from ..lab.pictures import write_images

    x = draw(loaded, surrogate, n, seed)
    write_images(out, x, surrogate.shape)
    if as_json:
        facts = {"plan": str(plan), "sampler": loaded.solver, "nfe": loaded.nfe, "n": n, "seed": seed}
        return print_json(facts | {"data": surrogate.name, "shape": list(surrogate.shape), "out": str(out)})
    print(f"{n} image{'s' * (n > 1)} of {surrogate.name} by {loaded.solver}, {loaded.nfe} evaluations each: {out}")


def _refuse_unread(context: typer.Context, network: str | None, data: str | None) -> None:
    """Refuse options that the others leave without effect."""
    if network is not None:
        _refuse(context, _FIT, f"is of images to fit, and --network {network} fits none: leave one of them out")
        return
    _refuse(context, _OF_NETWORK, "is for a network: add --network or leave it out")
    if data is None:
        _refuse(context, _FIT, "is of images to fit, and a plan's study has fitted its own: add --data or leave it out")


def _refuse(context: typer.Context, names: Sequence[str], said: str) -> None:
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            raise ValueError(f"--{name} {context.params[name]} {said}")


def _sample_network(
    file: Path,
    plan: Plan,
    name: str,
    n: int,
    seed: int,
    classes: str | None,
    batch: int,
    device: str,
    out: Path,
    as_json: bool,
) -> None:
    from ..images import Many
    from ..lab.many import IMAGES, draw_file, draw_many
    from ..lab.processes import launched

    asked = int(classes) if classes is not None and classes.isdecimal() else classes
    with launched() as processes:
        one_file = _is_file(out, processes.count)
        loaded = _network(name, plan.prediction, processes.device(device))
        job = Many(loaded, plan, n, seed, asked)
        told = {"network": name, "file": str(file)}
        first = processes.rank == 0
        with _bar(n, quiet=as_json or not first) as advance:
            if one_file:
                record = draw_file(job, out, batch, told, advance)
            else:
                record = draw_many(job, out, batch, processes, told, advance)
    if not first:
        return
    if as_json:
        return print_json({"out": str(out), **record})
    speed, share = record["images_per_second"], record["outside_network"]
    where = out if one_file else out / IMAGES
    print(f"{n} image{'s' * (n > 1)} of {name} by {plan.solver}, {plan.nfe} evaluations each: {where}")
    count = record["processes"]
    workers = f"{count} process{'es' * (count > 1)}"
    print(f"{speed:.3g} images a second by {workers}, {100 * share:.1f} % of the time outside the network")


def _is_file(out: Path, processes: int) -> bool:
    """Whether ``out`` ends as a picture or an array does, and so is no folder."""
    from PIL import Image

    if out.suffix.lower() not in {*Image.registered_extensions(), ".npy", ".npz", ".safetensors"}:
        return False
    check_file(out, _FILES)
    if processes > 1:
        raise ValueError(f"--out {str(out)!r} is a file, which {processes} processes cannot share: name a folder")
    return True


def _network(name: str, prediction: str, device: str) -> Network:
    from ..images import available, load_network, pretrained

    if name in available():
        return pretrained(name, prediction=prediction, device=device)
    if not Path(name).exists():
        raise ValueError(f"--network {name!r} is no file and none of {', '.join(available())}: name one of them")
    return load_network(name, prediction=prediction, device=device)


@contextmanager
def _bar(total: int, quiet: bool) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    screen = Console(file=sys.stderr)
    columns = (
        TextColumn("images"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen, disable=quiet) as progress:
        task = progress.add_task("images", total=total)
        yield lambda done, of: progress.update(task, completed=done, total=of)


def _load(path: Path) -> Plan:
    from ..plan import Plan

    try:
        return Plan.load(path)
    except ValueError as error:
        raise ValueError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def _surrogate(plan: Path, data: str | None, components: int, seed: int, size: Any, limit: int | None) -> Surrogate:
    from ..images import load
    from ..lab import Surrogate

    if data is not None:
        return Surrogate.fit(load(data, size=size, limit=limit), components, seed)
    for folder in (plan.absolute().parent, plan.absolute().parent.parent):
        if (folder / "surrogate.npz").exists():
            return Surrogate.load(folder / "surrogate.npz")
    raise ValueError(f"{plan} does not lie in the folder of a study: name the images to sample with --data")
