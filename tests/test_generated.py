"""The generated coefficients are what theory derives, solve their equations as they stand, and no number is idle."""

from functools import cache

import numpy as np
import pytest
import torch

from diffnum.num import extended
from diffnum.solvers import generated
from diffnum.solvers.tables import Table, scaled
from theory.generator import Piece, load, mutants, source, verify
from theory.pieces import GENERATED, derive_pieces, generated_text, unsound

NAMES = sorted(generated.__all__)


@cache
def pieces() -> dict[str, Piece]:
    """Every piece by name, derived where a test asks and not where tests are collected."""
    return {piece.name: piece for piece in derive_pieces()}


def noticed(piece: Piece, text: str) -> bool:
    """Whether the equations fail, or cannot even be evaluated, on a changed text."""
    try:
        module = load(source([Piece(piece.name, text, piece.derivation, piece.check, piece.free)]))
        return not verify(piece, module)
    except (ArithmeticError, ValueError, TypeError, IndexError):
        return True


def test_the_file_holds_what_is_derived():
    assert GENERATED.read_text() == generated_text(list(pieces().values())), "run python -m theory"


def test_every_piece_solves_its_equations():
    assert unsound(list(pieces().values())) == []


def test_every_name_says_where_it_comes_from():
    assert {*generated.__all__} == {*pieces()}
    assert all(piece.derivation.startswith("theory.") and piece.derivation in piece.text for piece in pieces().values())


@pytest.mark.parametrize("name", NAMES[::6])
def test_a_number_raised_by_one_is_noticed(name):
    changed = list(mutants(pieces()[name]))
    assert changed
    for place, text in changed[:: max(1, len(changed) // 8)]:
        assert noticed(pieces()[name], text), place


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_every_number_raised_by_one_is_noticed_or_listed_as_free(name):
    piece = pieces()[name]
    missed = [place for place, text in mutants(piece) if not noticed(piece, text)]
    assert len(missed) <= len(piece.free), missed


def test_a_broken_equation_is_found():
    piece = pieces()["RK4"]
    broken = piece.text.replace("F(1, 3)", "F(1, 4)", 1)
    assert broken != piece.text and noticed(piece, broken)


# --- the kinds of numbers that formulas take ---


def test_floats_are_rounded_exact_values_and_tensors_have_gradients():
    floats = np.array(extended(generated.exponential_adams_3, -0.7, -1.2, -2.9))
    z = torch.tensor([-0.7], dtype=torch.float64, requires_grad=True)
    tensors = torch.stack([*extended(generated.exponential_adams_3, z, -1.2, -2.9)])
    np.testing.assert_allclose(tensors.detach().numpy()[:, 0], floats, rtol=1e-13)
    assert torch.autograd.gradcheck(lambda z: torch.stack([*generated.exponential_adams_3(z, -1.2, -2.9)]), (z,))


def test_a_table_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match="2 weights"):
        Table((0, 1), ((), ()), (1, 1))
    with pytest.raises(ValueError, match="starts at 0"):
        Table((1,), ((),), (1,))


def test_scaling_by_exact_numbers_keeps_every_kind():
    from fractions import Fraction

    third = Fraction(1, 3)
    assert scaled(third, 0.3) == pytest.approx(0.1, rel=1e-15)
    assert torch.equal(scaled(third, torch.tensor(3.0)), torch.tensor(1.0))
    assert scaled(0.5, 3.0) == 1.5
