"""What every method shares: the run to be differentiated, its evaluations one by one, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..noise import as_source
from ..plan import Eval, Level, Lin, Line, Noise, Plan, interpret
from ..read.invert import from_inputs
from ..read.sample import adapted_model, as_like, linear

__all__ = ["Gradient", "Loss", "Problem", "pull"]

Loss = Callable[[Any], Any]
"""From the sample, a torch tensor, to a number: a tensor without axes."""


@dataclass(frozen=True, eq=False)
class Gradient:
    """The gradient of a loss of a sampler's output.

    Attributes:
        loss: ``L(x_0)``, without a graph.
        output: ``x_0``.
        x: ``dL/dx_T``, of the shape of ``x_T``; a tuple where several starting states were given.
        parameters: ``dL/dtheta`` of each parameter, in the order given; zeros where the run does not depend on it.
        returned: ``x_T`` as the way back reconstructed it; None for methods that go back over stored states.
        evaluations: calls of the model in all, forward, recomputed and differentiated.
        vjps: vector-Jacobian products of the model among them.
    """

    loss: Any
    output: Any
    x: Any
    parameters: tuple[Any, ...]
    returned: Any
    evaluations: int
    vjps: int


@dataclass
class Problem:
    """A run of a plan on torch tensors, whose evaluations are counted.

    Attributes:
        plan: as it runs from the states given.
        given: values of the inputs by register; 0 is ``x_T``.
        several: whether the starting states came as a tuple.
        evaluations, vjps: calls of the model so far, and products among them.
    """

    plan: Plan
    given: dict[int, Any]
    several: bool
    parameters: tuple[Any, ...]
    call: Callable[[Any, Level], Any]
    draw: Callable[[Noise, Any], Any]
    evaluations: int = 0
    vjps: int = 0
    lin: Callable[[Sequence[tuple[Any, Any]]], Any] = field(init=False)

    def __post_init__(self) -> None:
        self.lin = linear(self.given[0])

    @staticmethod
    def of(plan: Plan, model: Any, x: Any, parameters: Iterable[Any], noise: Any, replayed: bool) -> Problem:
        """The problem, its parts checked; ``replayed``: draws are asked for again on the way back."""
        several = isinstance(x, (tuple, list))
        states = tuple(x) if several else (x,)
        for state in states:
            _check_state(state)
        if several and len(states) != len(plan.inputs):
            names = ", ".join(name for name, _ in plan.inputs)
            raise ValueError(
                f"{len(states)} states were given and {plan.solver} starts from {len(plan.inputs)}: give {names}"
            )
        plan = from_inputs(plan) if several else plan
        given = {r: state.detach() for (_, r), state in zip(plan.inputs, states, strict=False)}
        draw = as_source(noise, plan)
        if replayed:
            _check_keyed(plan, draw, given[0])
        return Problem(plan, given, several, _checked(parameters), adapted_model(model, plan.prediction), draw)

    def noise(self, line: Noise) -> Any:
        """The draw of a line, the same whenever it is asked for."""
        return self.draw(line, self.given[0])

    def value(self, x: Any, level: Level) -> Any:
        """The prediction, without a graph."""
        import torch

        self.evaluations += 1
        with torch.no_grad():
            return as_like(self.call(x, level), x)

    def run(self, given: dict[int, Any], evaluate: Callable[[Any, Level], Any]) -> tuple[Any, ...]:
        """The outputs from values of the inputs; nothing that was on the way is kept."""
        return interpret(
            self.plan,
            given[0],
            self.lin,
            lambda x, level, quantity: evaluate(x, level),
            self.noise,
            lambda r, line, value: given.get(r, value),
        )

    def graph(self, x: Any, level: Level) -> tuple[Any, Any]:
        """``x`` as a leaf, and the prediction with its graph."""
        leaf = x.detach().requires_grad_()
        return leaf, self.attached(leaf, level)

    def attached(self, x: Any, level: Level) -> Any:
        """The prediction with its graph.

        Raises:
            ValueError: it has none.
        """
        import torch

        self.evaluations += 1
        with torch.enable_grad():
            found = as_like(self.call(x, level), x)
        if not found.requires_grad:
            raise ValueError(
                "the model returned a tensor that depends on neither x nor the parameters: compute it with torch "
                "alone, and without torch.no_grad() or detach()"
            )
        return found

    def product(self, leaf: Any, found: Any, cotangent: Any) -> tuple[Any, tuple[Any, ...]]:
        """``cotangent^T`` times the Jacobians of a prediction in its input and in the parameters; the graph is gone."""
        import torch

        self.vjps += 1
        wanted = (leaf, *self.parameters)
        parts = torch.autograd.grad(found, wanted, cotangent, allow_unused=True)
        filled = [torch.zeros_like(w) if part is None else part for w, part in zip(wanted, parts, strict=True)]
        return filled[0], tuple(filled[1:])

    def judged(self, loss: Loss, output: Any) -> tuple[Any, Any]:
        """The loss and its gradient in the output.

        Raises:
            ValueError: the loss is no single number, or does not depend on the output.
        """
        import torch

        leaf = output.detach().requires_grad_()
        with torch.enable_grad():
            value = loss(leaf)
        if not isinstance(value, torch.Tensor) or value.ndim or not value.requires_grad:
            raise ValueError(
                "the loss must be a torch tensor without axes that depends on the sample: such as (x**2).sum()"
            )
        return value.detach(), torch.autograd.grad(value, leaf)[0]

    def zeros(self) -> list[Any]:
        """A gradient of zero for each parameter."""
        import torch

        return [torch.zeros_like(p) for p in self.parameters]

    def result(self, loss: Any, output: Any, starts: dict[int, Any], parameters: Any, returned: Any = None) -> Gradient:
        """The :class:`Gradient` of cotangents ``starts`` of the inputs by register."""
        import torch

        found = [starts.get(r, torch.zeros_like(value)) for r, value in self.given.items()]
        x = tuple(found) if self.several else found[0]
        return Gradient(loss, output.detach(), x, tuple(parameters), returned, self.evaluations, self.vjps)


def pull(
    lines: Iterable[tuple[int, Line]],
    cotangents: dict[int, Any],
    inputs: Iterable[int],
    product: Callable[[int, Eval, Any], Any],
) -> None:
    """Cotangents through lines, from the last to the first: reverse differentiation of a plan, in place.

    ``Lin`` gives ``c`` times its own to each register that it reads, ``Eval`` what ``product(register, line, its own)``
    returns, which is called with None where nothing depends on the evaluation. Those of ``inputs`` are left.
    """
    left = set(inputs)
    for r, line in lines:
        own = None if r in left else cotangents.pop(r, None)
        if isinstance(line, Eval):
            found = product(r, line, own)
            if own is not None:
                _add(cotangents, line.x, found)
        elif isinstance(line, Lin) and own is not None:
            for q, c in line.terms:
                _add(cotangents, q, own * c)


def _add(cotangents: dict[int, Any], r: int, more: Any) -> None:
    cotangents[r] = cotangents[r] + more if r in cotangents else more


def _check_state(x: Any) -> None:
    import torch

    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        kind = f"{x.dtype} tensor" if isinstance(x, torch.Tensor) else type(x).__name__
        raise ValueError(f"x is a {kind}: gradients are taken by torch, so give a floating torch.Tensor")


def _checked(parameters: Iterable[Any]) -> tuple[Any, ...]:
    import torch

    found = tuple(parameters)
    for i, p in enumerate(found):
        if not isinstance(p, torch.Tensor) or not p.requires_grad:
            raise ValueError(f"parameter {i} is no torch tensor that requires a gradient: p.requires_grad_() before")
    return found


def _check_keyed(plan: Plan, draw: Callable[[Noise, Any], Any], x: Any) -> None:
    """Refuse a source whose draw of a line is another one the second time."""
    import torch

    first = next((line for line in plan.lines if isinstance(line, Noise)), None)
    if first is not None and not torch.equal(draw(first, x), draw(first, x)):
        raise ValueError(
            "the noise function gives another draw when an interval is asked for again: use dn.noise.Counter(seed)"
        )
