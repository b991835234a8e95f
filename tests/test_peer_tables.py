"""The Runge-Kutta tables of RES4LYF: which are what they are named after, and which entries are not."""

from __future__ import annotations

import math

import pytest
from peers_authors import needed, tables_of_res4lyf

from diffnum.tables import RungeKutta, audit

needed()

# orders in their names, or of the method that they are named after
ORDERS = {
    "bogacki-shampine_4s": 3,
    "bogacki-shampine_7s": 5,
    "dormand-prince_6s": 5,
    "dormand-prince_13s": 8,
    "rk4_4s": 4,
    "rk38_4s": 4,
    "rk6_7s": 6,
    "ralston_4s": 4,
    "tsi_7s": 5,
    "houwen-wray_3s": 3,
    "crouzeix_3s": 4,
    "gauss-legendre_3s": 6,
    "radau_iia_3s": 5,
}


def table(name):
    return RungeKutta(*tables_of_res4lyf()[name], name=name)


@pytest.mark.parametrize("name", ORDERS)
def test_tables_with_the_order_of_their_name(name):
    said = audit(table(name), ORDERS[name])
    assert (said.order, said.verdict, said.slips) == (ORDERS[name], "holds", ())


def test_two_signs_of_dormand_and_prince_cost_four_orders():
    said = audit(table("rk5_7s"), 5)
    assert said.order == 1 and said.verdict == "fails"
    assert {(s.where, s.proposed) for s in said.slips} == {("a_54", "-212/729"), ("a_61", "9017/3168")}
    # and its weights are those of order four
    assert {s.order for s in said.slips} == {4}
    assert said.known[0].name == "DORMAND_PRINCE5_EMBEDDED" and len(said.known[0].differs) == 2


def test_a_table_of_nodes_alone():
    said = audit(table("verner_13s"))
    assert said.order == 0 and said.finding("weights").residuals == (-1.0,)
    assert said.finding("shape").verdict == "fails"


def test_one_entry_ten_times_too_large_costs_five_orders():
    wrong = table("verner_robust_16s")
    said = audit(wrong, 9)
    assert said.order == 4 and said.verdict == "fails"
    (slip,) = said.slips
    assert (slip.where, slip.order) == ("a_6,5", 9)
    assert float(wrong.A[5][4].mid) / float(slip.proposed) == pytest.approx(10, abs=1e-9)
    assert math.isclose(float(slip.proposed), 0.00070229612707574675, rel_tol=1e-11)
