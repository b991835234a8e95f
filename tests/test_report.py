"""A report shows the numbers it stands on; the laws that stand for images survive the disk and agree."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
import re
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import diffnum as dn
from diffnum.figures import read_numbers
from diffnum.images import Dataset, load, to_images
from diffnum.lab import Surrogate, run_study
from diffnum.lab.pictures import contact_sheet
from diffnum.lab.report import many, number, with_error
from diffnum.plan import PREDICTIONS, Plan
from diffnum.read.distance import gaussian_w2
from diffnum.solvers import ALL
from diffnum.study import rank
from diffnum.targets import Gaussian, Mixture
from diffnum.targets.subspace import Subspace

SUPERSCRIPT = {"⁻": "-", "⁰": "0", "¹": "1", "²": "2", "³": "3", **{chr(0x2070 + d): str(d) for d in range(4, 10)}}


# --- the page against the numbers ---


class Page(HTMLParser):
    """Text, pictures, and whatever a browser would have to fetch."""

    VOID = frozenset({"meta", "img", "br", "col"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.images: list[str] = []
        self.fetched: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self.rows[-1].append("")
        for name, value in attributes:
            if tag == "img" and name == "src":
                self.images.append(value)
            elif name in ("src", "href", "srcset", "data"):
                self.fetched.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if "td" in self.open:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def page(study_folder):
    return Page((study_folder / "report.html").read_text())


@pytest.fixture(scope="module")
def results(study_folder):
    with (study_folder / "results.csv").open() as file:
        return list(csv.DictReader(file))


def test_page_is_well_formed_and_fetches_nothing(page, study_folder):
    assert not page.open and not page.fetched
    assert not re.search(r"@import|url\(|<script|<link", (study_folder / "report.html").read_text())
    assert len(page.images) >= 10
    for source in page.images:
        kind, data = source.split(",")
        assert kind == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(data))).verify()


def test_every_picture_of_the_page_lies_in_the_folder_with_its_numbers(page, study_folder):
    known = {base64.b64encode(p.read_bytes()).decode() for p in (study_folder / "figures").glob("*.png")}
    assert {source.split(",")[1] for source in page.images} == known
    for picture in (study_folder / "figures").glob("*.png"):
        assert picture.with_suffix(".json").exists() or picture.with_suffix(".npy").exists()


@pytest.mark.parametrize("by", ["w2", "path"])
def test_winners_of_the_page_and_of_the_record_are_the_least_of_the_table(by, page, study_folder, results):
    winners = json.loads((study_folder / "study.json").read_text())["winners"][by]
    assert [w["budget"] for w in winners] == [3, 6]
    for winner in winners:
        rows = [row for row in results if row["budget"] == str(winner["budget"]) and row[by] != "nan"]
        least = min(rows, key=lambda row: float(row[by]))
        assert float(least[by]) == winner[by]
        shown = [str(winner["budget"]), winner["sampler"], winner["grid"], winner["end"], str(winner["nfe"])]
        error = number(winner["w2"]) if by == "w2" else with_error(winner["path"], winner["path_se"])
        assert any(row[:6] == [*shown, error] for row in page.rows)


def test_w2_of_a_saved_plan_on_the_saved_gaussian_is_the_number_in_the_table(study_folder, results):
    surrogate = Surrogate.load(study_folder / "surrogate.npz")
    saved = [row for row in results if row["plan"]]
    assert len(saved) > 20
    for row in saved:
        plan = Plan.load(study_folder / row["plan"])
        assert (plan.solver, plan.end, plan.nfe) == (row["sampler"], row["end"], int(row["nfe"]))
        assert dn.w2(plan, surrogate.gaussian, at="data", init="prior") == pytest.approx(float(row["w2"]), rel=1e-9)


def test_each_samplers_saved_plan_is_its_best_by_path_or_where_it_draws_noise_by_w2(study_folder, results):
    kinds = set()
    for row in results:
        if row["plan"] and re.fullmatch(r"plans/\d+-\w+\.json", row["plan"]):
            by = "w2" if row["path"] == "nan" else "path"
            rivals = [r for r in results if (r["budget"], r["sampler"]) == (row["budget"], row["sampler"])]
            assert float(row[by]) == min(float(r[by]) for r in rivals)
            kinds.add(by)
    assert kinds == {"w2", "path"}


def test_squares_of_the_error_per_direction_add_up_to_that_of_w2(study_folder):
    numbers = read_numbers(study_folder / "figures" / "modes.json")
    winners = json.loads((study_folder / "study.json").read_text())["winners"]["w2"]
    for winner in winners:
        # a plan that wins at several budgets has one curve
        names = {n: re.findall(r"\d+", n.split(" at ")[1]) for n in numbers if n.startswith(f"{winner['sampler']} at ")}
        (curve,) = [numbers[name] for name, budgets in names.items() if str(winner["budget"]) in budgets]
        assert math.sqrt((curve**2).sum()) == pytest.approx(winner["w2"], rel=1e-9)


def test_spread_is_the_w2_of_a_sampler_that_returns_the_mean(study_folder):
    surrogate = Surrogate.load(study_folder / "surrogate.npz")
    mean, variances = surrogate.gaussian.eigen()
    assert gaussian_w2(mean, 0 * variances, mean, variances) == pytest.approx(surrogate.spread, rel=1e-12)


def test_names_from_outside_are_text_on_the_page(tmp_path, monkeypatch):
    from rich.console import Console

    folder = tmp_path / "<b>&amp; [bold]friends"
    folder.mkdir()
    for k, image in enumerate(load("digits", size=3, limit=30).data):
        Image.fromarray(to_images(image, (3, 3))[0]).save(folder / f"{k}.png")
    two = [ALL["ddim"], ALL["ddpm_ancestral"]]
    monkeypatch.setattr("diffnum.lab.study.rank", lambda *args, **options: rank(*args, **options, samplers=two))
    printed = io.StringIO()
    out = tmp_path / "[red]out"
    run_study(folder, (2,), out, components=2, console=Console(file=printed, width=100))
    page = Page((out / "report.html").read_text())
    assert "Samplers for <b>&amp; [bold]friends" in page.text
    for stage in ("reading", "fitting", "ranking", "writing", "Closest law", "Closest path", str(out / "report.html")):
        assert stage in printed.getvalue()


def test_template_travels_with_the_package():
    assert files("diffnum.lab").joinpath("report.html.j2").is_file()


# --- numbers as people read them ---


@given(st.floats(1e-12, 1e12), st.integers(1, 6), st.booleans())
def test_a_written_number_reads_back_to_its_digits(value, digits, negative):
    value = -value if negative else value
    text = number(value, digits).replace("−", "-")
    if "×10" in text:
        mantissa, power = text.split("×10")
        text = f"{mantissa}e{''.join(SUPERSCRIPT[c] for c in power)}"
    assert float(text) == float(f"{value:.{digits - 1}e}")
    assert len(text) <= digits + 8


def test_numbers_without_digits_have_signs_of_their_own():
    assert [number(x) for x in (0.0, math.nan, math.inf, -math.inf)] == ["0", "–", "∞", "−∞"]


def test_lists_read_as_sentences():
    assert [many(x) for x in ([], [5], [5, 8], [5, 8, 10])] == ["", "5", "5 and 8", "5, 8 and 10"]


# --- images ---


@pytest.mark.parametrize("c", [1, 3])
def test_a_contact_sheet_shows_the_images_in_reading_order(c):
    x = np.random.default_rng(0).uniform(-1, 1, (5, 6 * 6 * c))
    sheet = np.asarray(contact_sheet(x, (6, 6, c), columns=3, width=18))
    assert sheet.shape[:2] == (2 * 6 + 2, 3 * 6 + 2 * 2)
    for k, image in enumerate(to_images(x, (6, 6, c))):
        top, left = k // 3 * 8, k % 3 * 8
        np.testing.assert_array_equal(sheet[top : top + 6, left : left + 6].reshape(6, 6, c), image)
    assert (sheet[8:14, 16:] == 255).all()


def test_enlarging_a_contact_sheet_keeps_flat_images_flat():
    x = np.array([[-1.0] * 4, [0.2] * 4])
    sheet = np.asarray(contact_sheet(x, (2, 2, 1), columns=2, width=400))
    assert {*np.unique(sheet)} == {0, 153, 255}


# --- the laws that stand for images ---


def images(n: int, side: int, seed: int = 0) -> Dataset:
    """Smooth random pictures."""
    rng = np.random.default_rng(seed)
    rough = rng.normal(size=(n, side, side)).cumsum(1).cumsum(2)
    data = rough.reshape(n, -1)
    return Dataset(data / np.abs(data).max(), (side, side, 1), "walks")


@pytest.mark.parametrize("side", [4, 17], ids=["mixture", "subspace"])
def test_a_surrogate_survives_the_disk(side, tmp_path):
    made = Surrogate.fit(images(120, side), components=3)
    made.save(tmp_path / "s.npz")
    read = Surrogate.load(tmp_path / "s.npz")
    assert isinstance(made.mixture, Subspace) == (side**2 > 256)
    assert (read.name, read.shape, read.spread) == (made.name, made.shape, made.spread)
    level = dn.VP().level(0.4)
    x = made.mixture.sample(5, 0, level)
    for law in ("gaussian", "mixture"):
        first, second = (getattr(s, law).denoise(x, level) for s in (made, read))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "text", "other archive"])
def test_a_damaged_surrogate_is_refused_by_its_name(content, tmp_path):
    path = Path(tmp_path / "surrogate.npz")
    if content is None:
        np.savez(path, schema=1, weights=np.ones(3))
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"surrogate\.npz is not the surrogate of a study"):
        Surrogate.load(path)


def test_images_too_large_and_components_too_many_are_refused():
    large = Dataset(np.random.default_rng(0).uniform(-1, 1, (3, 120 * 120)), (120, 120, 1), "large")
    with pytest.raises(ValueError, match="--size"):
        Surrogate.fit(large, components=1)
    with pytest.raises(ValueError, match="1 to 20"):
        Surrogate.fit(images(20, 4), components=21)


@pytest.fixture(scope="module")
def pair():
    """One law twice: a mixture in three of seven directions, and the same with low-rank covariances."""
    rng = np.random.default_rng(1)
    d, r, rest = 7, 3, 0.05
    mean, basis = rng.normal(size=d), np.linalg.qr(rng.normal(size=(d, r)))[0]
    roots = 0.5 * rng.normal(size=(2, r, r)) + np.eye(r)
    inner = Mixture(np.array([0.3, 0.7]), rng.normal(size=(2, r)), roots @ roots.swapaxes(1, 2))
    full = basis @ (roots @ roots.swapaxes(1, 2)) @ basis.T + rest * (np.eye(d) - basis @ basis.T)
    return Subspace(mean, basis, inner, rest), Mixture(inner.weights, mean + inner.means @ basis.T, full)


LEVELS = [dn.VP().level(0.02), dn.VP().level(0.5), dn.VP().level(1.0), dn.Flow().level(1.0), dn.EDM().level(40.0)]


@pytest.mark.parametrize("quantity", PREDICTIONS)
@pytest.mark.parametrize("level", LEVELS, ids=["VP 0.02", "VP 0.5", "VP 1", "pure noise", "EDM 40"])
def test_subspace_predicts_what_the_full_mixture_predicts(pair, level, quantity):
    thin, full = pair
    x = full.sample(20, 0, level)
    np.testing.assert_allclose(thin.predict(x, level, quantity), full.predict(x, level, quantity), rtol=1e-9, atol=1e-9)


def test_subspace_flows_where_the_full_mixture_flows(pair):
    thin, full = pair
    s, t = dn.VP().level(1.0), dn.VP().level(0.05)
    x = full.sample(8, 0, s)
    there = thin.flow(x, s, t, tol=1e-8)
    np.testing.assert_allclose(there, full.flow(x, s, t, tol=1e-8), rtol=0, atol=1e-6)
    np.testing.assert_allclose(thin.flow(there, t, s, tol=1e-8), x, rtol=0, atol=1e-5)


def test_samples_of_a_subspace_have_its_moments(pair):
    thin, full = pair
    n = 40_000
    x = thin.sample(n, 0)
    mean = full.weights @ full.means
    # at pure noise the posterior is the data law
    cov = full.posterior_cov(np.zeros((1, 7)), dn.Flow().level(1.0))[0]
    spread = np.sqrt(np.diag(cov))
    assert (np.abs(x.mean(0) - mean) < 5 * spread / math.sqrt(n)).all()
    error = np.abs(np.cov(x.T) - cov)
    assert (error < 8 * np.outer(spread, spread) / math.sqrt(n)).all()


def test_subspace_refuses_shapes_that_do_not_fit(pair):
    thin, _ = pair
    with pytest.raises(ValueError, match=r"\(7, 3\)"):
        Subspace(thin.mean, thin.basis[:, :2], thin.inner, 0.1)
    with pytest.raises(ValueError, match="rest = 0"):
        Subspace(thin.mean, thin.basis, thin.inner, 0.0)


def test_gaussian_and_mixture_of_one_component_agree_but_for_their_shrinkage():
    data = images(400, 4)
    one = Surrogate.fit(data, components=1)
    assert isinstance(one.gaussian, Gaussian)
    np.testing.assert_allclose(one.mixture.means[0], one.gaussian.mean, rtol=1e-9, atol=1e-12)


def test_an_error_bar_decides_the_digits():
    assert with_error(0.04688, 0.0079) == "0.047 ± 0.008"
    assert with_error(12.345, 3.2) == "12 ± 3"
    assert with_error(3.1e-9, 2e-10) == "3.10×10⁻⁹ ± 2×10⁻¹⁰"
    assert with_error(0.5, 0.0) == number(0.5) and with_error(math.nan, math.nan) == "–"
