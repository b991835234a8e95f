"""A whole run, network and lines, as one piece: a CUDA graph, or one compiled function.

Plans have no control flow, so a run launches the same kernels every time. :func:`captured` records them once and
launches them all with one call; :func:`unrolled` writes the plan out as straight-line code for a compiler.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..noise import as_source
from ..plan import Eval, Lin, Noise, Plan
from .buffers import narrow
from .execute import Execution, eager
from .fused import fused
from .sample import adapted_model, as_like, sample

__all__ = ["Captured", "captured", "unrolled"]


@dataclass(frozen=True, eq=False)
class Captured:
    """A recorded run: ``run(x)`` is the sample, ``run.all(x)`` every output of the plan.

    Attributes:
        plan: what was recorded.
        x: where the recorded run reads its ``x_T``.
        draws: where it reads its noise, one tensor for each draw of the plan.
        outputs: where it leaves its results.
        replay: runs it again.
    """

    plan: Plan
    x: Any
    draws: tuple[Any, ...]
    outputs: tuple[Any, ...]
    replay: Callable[[], None]

    def all(self, x: Any, noise: Any = None) -> tuple[Any, ...]:
        """The outputs from ``x``, in tensors of their own.

        Args:
            x: of the shape, dtype and device that were recorded.
            noise: as :func:`diffnum.sample` takes it, drawn before the run.

        Raises:
            ValueError: another shape, dtype or device; a plan that draws without a source.
        """
        if x.shape != self.x.shape or x.dtype != self.x.dtype or x.device != self.x.device:
            raise ValueError(
                f"the run was recorded for {tuple(self.x.shape)} {self.x.dtype} on {self.x.device} and x is "
                f"{tuple(x.shape)} {x.dtype} on {x.device}: record another with this x"
            )
        source = as_source(noise, self.plan)
        for place, r in zip(self.draws, self.plan.draws, strict=True):
            line: Any = self.plan.lines[r - 1]
            place.copy_(source(line, x))
        self.x.copy_(x)
        self.replay()
        return tuple(out.clone() for out in self.outputs)

    def __call__(self, x: Any, noise: Any = None) -> Any:
        """The first of :meth:`all`."""
        return self.all(x, noise)[0]


def captured(plan: Plan, model: Any, x: Any, execution: Execution = eager) -> Captured:
    """Record the run of a plan and a network in one CUDA graph.

    Replayed, it costs the host one launch, whatever the number of steps, so small networks and small batches are no
    longer bound by the launching of kernels. Numbers are those of :func:`diffnum.sample`, by the same kernels.

    Args:
        plan: a numeric plan.
        model: as :func:`diffnum.sample` takes it. It is run three times first, as capture demands, and must not wait
            for the device or read its numbers on the host; its weights are read where they are, so that they may change
            in place.
        x: a tensor on a GPU, of the shape to record. Its values do not matter.
        execution: how lines are computed, ``dn.eager`` or ``dn.triton_lines``.

    Returns:
        ``run(x, noise=None)``. Every draw of the plan has a tensor of its own, which is filled before the run.

    Raises:
        ValueError: ``x`` is not on a GPU; ``dn.fused``, whose coefficients are copied from the host as it runs.
    """
    if execution is fused:
        raise ValueError("dn.fused copies its coefficients from the host, which no graph can record: use dn.eager")
    device = getattr(getattr(x, "device", None), "type", "the host")
    if device != "cuda":
        raise ValueError(
            f"a CUDA graph is recorded on a GPU and x is on {device}: pass x.cuda(), or compile the run as a whole by "
            "dn.unrolled"
        )
    return _recorded(plan, model, x, execution, _graph)


def _recorded(
    plan: Plan,
    model: Any,
    x: Any,
    execution: Execution,
    graph: Callable[[Callable[[], Any]], tuple[Any, Callable[[], None]]],
) -> Captured:
    import torch

    here = torch.zeros_like(x, requires_grad=False)
    draws = tuple(torch.zeros_like(here) for _ in plan.draws)

    def body() -> tuple[Any, ...]:
        wanted: Iterator[Any] = iter(draws)
        noise = (lambda s, t, j, x: next(wanted)) if draws else None
        with torch.no_grad():
            return sample(plan, model, here, noise=noise, outputs="all", execution=execution)

    outputs, replay = graph(body)
    return Captured(plan, here, draws, outputs, replay)


def _graph(body: Callable[[], Any]) -> tuple[Any, Callable[[], None]]:
    import torch

    # lazy initialisation and tuning happen on a stream of their own before anything is recorded
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            body()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = body()
    return outputs, graph.replay


def unrolled(plan: Plan, model: Any) -> Callable[..., Any]:
    """The run of a plan and a network as one compiled function, on a CPU or a GPU.

    The network appears in it once for each evaluation, so that compiling takes as many times as long as for one: for
    small networks and few steps. What a network does first to its input and last to its output merges with the lines.

    Args:
        plan: a plan whose coefficients are plain numbers.
        model: ``model(x, level)`` of torch tensors that ``torch.compile`` can trace.

    Returns:
        ``run(x, noise=None)``: the sample of :func:`diffnum.sample`, to the rounding of sums. It compiles when it is
        first called, and again for another dtype or device.

    Raises:
        ValueError: a coefficient is no plain number; when called, a plan that draws without a source.
    """
    if not all(isinstance(c, (int, float)) for line in plan.lines if isinstance(line, Lin) for _, c in line.terms):
        raise ValueError("a coefficient is a tensor or a formula: compile plans on grids of plain numbers")
    call = adapted_model(model, plan.prediction)

    def evaluate(x: Any, i: int) -> Any:
        line: Any = plan.lines[i]
        return as_like(call(x, line.level), x)

    scopes = {wide: {"evaluate": evaluate} for wide in (False, True)}
    for wide, scope in scopes.items():
        exec(_source(plan, wide), scope)
    trajectories = {wide: _compile(scope["trajectory"]) for wide, scope in scopes.items()}

    def run(x: Any, noise: Any = None) -> Any:
        source = as_source(noise, plan)
        lines: Any = [plan.lines[r - 1] for r in plan.draws]
        return trajectories[narrow(x.dtype)](x, [source(line, x) for line in lines])

    return run


def _compile(function: Callable[..., Any]) -> Callable[..., Any]:
    import torch

    return torch.compile(function)


def _source(plan: Plan, wide: bool) -> str:
    up, down = (".float()", ".to(r0.dtype)") if wide else ("", "")
    draws = iter(range(len(plan.draws)))
    body = []
    for r, line in enumerate(plan.lines, 1):
        if isinstance(line, Eval):
            body.append(f"r{r} = evaluate(r{line.x}, {r - 1})")
        elif isinstance(line, Noise):
            body.append(f"r{r} = draws[{next(draws)}]")
        else:
            factors = [f"{float(c)!r} * r{q}{up}" for q, c in line.terms]
            total = factors[-1]
            for factor in factors[-2::-1]:
                total = f"({total} + {factor})"
            body.append(f"r{r} = ({total}){down}")
    body.append(f"return r{plan.outputs[0][1]}")
    return "def trajectory(r0, draws):\n    " + "\n    ".join(body) + "\n"
