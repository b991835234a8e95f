"""Many images of one network: image ``i`` is the same one, whoever draws it and in whatever batch."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any

from ..models import Network
from ..noise import Counter
from ..plan import Level, Plan
from ..read.sample import sample
from .networks import device_of, null_label

__all__ = ["Drawn", "Many"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """Images ``first`` to ``first + len(images) - 1`` of :class:`Many`.

    Attributes:
        images: ``(count, c, h, w)``, float32, on the CPU.
        labels: the classes asked for, ``(count,)`` of int64; of a network without classes -1.
        seconds: that it took.
        network_seconds: of these, inside the network; on a GPU as its own clock counts them.
    """

    images: Any
    labels: Any
    seconds: float
    network_seconds: float


@dataclass(frozen=True, eq=False)
class Many:
    """``n`` images of a network by a plan, numbered from 0.

    Image ``i`` starts from ``plan.prior`` times normals that belong to ``(seed, i)`` alone, and so do the draws of a
    plan with noise (:class:`diffnum.noise.Counter`). Drawn by other processes or in other batches it is the same image:
    to the bit in batches of one size on one kind of device, else to the rounding of the network's own batches.

    Attributes:
        network: whose ``prediction`` is the plan's.
        plan: what to run; ``alpha`` and ``sigma`` of its levels are all that a network of this package is told, so its
            process is free.
        n: how many.
        seed: of all noise.
        classes: a class for all; ``"all"`` for class ``i mod k`` of ``k``; None for the null class.

    Raises:
        ValueError: no images; a plan for another prediction; classes of a network that has none, or one beyond them.
    """

    network: Network
    plan: Plan
    n: int
    seed: int = 0
    classes: int | str | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.n, int) and self.n >= 1):
            raise ValueError(f"n = {self.n!r} draws nothing: use a whole number >= 1")
        if self.plan.prediction != self.network.prediction:
            raise ValueError(
                f"the plan is for predictions of {self.plan.prediction} and the network predicts "
                f"{self.network.prediction}: load the network with prediction={self.plan.prediction!r}"
            )
        Counter(self.seed)
        if self.classes is None:
            return
        if not self._null:
            raise ValueError(f"classes = {self.classes!r} for a network that knows none: leave it out")
        if self.classes != "all" and not (isinstance(self.classes, int) and 0 <= self.classes < self._null):
            raise ValueError(
                f"classes = {self.classes!r} is no class: use 'all' or a number from 0 to {self._null - 1}"
            )

    @property
    def _null(self) -> int | None:
        """The label of the null class, which is the number of the others."""
        return null_label(self.network.module) if "class_labels" in self.network.conditions else None

    def start(self, first: int, count: int) -> Any:
        """``x_T`` of images ``first`` to ``first + count - 1``: ``(count, c, h, w)``, float32, where the network is."""
        import torch

        like = torch.empty(0, dtype=torch.float32, device=device_of(self.network.module))
        return Counter(self.seed, first).initial(count, self.network.shape, float(self.plan.prior), like)

    def labels(self, first: int, count: int) -> Any:
        """The classes of these images, ``(count,)`` of int64; -1 for a network without classes."""
        import torch

        if self._null is None:
            return torch.full((count,), -1)
        if self.classes == "all":
            return torch.arange(first, first + count) % self._null
        return torch.full((count,), self._null if self.classes is None else int(self.classes))

    def draw(self, first: int, count: int) -> Drawn:
        """Images ``first`` to ``first + count - 1``, in one batch."""
        import torch

        labels, device = self.labels(first, count), device_of(self.network.module)
        network = self.network
        if self._null is not None:
            network = network.given(class_labels=labels.to(device))
        timed = _Timed(network, device)
        began = time.perf_counter()
        with torch.no_grad():
            x = sample(self.plan, timed, self.start(first, count), noise=Counter(self.seed, first))
        images = x.to("cpu", torch.float32)
        return Drawn(images, labels, time.perf_counter() - began, timed.seconds())

    def address(self) -> str:
        """A hash of all that decides what the images are: plan, weights, number, seed, classes, device and torch."""
        import torch

        h = hashlib.sha256()
        kind = device_of(self.network.module).type
        h.update(repr((1, self.plan.hash, self.n, self.seed, self.classes, kind, torch.__version__)).encode())
        for name, value in sorted(self.network.module.state_dict().items()):
            h.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
            h.update(value.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        return h.hexdigest()


class _Timed:
    """A model that keeps the time spent in it. A GPU is not waited for: events on its stream are read at the end."""

    def __init__(self, model: Network, device: Any) -> None:
        self.model, self.cuda = model, device.type == "cuda"
        self.spans: list[tuple[Any, Any]] = []

    def __call__(self, x: Any, level: Level) -> Any:
        begin = self._now()
        answer = self.model(x, level)
        self.spans.append((begin, self._now()))
        return answer

    def _now(self) -> Any:
        if not self.cuda:
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self) -> float:
        if not self.cuda:
            return sum(end - begin for begin, end in self.spans)
        return sum(begin.elapsed_time(end) for begin, end in self.spans) / 1000
