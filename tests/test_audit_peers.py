"""Every sampler of azula and of k-diffusion audited: what is found is what is known; skipped where they are not."""

import sys
from contextlib import contextmanager
from functools import cache
from unittest import mock

import pytest
import torch
from peers_authors import azula, folder, k_diffusion, needed, quiet

from diffnum.audit import Case, Sampler, audited, cases
from diffnum.audit.comparing import compared
from diffnum.audit.reproduction import script

needed()

# by the beginning of a name with its settings: the kinds of its faults
FOUND = {
    "azula": {
        # B07
        "REABSampler()": {"scale", "level", "end", "order"},
        "REABSampler(order=1)": {"scale", "level", "end"},
        "REABSampler(order=3)": {"scale", "level", "end", "order", "monotone"},
    },
    "k-diffusion": {
        # a name that is bound in the second step only
        "sample_dpmpp_2m_sde()": {"stopped"},
        "sample_dpmpp_2m_sde(eta=0.0)": {"stopped"},
        "sample_dpmpp_3m_sde()": {"stopped"},
        # B02: without noise it shows the order that is missing
        "sample_dpmpp_3m_sde(eta=0.0)": {"stopped", "order"},
    },
}
ORDERS = {
    "azula": {"vABSampler(order=3)": 3, "zEABSampler(order=3)": 3, "xEABSampler()": 2, "HeunSampler()": 2},
    "k-diffusion": {"sample_heun()": 2, "sample_dpmpp_2m()": 2, "sample_dpmpp_sde()": 2, "sample_lms(order=3)": 3},
}


@contextmanager
def importable(library):
    if library == "azula":
        azula()
        with mock.patch.object(sys, "path", [str(folder("site")), *sys.path]):
            yield
        return
    with k_diffusion():
        yield


@cache
def records(library):
    with importable(library), quiet():
        return {r.key: r for r in compared([audited(one) for one in cases(library)])}


@pytest.mark.parametrize("library", FOUND)
def test_what_is_found_is_what_is_known(library):
    found = {key: {d.kind for d in r.faults} for key, r in records(library).items() if r.faults}
    assert found == FOUND[library]


@pytest.mark.parametrize("library", FOUND)
def test_most_samplers_are_ones_that_are_known(library):
    made = [r for r in records(library).values() if r.status == "audited"]
    known = [r for r in made if r.near and not r.difference]
    # but the faulty ones, and a corrector step of Langevin's
    assert len(made) - len(known) <= 4


@pytest.mark.parametrize("library", FOUND)
def test_orders_are_those_of_the_methods(library):
    for key, order in ORDERS[library].items():
        assert abs(records(library)[key].order.value - order) < 0.25, key


def independent(model, x, sigmas):
    """Its two stages draw anew, as they do without a tree of noise."""
    from k_diffusion.sampling import sample_dpmpp_sde

    return sample_dpmpp_sde(model, x, sigmas, noise_sampler=lambda s, t: torch.randn_like(x), disable=True)


def test_b09_noise_that_is_not_that_of_one_path_costs_an_order():
    with importable("k-diffusion"), quiet():
        made = audited(Case(Sampler("test_audit_peers:independent", "function")))
    assert abs(made.order.value - 1) < 0.25
    assert made.near == "dpmpp_sde_independent"


@pytest.mark.parametrize(
    "library, key, kind",
    [
        ("azula", "REABSampler()", "scale"),
        ("azula", "REABSampler()", "order"),
        ("k-diffusion", "sample_dpmpp_2m_sde()", "stopped"),
    ],
)
def test_a_reproduction_runs_as_it_stands(library, key, kind, capsys):
    made = records(library)[key]
    defect = next(d for d in made.faults if d.kind == kind)
    with importable(library):
        exec(compile(script(made, defect), "page", "exec"), {})
    shown = capsys.readouterr().out
    assert (str(made.order.errors) if kind == "order" else defect.sentence.split(" in step")[0]) in shown
