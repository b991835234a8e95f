"""The table of what designs gain: what is written is what is read, kept and shown; verdicts are those of a design."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import diffnum as dn
from diffnum.design import verdicts
from diffnum.lab import gains
from diffnum.lab.bench.results import read, write
from diffnum.lab.gains import CASES, Case, Gain, designed, main, markdown, on_laws, on_network, read_table
from diffnum.solvers import ALL, ddim, dpmpp_2m, ipndm_3

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "tests" / "benchmarks" / "gains.csv"
FEW = [ddim, dpmpp_2m, ipndm_3]
LAWS = ("held-out points", "held-out mixture", "steeper spectrum")
NETWORK = ("network", "network, by laws", "network, refined")
PLAIN, GUIDED = Case("patches8", "VP", 5), Case("digits", "VP", 8, 3.0)


def lines(case, gain=0.25, low=0.125, laws=LAWS):
    scale = "" if case.guidance is None else f"{case.guidance:g}"
    what = case.data, case.process, scale, case.nfe
    return [Gain(*what, law, "ddim on karras, end zero", 1.5, 1.125, gain, low, 0.5, 64, 2.0, "abc") for law in laws]


@pytest.fixture
def quick(monkeypatch):
    """Cases cost nothing; what was asked about each."""
    asked = []

    def laws(case, jobs, paths):
        asked.append((case, paths))
        return [replace(row, trajectories=paths) for row in lines(case)]

    def network(case, best):
        asked.append((case, *best))
        return lines(case, laws=NETWORK)

    monkeypatch.setattr(gains, "designed", lambda case: case)
    monkeypatch.setattr(gains, "on_laws", laws)
    monkeypatch.setattr(gains, "on_network", network)
    return asked


def test_what_is_written_is_what_is_read(tmp_path):
    rows = [*lines(CASES[0]), *lines(Case("digits", "VP", 8, 3.0))]
    write(tmp_path / "gains.csv", rows, ["a footer"])
    assert read_table(tmp_path / "gains.csv") == rows
    assert read_table(tmp_path / "none.csv") == []


def test_a_case_that_stands_there_is_kept_unless_asked_again(tmp_path, quick):
    out = str(tmp_path / "gains.csv")
    assert main(["--out", out, "--cases", "digits:VP:8:3,patches8:VP:5", "--paths", "9"]) == 0
    assert main(["--out", out, "--cases", "patches8:VP:5,patches8:VP:8", "--paths", "7"]) == 0
    kept = read_table(Path(out))
    assert quick == [(GUIDED, 9), (PLAIN, 9), (Case("patches8", "VP", 8), 7)]
    # in the order of all cases, whatever came first
    assert [row.nfe for row in kept[::3]] == [5, 8, 8] and [row.trajectories for row in kept[::3]] == [9, 7, 9]
    assert main(["--out", out, "--cases", "patches8:VP:5", "--paths", "7", "--again"]) == 0
    assert [row.trajectories for row in read_table(Path(out))[::3]] == [7, 7, 9]


def test_of_a_case_with_a_network_what_is_missing_is_measured(tmp_path, quick):
    out, case = tmp_path / "gains.csv", CASES[0]
    write(out, lines(case, gain=0.3), ["a footer"])
    assert main(["--out", str(out), "--cases", str(case)]) == 0
    assert quick == [(case, *3 * ["ddim on karras, end zero"])]
    assert read_table(out) == [*lines(case, gain=0.3), *lines(case, laws=NETWORK)]
    assert main(["--out", str(out), "--cases", str(case)]) == 0 and len(quick) == 1
    # one of the lines is lacking: all of the network's are measured, none stands there twice
    write(out, [*lines(case, gain=0.3), *lines(case, gain=0.1, laws=NETWORK[:1])], ["a footer"])
    assert main(["--out", str(out), "--cases", str(case)]) == 0
    assert read_table(out) == [*lines(case, gain=0.3), *lines(case, laws=NETWORK)]
    quick.pop()
    write(out, lines(case, laws=NETWORK), ["a footer"])
    assert main(["--out", str(out), "--cases", str(case), "--paths", "5"]) == 0
    assert quick[1:] == [(case, 5)]


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--cases", "digits:VP"], "case 'digits:VP' is none"),
        (["--cases", "digits:VP:five"], "case 'digits:VP:five' is none"),
        (["--cases", "faces:VP:5"], "case faces:VP:5 is none"),
        (["--cases", "patches8:VP:5:3"], "case patches8:VP:5:3 is none"),
        (["--cases", "digits:vp:5"], "process 'vp' is unknown"),
        (["--paths", "1"], "--paths 1 give no interval"),
    ],
)
def test_a_case_that_is_none_is_refused_and_nothing_written(tmp_path, capsys, words, sentence):
    assert main(["--out", str(tmp_path / "gains.csv"), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_only_gains_outside_the_noise_are_bold(tmp_path):
    write(tmp_path / "gains.csv", [*lines(CASES[0]), *lines(CASES[1], low=-0.05)], ["a footer"])
    shown = markdown(tmp_path / "gains.csv").splitlines()
    assert shown[2].count("**25 % (12 to 50)**") == 3 and shown[2].endswith("|  |  |  |")
    assert shown[3].count("25 % (-5 to 50)") == 3 and "**" not in shown[3]
    assert shown[-2:] == ["- a footer", "- commits: abc"]
    with pytest.raises(ValueError, match="holds no gains"):
        markdown(tmp_path / "none.csv")


def test_the_readme_shows_the_table_that_stands_there():
    assert markdown(TABLE) in (ROOT / "README.md").read_text()
    quiet = [solver for solver in ALL.values() if not solver.stochastic]
    assert f"all {len(quiet)} samplers that draw no noise" in read(TABLE)[1][-1]


def test_every_line_of_the_table_is_what_it_says():
    rows = read_table(TABLE)
    assert set(LAWS) <= {row.law for row in rows} <= {*LAWS, *NETWORK}
    for row in rows:
        assert row.gain == pytest.approx(1 - row.error / row.by_hand_error, abs=2e-3)
        assert row.low <= row.gain <= row.high
        assert row.by_hand.split(" on ")[0] in ALL


@pytest.fixture(scope="module")
def digits():
    return dn.images.load("digits").data


def test_against_rivals_that_it_is_one_of_a_plan_gains_nothing(digits):
    plan = dn.compile("dpmpp_2m", dn.grid.karras(dn.VP(), 4))
    found = verdicts(plan, digits, samplers=FEW, paths=48)
    assert [v.trial for v in found] == list(LAWS)
    for v in found:
        assert v.gain.value == pytest.approx(1 - v.error / v.hand_made_error)
        assert v.gain.value <= 0 and not v.better


@pytest.mark.full
def test_verdicts_are_those_of_the_design(digits):
    made = dn.design.design(digits[:300], 2, samplers=FEW, seed=3)
    again = verdicts(made.plan, digits[:300], samplers=FEW, seed=3)
    assert [v.gain for v in again] == [v.gain for v in made.verdicts]
    assert [v.hand_made for v in again] == [v.hand_made for v in made.verdicts]


def test_a_plan_that_follows_no_trajectory_from_there_is_refused(digits):
    elsewhere = dn.compile("ddim", dn.grid.log_snr(dn.VP(), 4, start=dn.VP().at(-2.0)))
    with pytest.raises(ValueError, match="starts at log-SNR -2"):
        verdicts(elsewhere, digits, dn.VP())
    noisy = dn.compile("ddpm_ancestral", dn.grid.log_snr(dn.VP(), 4))
    with pytest.raises(ValueError, match="draws noise"):
        verdicts(noisy, digits, dn.VP())
    with pytest.raises(ValueError, match="too few"):
        verdicts(dn.compile("ddim", dn.grid.log_snr(dn.VP(), 4)), np.zeros((3, 2)), dn.VP())


@pytest.mark.full
def test_a_case_is_designed_and_judged_for_each_law_and_on_a_network():
    made = designed(Case("digits", "VP", 2), FEW)
    rows = on_laws(made, paths=64, samplers=FEW)
    assert [row.law for row in rows] == list(LAWS)
    assert {row.trajectories for row in rows} == {64}
    network = on_network(made, [row.by_hand for row in rows], FEW[:1], noises=4)
    assert [row.law for row in network] == list(NETWORK) and {row.trajectories for row in network} == {4}
    assert all(row.by_hand.split(" on ")[0] in {s.name for s in FEW} for row in [*rows, *network])
    # what the network itself chooses among more is at least as good by hand, and the design is the same
    assert network[0].by_hand_error <= network[1].by_hand_error and network[0].error == network[1].error
    assert network[2].by_hand == network[0].by_hand and network[2].error != network[0].error
    assert network[1].by_hand in {row.by_hand for row in rows}
