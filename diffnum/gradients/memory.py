"""How much memory a computation holds at its peak, counted tensor by tensor."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["peak_bytes"]


def peak_bytes(run: Callable[[], Any]) -> tuple[Any, int]:
    """``run()``, and the most bytes that tensors made in it held at one time, on all devices.

    Every operation of torch is watched, those of backward passes included, and every storage until it is freed, so
    states that a method stores and what graphs save count alike, and two views of one storage once. What was there
    before, such as weights, does not count. Workspaces inside an operation are not seen.
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils._pytree import tree_leaves

    alive: set[int] = set()
    now = peak = 0

    def freed(key: int, size: int) -> None:
        nonlocal now
        alive.discard(key)
        now -= size

    def seen(tensor: Any) -> None:
        nonlocal now, peak
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in alive:
            return
        alive.add(key)
        now += size
        peak = max(peak, now)
        weakref.finalize(storage, freed, key, size)

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            found = func(*args, **(kwargs or {}))
            for leaf in tree_leaves(found):
                if isinstance(leaf, torch.Tensor):
                    seen(leaf)
            return found

    with Watch():
        result = run()
    return result, peak
