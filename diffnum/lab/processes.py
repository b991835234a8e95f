"""Processes that work on one thing together, as ``torchrun`` or ``accelerate launch`` started them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

__all__ = ["ALONE", "Processes", "launched"]

# gloo gives up on whoever is later than this; a process that died is noticed at once
_LATEST = timedelta(days=7)


@dataclass(frozen=True)
class Processes:
    """This process among others.

    Attributes:
        rank: its number, from 0.
        count: how many there are.
        local: its number on this machine.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    def device(self, asked: str) -> str:
        """The device of this process: of ``"cuda"`` one for each process of a machine.

        Raises:
            ValueError: another word than ``"cpu"``, ``"cuda"`` or ``"cuda:0"``, say; no CUDA device, or too few.
        """
        import torch

        words = re.fullmatch(r"cpu|cuda(?::([0-9]{1,4}))?", asked)
        if words is None:
            raise ValueError(f"--device {asked!r} is no device that networks run on: use cpu or cuda")
        if asked == "cpu":
            return asked
        found = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if self.local >= found:
            raise ValueError(
                f"process {self.local} on this machine finds {found} CUDA devices: start fewer processes, or use "
                "--device cpu"
            )
        if words[1] is not None and int(words[1]) >= found:
            raise ValueError(f"--device {asked} is beyond the {found} CUDA devices here: use one below cuda:{found}")
        return asked if words[1] is not None else f"cuda:{self.local}"

    def wait(self) -> None:
        """Go on when all have come so far."""
        if self.count > 1:
            import torch.distributed

            torch.distributed.barrier()


ALONE = Processes()


@contextmanager
def launched() -> Iterator[Processes]:
    """The processes of this run, by the variables of torch's launcher; one alone without them.

    They wait for each other through gloo, on any device, and exchange nothing else.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield ALONE
        return
    import torch.distributed

    torch.distributed.init_process_group("gloo", timeout=_LATEST)
    try:
        yield Processes(torch.distributed.get_rank(), count, int(os.environ.get("LOCAL_RANK", "0")))
    finally:
        torch.distributed.destroy_process_group()
