"""Sets of images: dequantisation against its inverse, divisions that share nothing, photographs that stay apart."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import kstest

from diffnum.images import PHOTOGRAPHS, Dataset, dequantised, divided, from_hub, load, patches, resized
from diffnum.images.hub import of_columns


def greys(n: int, levels: int, seed: int = 0, labels: np.ndarray | None = None) -> Dataset:
    k = np.random.default_rng(seed).integers(0, levels, (n, 12))
    return Dataset(2 * k / (levels - 1) - 1, (2, 2, 3), "greys", labels)


@settings(deadline=None, max_examples=20)
@given(st.integers(2, 300), st.integers(0, 99))
def test_rounding_down_undoes_dequantisation(levels, seed):
    data = greys(5, levels, seed)
    noisy = dequantised(data, levels, seed)
    cells = np.floor((noisy.data + 1) * levels / 2)
    np.testing.assert_allclose(2 * cells / (levels - 1) - 1, data.data, atol=1e-12)
    assert not np.array_equal(noisy.data, data.data)


def test_dequantised_values_are_uniform_in_their_cells():
    data = dequantised(load("digits"), 17, seed=3)
    inside = ((data.data + 1) * 17 / 2) % 1
    assert kstest(inside.ravel()[::7], "uniform").pvalue > 1e-3


def test_dequantisation_is_seeded():
    digits = load("digits", limit=10)
    same, again, other = (dequantised(digits, 17, seed).data for seed in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    assert not np.array_equal(same, other)


@pytest.mark.parametrize("data, levels", [(load("digits", limit=4), 256), (load("digits", 16, limit=4), 17)])
def test_dequantisation_refuses_values_that_are_no_such_greys(data, levels):
    with pytest.raises(ValueError, match=f"not made of {levels} greys"):
        dequantised(data, levels)


@pytest.mark.parametrize("size", [16, 32, (8, 16)])
def test_resized_digits_are_those_loaded_at_that_size(size):
    np.testing.assert_array_equal(resized(load("digits", limit=20), size).data, load("digits", size, limit=20).data)


@settings(deadline=None, max_examples=20)
@given(st.integers(4, 60), st.integers(0, 9), st.data())
def test_division_is_a_partition_that_only_the_seed_decides(n, seed, data):
    whole = Dataset(np.linspace(-1, 1, n)[:, None], (1, 1, 1), "numbered")
    count = data.draw(st.integers(2, n - 2))
    one, two = divided(whole, count, seed)
    assert len(two) == count
    assert sorted([*one.data[:, 0], *two.data[:, 0]]) == sorted(whole.data[:, 0])
    np.testing.assert_array_equal(divided(whole, count, seed)[1].data, two.data)


def test_division_holds_out_the_same_share_of_every_class():
    digits = load("digits")
    rest, held_out = divided(digits, 0.1, seed=5)
    whole, part = np.bincount(digits.labels), np.bincount(held_out.labels)
    assert np.all(np.abs(part - 0.1 * whole) < 1)
    np.testing.assert_array_equal(np.bincount(rest.labels) + part, whole)


@pytest.mark.parametrize("held_out", [0, 1, 0.01, 29, 30])
def test_division_refuses_to_leave_a_side_empty(held_out):
    with pytest.raises(ValueError, match="hold out 2 to 28"):
        divided(greys(30, 5), held_out)


@pytest.fixture(scope="module")
def cut() -> tuple[Dataset, Dataset]:
    pytest.importorskip("skimage")
    return patches(32, 40, held_out=("coffee", "china"), scale=2, seed=1)


def test_patches_come_from_the_photographs_of_their_side(cut):
    import skimage.data

    _, held_out = cut
    assert held_out.shape == (32, 32, 3) and len(held_out) == 10
    coffee = skimage.data.coffee().reshape(200, 2, 300, 2, 3).mean(axis=(1, 3))
    from sklearn.datasets import load_sample_image

    china = np.asarray(load_sample_image("china.jpg"))[:426].reshape(213, 2, 320, 2, 3).mean(axis=(1, 3))
    windows = [np.lib.stride_tricks.sliding_window_view(p[..., 0], (32, 32)) for p in (coffee, china)]
    for patch in held_out.data.reshape(-1, 32, 32, 3)[:4]:
        red = (patch[..., 0] + 1) * 127.5
        corners = [[w[..., 0, 0], w[..., 31, 31], w[..., 0, 31]] for w in windows]
        for side in (red, red[:, ::-1]):
            wanted = (side[0, 0], side[31, 31], side[0, 31])
            if any(
                np.any(np.all([np.isclose(c, v) for c, v in zip(cs, wanted, strict=True)], axis=0)) for cs in corners
            ):
                break
        else:
            pytest.fail("a patch of neither photograph")


def test_no_photograph_is_on_both_sides(cut):
    training, held_out = (set(data.name.removeprefix("patches of ").split(", ")) for data in cut)
    assert not training & held_out and training | held_out == set(PHOTOGRAPHS)


def test_patches_are_seeded(cut):
    again = patches(32, 40, held_out=("coffee", "china"), scale=2, seed=1)
    for one, two in zip(cut, again, strict=True):
        np.testing.assert_array_equal(one.data, two.data)
    assert not np.array_equal(cut[0].data[:10], cut[1].data)


@pytest.mark.parametrize("held_out", [(), ("mona_lisa",), PHOTOGRAPHS])
def test_patches_refuse_a_division_that_is_none(held_out):
    with pytest.raises(ValueError, match="no proper part of the photographs"):
        patches(held_out=held_out)


@pytest.mark.full
def test_patches_refuse_a_size_beyond_the_photograph():
    pytest.importorskip("skimage")
    with pytest.raises(ValueError, match="use a smaller scale"):
        patches(300, 4, held_out=("coffee",), scale=2)


# --- the hub, without it ---


class Table(list):
    def __init__(self, rows, **kinds):
        super().__init__(rows)
        self.features = {column: type(kind, (), {})() for column, kind in kinds.items()}


def rows(n: int, mode: str = "RGB", side: int = 6) -> list[dict]:
    rng = np.random.default_rng(0)
    made = [Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).convert(mode) for _ in range(n)]
    return [{"what": "text", "picture": image, "kind": i % 3} for i, image in enumerate(made)]


KINDS = {"what": "Value", "picture": "Image", "kind": "ClassLabel"}


def test_a_table_of_the_hub_gives_its_pixels_and_classes():
    table = Table(rows(5), **KINDS)
    data = of_columns(table, "some/set")
    expected = np.stack([np.asarray(row["picture"]) for row in table]) / 127.5 - 1
    np.testing.assert_array_equal(data.data, expected.reshape(5, -1))
    np.testing.assert_array_equal(data.labels, [0, 1, 2, 0, 1])
    assert of_columns(Table(rows(5, "L"), **KINDS), "grey", size=4, limit=3).shape == (4, 4, 1)


@pytest.mark.parametrize(
    "table, message",
    [
        (Table(rows(3), what="Value", kind="ClassLabel"), "none of images"),
        (Table(rows(1), **KINDS), "gives 1 image:"),
        (Table(rows(2) + rows(1, side=5), **KINDS), "give size="),
        (Table(rows(2) + rows(1, "L"), **KINDS), "one kind of colour"),
    ],
)
def test_a_table_that_is_no_set_of_images_is_refused(table, message):
    with pytest.raises(ValueError, match=message):
        of_columns(table, "some/set")


def test_the_hub_needs_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match="pip install datasets"):
        from_hub("ylecun/mnist")


def test_the_hub_is_asked_by_id_and_split(monkeypatch):
    asked = []

    def load_dataset(*args, **options):
        asked.append((args, options))
        return Table(rows(4), **KINDS)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    assert len(from_hub("some/set", "test", revision="main", limit=2)) == 2
    assert asked == [(("some/set",), {"split": "test", "revision": "main"})]


def test_load_reads_a_set_of_the_hub_like_any_other_source(monkeypatch):
    asked = []

    def load_dataset(name, split):
        asked.append((name, split))
        return Table(rows(9, "L", side=8), **KINDS)

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    whole, test = load("hub:ylecun/mnist"), load("hub:ylecun/mnist:test", size=(4, 6), limit=3)
    assert asked == [("ylecun/mnist", "train"), ("ylecun/mnist", "test")]
    assert (whole.shape, len(whole), whole.name) == ((8, 8, 1), 9, "ylecun/mnist")
    assert test.shape == (4, 6, 1)
    np.testing.assert_array_equal(test.labels, whole.labels[[0, 3, 6]])


def test_a_set_that_the_hub_does_not_give_is_refused(monkeypatch):
    def load_dataset(name, split):
        raise FileNotFoundError(f"Dataset '{name}' doesn't exist on the Hub or cannot be accessed.\nmore")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(ValueError, match=r"no/where was not loaded from the hub \(Dataset .*\): check its id"):
        load("hub:no/where")
