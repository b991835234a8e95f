"""Training of a denoiser, so that a run that was killed goes on exactly where it would have been.

The loss is that of Karras et al. 2022 (equation 8, weight ``1 / c_out^2``): with ``ln(sigma / alpha)`` normal and the
module's target ``F*`` of :func:`diffnum.images.networks.target_pair`,

    loss = E |F(x / r, sigma / alpha) - F*|^2     per pixel,

which for ``sigma_data = 1`` is the velocity loss of Salimans & Ho 2022; a network learns from it several times sooner
than from the noise's. What step ``k`` draws (images, flips, levels, noise, null labels, dropout) is keyed by ``seed``
and ``k`` alone, and a checkpoint holds parameters, moving average and moments of the optimiser in one file: on the
same processor with as many threads the losses after a restart are the losses without one, bit by bit.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..models import Network
from ..process import Cosine, Process
from .checkpoints import read, restore, write
from .data import Dataset
from .networks import FARTHEST, TIME_SCALE, DiT, UNet, build, device_of, null_label, preconditioned, target_pair

__all__ = ["Training", "held_out_loss", "load_network", "train"]

KINDS = {"UNet": UNet, "DiT": DiT}


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Attributes:
        steps: updates of the parameters.
        batch: images in each.
        rate: learning rate of AdamW (Loshchilov & Hutter 2019) after ``warmup`` steps of linear growth; it falls to
            zero at the last step as a quarter period of a cosine.
        weight_decay: AdamW's.
        clip: the gradient's norm is cut to this.
        ema: factor of the moving average of parameters; at step ``k`` at most ``(1 + k) / (10 + k)``.
        null: share of labels that are replaced by the null class.
        log_ratio: mean and standard deviation of ``ln(sigma / alpha)``.
        raw: what the module learns to return, see :func:`diffnum.images.networks.preconditioned`.
        flip: mirror half of the images.
        bf16: run the module under bfloat16 autocast; on processors without such units it is slower.
        save_every: steps between checkpoints.
        seed: of everything that is drawn.

    Raises:
        ValueError: a number outside its range.
    """

    steps: int = 10_000
    batch: int = 64
    rate: float = 2e-3
    warmup: int = 200
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    null: float = 0.1
    log_ratio: tuple[float, float] = (-0.6, 1.8)
    raw: str = "edm"
    flip: bool = False
    bf16: bool = False
    save_every: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "save_every", "rate", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} = {getattr(self, name)} trains nothing: use a positive number")
        if not (0 <= self.ema < 1 and 0 <= self.null <= 1):
            raise ValueError(f"ema = {self.ema} and null = {self.null} are shares: use numbers from 0 to 1")


def train(
    config: UNet | DiT,
    data: Dataset,
    folder: str | os.PathLike[str],
    training: Training | None = None,
    held_out: Dataset | None = None,
    device: str = "cpu",
    pictures: bool = True,
    quiet: bool = False,
    until: int | None = None,
) -> Network:
    """Train a network on ``data``, or go on with the run that ``folder`` holds.

    Args:
        config: the network; ``config.shape`` is ``data.shape``, and its classes are the labels ``0 .. classes - 1``.
        folder: gets ``last.safetensors`` (everything, to go on from), ``network.safetensors`` (the moving average, for
            :func:`load_network`), ``loss.csv`` (a row per step), ``held_out.csv`` and ``samples.png``, all at each
            checkpoint.
        held_out: images to measure the loss of the moving average on at each checkpoint.
        until: stop after this step, as if killed after its checkpoint.

    Returns:
        The moving average as a model on ``Cosine(0)``; :func:`load_network` gives it on other processes.

    Raises:
        ValueError: shapes or labels that do not fit the network; a folder with a run of another configuration; a
            damaged checkpoint; a loss that is not finite.
    """
    training = training or Training()
    _check_data(config, data)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(config, data, training, device)
    run.resume(folder)
    _cut_rows(folder / "loss.csv", run.step)
    _cut_rows(folder / "held_out.csv", run.step)
    last = training.steps if until is None else min(training.steps, until)
    rows: list[list[Any]] = []
    with _progress(quiet) as bar:
        task = bar.add_task("training", total=training.steps, completed=run.step, loss=math.nan)
        while run.step < last:
            loss, norm = run.advance()
            rows.append([run.step, repr(loss), repr(norm)])
            bar.update(task, completed=run.step, loss=float(np.mean([float(r[1]) for r in rows[-100:]])))
            if run.step % training.save_every == 0 or run.step == training.steps:
                _append(folder / "loss.csv", ["step", "loss", "gradient"], rows)
                rows = []
                network = run.network()
                if held_out is not None:
                    loss = held_out_loss(network, held_out, run.sigma_data, training)
                    _append(folder / "held_out.csv", ["step", "loss"], [[run.step, repr(loss)]])
                write(folder / "network.safetensors", run.average, {**run.record(), "kind": "network"})
                run.save(folder)
                if pictures:
                    _picture(network, config, folder / "samples.png")
    return run.network()


