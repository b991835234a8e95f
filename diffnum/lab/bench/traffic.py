"""What a piece of code does to full-size tensors, counted operation by operation: kernels, bytes, storages, reads.

Every ATen operation is seen by a dispatch mode of torch. With ``n`` the number of elements of the state, a tensor is
*full size* if it has at least ``n`` distinct elements; broadcast axes (stride 0) count once. A *block* is a view of at
least 1024 elements of a full-size storage. Other memory is taken to stay in the cache. Then

- a *kernel* is an operation that reads or writes a full-size tensor; one on blocks counts as the part of the state that
  the largest of them is; views and allocations are none;
- *bytes read* are those of its distinct inputs that are full size or blocks, *bytes written* those of such outputs; a
  tensor that is changed in place is read and written, one that is only overwritten (``out=``, ``copy_``) is written;
- *scalar work* is an operation on tensors of fewer than 1024 elements, and fewer than ``n``; views are included, since
  each is a dispatch;
- a *host read* is an operation that gives a number of a tensor to Python or makes a shape of its values (``.item()``,
  ``float(t)``, ``if t``, ``t[mask]``): on a GPU each of them waits for all that was asked before;
- *extra memory* is the sum of all storages made since the start that are alive, its largest value the peak.

A region compiled by torch is one operation: it reads the inputs that its graph uses, and writes those that its graph
changes and what it returns, each once; what is between stays in registers. It counts as the kernels that the compiler
made of it, :func:`compiled_regions`. Without that torch runs the uncompiled code under a dispatch mode.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Counts", "Traffic", "compiled_regions", "footprint"]

# reading the shape and dtype of a tensor is not reading the tensor
METADATA = ("_like", "new_zeros", "new_ones", "new_full")
ALLOCATIONS = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted")
OVERWRITING = ("copy_", "fill_", "zero_", "normal_", "uniform_", "random_", "bernoulli_", "exponential_")
# elements from which a tensor is no scalar work, and a view of a full-size storage a block of it
BLOCK = 1024
READS = ("_local_scalar_dense", "equal", "is_nonzero", "masked_select", "nonzero", "unique_dim", "_unique2")


@dataclass
class Counts:
    """Sums over operations; see the module for what each of them is.

    Attributes:
        kernels: operations on full-size tensors, those on blocks in parts.
        read, written: bytes of full-size tensors.
        scalar: operations on small tensors only.
        host: numbers given to Python.
    """

    kernels: float = 0
    read: int = 0
    written: int = 0
    scalar: int = 0
    host: int = 0

    @property
    def moved(self) -> int:
        """Bytes read and written."""
        return self.read + self.written

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class Traffic(TorchDispatchMode):
    """Counts while it is entered; :meth:`mark` cuts the count into pieces.

    Args:
        full: number of elements from which a tensor is full size, that of the state.

    Attributes:
        pieces: one :class:`Counts` before the first mark, between two, and after the last.
        alive, peak: bytes of the storages made here: now, and at most.
        regions: compiled regions that were run.

    Raises:
        ValueError: ``full`` below 2, which would make every number a full-size tensor.
    """

    supports_higher_order_operators = True

    def __init__(self, full: int) -> None:
        super().__init__()
        if full < 2:
            raise ValueError(f"full = {full!r} makes every number a full-size tensor: give the elements of a state")
        self.full = full
        self.pieces = [Counts()]
        self.alive = self.peak = 0
        self.regions: set[int] = set()
        self._known: dict[int, weakref.ref[Any]] = {}
        self._paused = False

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Compiled code stays compiled under this mode."""
        return True

    @property
    def total(self) -> Counts:
        """All pieces together."""
        return sum(self.pieces, Counts())

    def mark(self) -> None:
        """Begin another piece."""
        self.pieces.append(Counts())

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Operations inside are not counted; their storages are, as what a network returns."""
        before, self._paused = self._paused, True
        try:
            yield
        finally:
            self._paused = before

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = {id(t.untyped_storage()): t.untyped_storage() for t in _tensors((args, kwargs))}
        region = not hasattr(func, "_schema")
        roles = _region_roles(args) if region else None
        result = func(*args, **kwargs)
        for tensor in _tensors(result):
            self._own(tensor.untyped_storage(), given)
        if self._paused:
            return result
        if roles is None:
            self._count(func, args, kwargs, result)
        else:
            self.regions.add(args[0].idx)
            self._add(roles[0], [*roles[1], *_tensors(result)])
        return result

    def _add(self, read: Sequence[torch.Tensor], written: Sequence[torch.Tensor]) -> bool:
        now, read, written = self.pieces[-1], self._full_size(read), self._full_size(written)
        if not read and not written:
            return False
        now.kernels += min(1.0, max(t.numel() for t in (*read, *written)) / self.full)
        now.read += sum(map(footprint, read))
        now.written += sum(map(footprint, written))
        return True

    def _count(self, func: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> None:
        now, name = self.pieces[-1], func._schema.name.removeprefix("aten::")
        now.host += name in READS
        if name in ALLOCATIONS:
            return
        if _is_view(func):
            now.scalar += all(self._is_small(t) for t in _tensors((args, kwargs)))
            return
        if not self._add(*_roles(func, args, kwargs, result)):
            now.scalar += all(self._is_small(t) for t in (*_tensors((args, kwargs)), *_tensors(result)))

    def _is_small(self, tensor: torch.Tensor) -> bool:
        return tensor.numel() < min(BLOCK, self.full)

    def _full_size(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        distinct = {(t.data_ptr(), t.dtype, tuple(t.shape), t.stride()): t for t in tensors}
        return [t for t in distinct.values() if self._is_full(t)]

    def _is_full(self, tensor: torch.Tensor) -> bool:
        size = self.full * tensor.element_size()
        block = BLOCK * tensor.element_size()
        own = footprint(tensor)
        return own >= size or (own >= block and tensor.untyped_storage().nbytes() >= size)

    def _own(self, storage: Any, given: dict[int, Any]) -> None:
        key = id(storage)
        if key in given or key in self._known:
            return
        size = storage.nbytes()
        self._known[key] = weakref.ref(storage, lambda _: self._free(key, size))
        self.alive += size
        self.peak = max(self.peak, self.alive)

    def _free(self, key: int, size: int) -> None:
        del self._known[key]
        self.alive -= size


def footprint(tensor: torch.Tensor) -> int:
    """Bytes of the distinct elements of ``tensor``: an axis of stride 0 counts once."""
    elements = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        elements *= size if stride or size == 0 else 1
    return elements * tensor.element_size()


def _roles(func: Any, args: Sequence[Any], kwargs: dict[str, Any], result: Any) -> tuple[list[Any], list[Any]]:
    # the schema says which arguments are written; outputs, given by keyword only, and what is overwritten are not read
    read: list[Any] = []
    written: list[Any] = []
    name = func._schema.name.removeprefix("aten::")
    for i, argument in enumerate(func._schema.arguments):
        value = args[i] if i < len(args) else kwargs.get(argument.name)
        changed = argument.alias_info is not None and argument.alias_info.is_write
        if changed:
            written += _tensors(value)
        if not (changed and (argument.kwarg_only or name in OVERWRITING)) and not name.endswith(METADATA):
            read += _tensors(value)
    made = [r.alias_info is None for r in func._schema.returns]
    values = result if isinstance(result, (tuple, list)) and len(made) > 1 else [result]
    for fresh, value in zip(made, values, strict=False):
        written += _tensors(value) if fresh else []
    return read, written


def _region_roles(args: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    # the graph is functional, but for copies into its inputs at the end
    region, inputs = args[0], list(args[1])
    nodes = [node for node in region.original_gm.graph.nodes if node.op == "placeholder"]
    read: list[Any] = []
    written: list[Any] = []
    for node, value in zip(nodes, inputs, strict=True):
        copies = [u for u in node.users if u.target is torch.ops.aten.copy_.default and u.args[0] is node]
        written += _tensors(value) if copies else []
        read += _tensors(value) if len(copies) < len(node.users) or any(u.args[1] is node for u in copies) else []
    return read, written


@contextmanager
def compiled_regions() -> Iterator[Any]:
    """Inside, what is compiled can be counted, at the price of some time for each call; all is compiled again.

    Gives ``made()``, the number of kernels that the compiler has made since; None where this torch cannot do it.
    """
    # private, and new in torch 2.10
    import torch._inductor.config as config
    from torch._inductor import metrics

    if not hasattr(config, "wrap_inductor_compiled_regions"):
        yield None
        return
    torch.compiler.reset()
    metrics.reset()
    with config.patch(wrap_inductor_compiled_regions=True):
        yield lambda: metrics.generated_kernel_count
    torch.compiler.reset()


def _is_view(func: Any) -> bool:
    return any(r.alias_info is not None and not r.alias_info.is_write for r in func._schema.returns)


def _tensors(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for entry in value for t in _tensors(entry)] if isinstance(value, (tuple, list)) else []
