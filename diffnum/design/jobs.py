"""Independent works in several processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["together"]


def together(works: Sequence[Callable[[], Any]], jobs: int, done: Callable[[int], None]) -> list[Any]:
    """What each work returns, in their order.

    Args:
        works: without arguments.
        jobs: processes.
        done: called with the number of works that have ended.
    """
    from joblib import Parallel, delayed

    found = []
    for made in Parallel(n_jobs=jobs, return_as="generator")(delayed(_alone)(work) for work in works):
        found.append(made)
        done(len(found))
    return found


def _alone(work: Callable[[], Any]) -> Any:
    import torch
    from threadpoolctl import threadpool_limits

    # several processes share the cores, and small matrices gain nothing from threads
    torch.set_num_threads(1)
    with threadpool_limits(1):
        return work()