def load_network(
    path: str | os.PathLike[str], process: Process | None = None, prediction: str = "data", device: str = "cpu"
) -> Network:
    """The network of a ``network.safetensors``, its weights in float32.

    Args:
        process: the noise process of the plans, default ``Cosine(0)``; any other serves as well.
        prediction: what the plans are compiled for.

    Raises:
        ValueError: no process; a pickle, a truncated file, tensors of other names or shapes than the record's network
            has.
    """
    tensors, record = read(path)
    if record.get("kind") != "network":
        raise ValueError(f"{path} is a checkpoint to go on from: load network.safetensors beside it")
    config = config_of(record)
    module = build(config)
    restore(path, module, tensors)
    module.to(device).requires_grad_(False)
    process = Cosine(0.0) if process is None else process
    return preconditioned(module, process, prediction, record["sigma_data"], record["training"]["raw"])


def config_of(record: Mapping[str, Any]) -> UNet | DiT:
    """The configuration in a checkpoint's record."""
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in record["config"].items()}
    return KINDS[record["network"]](**values)


def held_out_loss(
    network: Network, data: Dataset, sigma_data: float, training: Training | None = None, repeats: int = 4
) -> float:
    """The training loss on ``data`` at fixed levels and noise, given labels where there are classes."""
    import torch

    training = training or Training()
    x, labels = _tensors(data)
    device, total = device_of(network.module), 0.0
    with torch.no_grad():
        for k in range(repeats):
            drawn = _noised(x, training, torch.Generator().manual_seed(_key(training.seed, -1 - k)))
            given = {} if null_label(network.module) is None or labels is None else {"class_labels": labels.to(device)}
            x0, alpha, sigma, eps = (v.to(device) for v in (x, *drawn))
            F, target = _asked(network.module, x0, alpha, sigma, eps, sigma_data, training.raw, given)
            total += float((F - target).square().mean())
    return total / repeats


