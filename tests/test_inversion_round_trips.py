"""Round trips of multistep methods, on alternating steps, and of claims that are not so."""

from __future__ import annotations

from dataclasses import replace

import pytest

import diffnum as dn
from diffnum.inversion import round_trip
from diffnum.solvers import ALL, ddim, dpmpp_2m

PROCESS = dn.VP()


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("dpmpp_2m", 2),
        *(
            pytest.param(name, order, marks=pytest.mark.full)
            for name, order in {
                "dpmpp_3m": 2,
                "dpmpp_3m_corrected": 2,
                "unipc_2": 3,
                "unipc_3": 3,
                "ipndm_2": 2,
                "ipndm_4": 2,
                "deis_tab_2": 2,
                "ab2": 2,
            }.items()
        ),
    ],
)
def test_the_start_up_of_multistep_methods_does_not_cancel_on_the_way_back(name, order):
    found = round_trip(ALL[name], PROCESS, counts=(16, 32, 64))
    assert found.predicted == found.order == order
    assert found.holds, str(found)


def test_a_step_and_its_own_step_back_are_of_one_length_on_every_grid():
    found = round_trip(ALL["dpmpp_2s"], PROCESS, counts=(16, 32, 64, 128))
    assert {(s.grid, s.start) for s in found.slopes} == {
        ("uniform", "from noise and back"),
        ("uniform", "from data and back"),
        ("alternating", "from noise and back"),
    }
    assert found.predicted == 3 and found.holds, str(found)


@pytest.mark.parametrize("sampler", [replace(ddim, order=2, cold=2), replace(dpmpp_2m, order=3, cold=3)])
def test_a_claim_that_is_not_so_is_noticed(sampler):
    found = round_trip(sampler, PROCESS, counts=(16, 32, 64))
    assert found.predicted == 3 and not found.holds


def test_another_way_back_predicts_nothing():
    found = round_trip(ALL["heun"], PROCESS, ddim, counts=(16, 32, 64))
    assert found.predicted is None and not found.holds
    assert not found.cold and {s.grid for s in found.slopes} == {"uniform"}


def test_it_prints_what_the_start_up_leaves():
    lines = str(round_trip(dpmpp_2m, PROCESS, counts=(16, 32, 64))).splitlines()
    assert lines[0] == "dpmpp_2m, inverted by dpmpp_2m: round trip of order 2.00"
    assert sum(line.startswith("  start-up   h^2 is 100% of the error") for line in lines) == 2
