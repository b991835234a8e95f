"""Unit vectors for a sampler to work on: a model, a start and draws that remember what became of them.

A linear sampler is known once it has run on ``x_T = e_0``, a model whose ``k``-th prediction is a unit vector of its
own, and draws with theirs: every input of the model is then a row of coefficients. On any other vectors ``B`` in place
of the unit vectors it must give the same rows times ``B``; where it does not, it is not linear.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import numpy as np
import torch

from .frames import Frame
from .recording import Call, Draw, Event, Recording, State

__all__ = ["Exhausted", "Path", "Session", "drawing", "widened"]


class Exhausted(Exception):
    """More vectors were asked for than there are."""


@dataclass
class Session:
    """One run of a sampler on given vectors.

    Attributes:
        frame: what the model's times, inputs and outputs mean.
        basis: ``(columns, M)``, the vectors to hand out.
        tail: ones, the further axes of a state of shape ``(1, *tail, M)``.
        step: in which the sampler is, kept by who drives it.
    """

    frame: Frame
    basis: np.ndarray
    tail: tuple[int, ...] = ()
    step: int = 0
    events: list[Event] = field(default_factory=list)
    _used: int = 1
    _seen: dict[Any, int] = field(default_factory=dict)

    def start(self) -> torch.Tensor:
        """``x_T``."""
        return self._vector(0).reshape(1, *self.tail, -1)

    def model(self, x: Any, time: Any = None, *unused: Any, **options: Any) -> torch.Tensor:
        """What the network returns at ``x`` when it is told ``time``: an affine function of ``x`` and a new vector."""
        if time is None:
            raise ValueError("the model was called without a time: lift(lambda model, x: ...) must call model(x, time)")
        row = self._row(x)
        clock = self.frame.clock(time)
        if not math.isfinite(clock):
            raise ValueError(f"the model is told the time {clock!r}: no network knows that level")
        level = self.frame.told(time)
        column = self._new()
        view = self.frame.view(level)
        self.events.append(Call(row, clock, level, view, column, self.step))
        a, b = self.frame.returned(level)
        answer = b * self._vector(column).reshape(x.shape)
        return (a * x + answer if a else answer).to(x.dtype)

    def pin(self, x: torch.Tensor) -> torch.Tensor:
        """Notes the state after a step and gives a vector of its own in its place."""
        column = self._new()
        self.events.append(State(self._row(x), column, self.step))
        return self._vector(column).reshape(x.shape).to(x.dtype)

    def finish(self, x: torch.Tensor) -> None:
        """Notes the output."""
        self.events.append(State(self._row(x), -1, self.step))

    def fresh(self, key: Any = None) -> torch.Tensor:
        """A draw; one with the ``key`` of an earlier one is that one again."""
        if key is None or key not in self._seen:
            column = self._new()
            self.events.append(Draw(column, self.step))
            self._seen[object() if key is None else key] = column
        else:
            column = self._seen[key]
        return self._vector(column)

    def recording(self) -> Recording:
        """What happened."""
        return Recording(tuple(self.events))

    @property
    def size(self) -> int:
        """Number of elements of a state."""
        return self.basis.shape[1]

    def _new(self) -> int:
        if self._used == len(self.basis):
            raise Exhausted
        self._used += 1
        return self._used - 1

    def _vector(self, i: int) -> torch.Tensor:
        return torch.tensor(self.basis[i], dtype=torch.float64)

    def _row(self, x: Any) -> np.ndarray:
        if not isinstance(x, torch.Tensor) or x.numel() != self.size:
            what = f"a tensor of shape {tuple(x.shape)}" if isinstance(x, torch.Tensor) else f"a {type(x).__name__}"
            raise ValueError(f"the sampler gave {what} where its state has {self.size} elements: lift one sample")
        return x.detach().double().reshape(-1).numpy().copy()


# --- draws ---


@contextmanager
def drawing(session: Session) -> Iterator[None]:
    """Normals of torch in the size of a state are vectors of the session.

    What was really drawn names the draw: a generator seeded twice, or a tensor kept, is the same draw again.
    """
    randn, like, inplace = torch.randn, torch.randn_like, torch.Tensor.normal_

    def draw(real: torch.Tensor) -> torch.Tensor:
        if real.numel() != session.size:
            return real
        return session.fresh(tuple(real.detach().double().reshape(-1)[:4].tolist())).reshape(real.shape).to(real.dtype)

    def normal_(x: torch.Tensor, mean: float = 0.0, std: float = 1.0, **options: Any) -> torch.Tensor:
        z = draw(inplace(torch.empty_like(x), **options))
        return x.copy_(mean + std * z)

    with (
        torch.random.fork_rng(devices=[]),
        mock.patch("torch.randn", lambda *size, **options: draw(randn(*size, **options))),
        mock.patch("torch.randn_like", lambda x, **options: draw(like(x, **options))),
        mock.patch.object(torch.Tensor, "normal_", normal_),
    ):
        torch.manual_seed(0)
        yield


@dataclass
class Path:
    """A Brownian motion: ``path(s, t)`` is its increment over the interval in units of its own deviation.

    Known at the times asked for so far; a new time is a draw given its neighbours, so that intervals that overlap are
    coupled as they should be.
    """

    session: Session
    known: list[tuple[float, torch.Tensor]] = field(default_factory=list)

    def __call__(self, s: Any, t: Any, *unused: Any) -> torch.Tensor:
        a, b = float(s), float(t)
        if a == b:
            raise ValueError(f"noise was asked for between {a!r} and itself: a step of no length draws nothing")
        # the first time asked for is the origin
        before, after = self._at(a), self._at(b)
        return ((after - before) / abs(b - a) ** 0.5).reshape(1, *self.session.tail, -1)

    def _at(self, t: float) -> torch.Tensor:
        if not self.known:
            self.known.append((t, torch.zeros(self.session.size, dtype=torch.float64)))
        below = [k for k in self.known if k[0] <= t]
        above = [k for k in self.known if k[0] >= t]
        if below and below[-1][0] == t:
            return below[-1][1]
        z = self.session.fresh()
        if below and above:
            (s, ws), (u, wu) = below[-1], above[0]
            w = ws + (t - s) / (u - s) * (wu - ws) + math.sqrt((t - s) * (u - t) / (u - s)) * z
        else:
            s, ws = below[-1] if below else above[0]
            w = ws + math.sqrt(abs(t - s)) * z
        self.known = sorted([*self.known, (t, w)], key=lambda k: k[0])
        return w


# --- precision ---


@contextmanager
def widened(modules: tuple[str, ...]) -> Iterator[None]:
    """The code of ``modules`` in double precision: wherever they say float32 they get float64."""
    default = torch.get_default_dtype()
    with ExitStack() as stack:
        for name in modules:
            module = importlib.import_module(name)
            for alias, value in list(vars(module).items()):
                if value is torch:
                    stack.enter_context(mock.patch.object(module, alias, _TORCH))
                elif value is np:
                    stack.enter_context(mock.patch.object(module, alias, _NUMPY))
        torch.set_default_dtype(torch.float64)
        stack.callback(torch.set_default_dtype, default)
        yield


class _Wide:
    def __init__(self, module: Any, **instead: Any) -> None:
        self.__dict__.update(instead, _module=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


_TORCH = _Wide(torch, float32=torch.float64, float=torch.float64)
_NUMPY = _Wide(np, float32=np.float64)

Walk = Callable[[Any, Session], None]