class _Run:
    """Everything that changes from step to step."""

    def __init__(self, config: UNet | DiT, data: Dataset, training: Training, device: str) -> None:
        import torch

        self.config, self.training, self.device = config, training, device
        self.x, self.labels = _tensors(data)
        self.sigma_data = float(np.sqrt(np.mean(data.data**2)))
        self.name, self.step = data.name, 0
        self.module = build(config, training.seed).to(device)
        self.module.train()
        self.optimiser = torch.optim.AdamW(
            self.module.parameters(), training.rate, (0.9, 0.99), weight_decay=training.weight_decay
        )
        self.average = {k: v.detach().clone() for k, v in self.module.state_dict().items()}
        self.null = null_label(self.module)

    def advance(self) -> tuple[float, float]:
        """One step: its loss and the norm of its gradient."""
        import torch

        t, k = self.training, self.step
        generator = torch.Generator().manual_seed(_key(t.seed, k))
        x, given = self._batch(generator)
        alpha, sigma, eps = _noised(x, t, generator)
        for group in self.optimiser.param_groups:
            group["lr"] = t.rate * min(1.0, (k + 1) / max(t.warmup, 1)) * math.cos(math.pi / 2 * k / t.steps)
        on = [v.to(self.device) for v in (x, alpha, sigma, eps)]
        kind = torch.device(self.device).type
        forked = torch.random.fork_rng(devices=[] if kind == "cpu" else None)
        with forked, torch.autocast(kind, torch.bfloat16, enabled=t.bf16):
            torch.manual_seed(_key(t.seed, k, 1))
            F, target = _asked(self.module, *on, self.sigma_data, t.raw, given)
        loss = (F.float() - target).square().mean()
        if not torch.isfinite(loss):
            raise ValueError(f"the loss is {float(loss.detach())} at step {k}: lower rate or clip, or turn bf16 off")
        self.optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.module.parameters(), t.clip)
        self.optimiser.step()
        self.step = k + 1
        rate = 1 - min(t.ema, (1 + k) / (10 + k))
        with torch.no_grad():
            for name, value in self.module.state_dict().items():
                self.average[name].lerp_(value, rate)
        return float(loss.detach()), float(norm)

    def _batch(self, generator: Any) -> tuple[Any, dict[str, Any]]:
        import torch

        t = self.training
        index = _batch_index(len(self.x), t.batch, self.step, t.seed)
        x = self.x[index]
        if t.flip:
            flipped = torch.rand(len(x), generator=generator) < 0.5
            x = torch.where(flipped[:, None, None, None], x.flip(3), x)
        if self.null is None:
            return x, {}
        labels = torch.full((len(x),), self.null) if self.labels is None else self.labels[index]
        forgotten = torch.rand(len(x), generator=generator) < t.null
        return x, {"class_labels": torch.where(forgotten, self.null, labels).to(self.device)}

    def network(self) -> Network:
        module = build(self.config)
        module.load_state_dict(self.average)
        module.requires_grad_(False)
        return preconditioned(module.to(self.device), Cosine(0.0), "data", self.sigma_data, self.training.raw)

    def record(self) -> dict[str, Any]:
        return {
            "network": type(self.config).__name__,
            "config": asdict(self.config),
            "training": asdict(self.training),
            "sigma_data": self.sigma_data,
            "data": self.name,
            "images": len(self.x),
            "step": self.step,
        }

    def save(self, folder: Path) -> None:
        tensors = {f"module.{k}": v for k, v in self.module.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        for name, p in self.module.named_parameters():
            for moment, value in self.optimiser.state[p].items():
                tensors[f"{moment}.{name}"] = value
        write(folder / "last.safetensors", tensors, {**self.record(), "kind": "run"})

    def resume(self, folder: Path) -> None:
        path = folder / "last.safetensors"
        if not path.exists():
            return
        tensors, record = read(path)
        # through JSON, as the file's was
        mine = json.loads(json.dumps(self.record()))
        _check_same(folder, mine, record)
        parts: dict[str, dict[str, Any]] = {}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts.setdefault(part, {})[rest] = value
        restore(path, self.module, parts.get("module", {}))
        # through a module of its own, which checks names and shapes
        average = build(self.config)
        restore(path, average, parts.get("average", {}))
        self.average = {k: v.to(self.device) for k, v in average.state_dict().items()}
        for name, p in self.module.named_parameters():
            moments = {m: parts.get(m, {}).get(name) for m in ("step", "exp_avg", "exp_avg_sq")}
            for m, value in moments.items():
                if value is None or (m != "step" and value.shape != p.shape):
                    raise ValueError(f"{path} has no fitting {m} of {name}: it is damaged, start in another folder")
            self.optimiser.state[p] = {
                m: v if m == "step" else v.to(self.device) for m, v in moments.items() if v is not None
            }
        self.step = record["step"]


def _check_same(folder: Path, mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    for name, value in mine.items():
        other = theirs.get(name)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            _check_same(folder, value, other)
        elif name != "step" and value != other:
            raise ValueError(f"{folder} holds a run with {name} = {other}, not {value}: use another folder")


def _key(seed: int, step: int, stream: int = 0) -> int:
    """The seed of what a step draws: stream 1 for dropout, which must not repeat the numbers of the noise."""
    return int(np.random.SeedSequence([seed, 2**32 + step, stream]).generate_state(1, np.uint64)[0] >> 1)


def _batch_index(n: int, batch: int, step: int, seed: int) -> np.ndarray:
    """Images of a step: all are seen in a new order in every pass."""
    place = np.arange(step * batch, (step + 1) * batch)
    orders = {p: np.random.default_rng([seed, p]).permutation(n) for p in np.unique(place // n)}
    return np.array([orders[i // n][i % n] for i in place])


def _noised(x: Any, training: Training, generator: Any) -> tuple[Any, Any, Any]:
    """Levels on the circle, one in each of ``len(x)`` slices of equal probability, and noise."""
    import torch

    n = len(x)
    u = (torch.arange(n) + torch.rand(n, generator=generator, dtype=torch.float64)) / n
    mean, deviation = training.log_ratio
    ratio = torch.exp(mean + deviation * torch.special.ndtri(u.clamp(1e-9, 1 - 1e-9)))
    alpha = torch.rsqrt(1 + ratio**2)
    shape = (n, 1, 1, 1)
    eps = torch.randn(x.shape, generator=generator)
    return alpha.float().view(shape), (alpha * ratio).float().view(shape), eps


def _asked(
    module: Any, x0: Any, alpha: Any, sigma: Any, eps: Any, d: float, raw: str, given: Mapping[str, Any]
) -> tuple[Any, Any]:
    """The module's output at noisy images, as :class:`diffnum.models.Network` would ask it, and its target."""
    r = (sigma**2 + (alpha * d) ** 2) ** 0.5
    told = TIME_SCALE / 4 * (sigma / alpha).log().clamp(-FARTHEST, FARTHEST).flatten()
    p0, p1 = target_pair(raw, alpha, sigma, d)
    return module((alpha * x0 + sigma * eps) / r, told, **given).sample, p0 * x0 + p1 * eps


def _tensors(data: Dataset) -> tuple[Any, Any]:
    import torch

    images = data.data.reshape(-1, *data.shape).transpose(0, 3, 1, 2)
    labels = None if data.labels is None else torch.from_numpy(data.labels.astype(np.int64))
    return torch.from_numpy(np.ascontiguousarray(images, dtype=np.float32)), labels


def _check_data(config: UNet | DiT, data: Dataset) -> None:
    if tuple(config.shape) != tuple(data.shape):
        raise ValueError(f"{data.name} has images of {data.shape} and the network is for {config.shape}: make one fit")
    if config.classes:
        labels = data.labels
        if labels is None or labels.min() < 0 or labels.max() >= config.classes:
            seen = "no labels" if labels is None else f"labels from {labels.min()} to {labels.max()}"
            raise ValueError(f"{data.name} has {seen} for {config.classes} classes: give labels 0 .. classes - 1")


def _append(path: Path, header: list[str], rows: list[list[Any]]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerows([header] * new + rows)


def _cut_rows(path: Path, step: int) -> None:
    """Drop rows after ``step``, which a killed run wrote after its last checkpoint."""
    if not path.exists():
        return
    lines = path.read_text().splitlines()
    kept = [line for line in lines[1:] if int(line.partition(",")[0]) <= step]
    part = path.with_name(path.name + ".part")
    part.write_text("\n".join([lines[0], *kept]) + "\n")
    os.replace(part, path)


def _progress(quiet: bool) -> Any:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]:.4f}"), TimeRemainingColumn())
    return Progress(*columns, disable=quiet)


def _picture(network: Network, config: UNet | DiT, path: Path) -> None:
    from .samples import draw, sheet

    count = 10 if config.classes else 8
    labels = None if not config.classes else np.repeat(np.arange(config.classes), 8)[: 8 * config.classes]
    x = draw(network, 8 * count if labels is None else len(labels), seed=0, labels=labels)
    sheet(x, path, columns=8)
