"""What is wrong is said in one sentence with the value and the remedy, and before any work is done."""

from __future__ import annotations

from pathlib import Path

import pytest

import diffnum as dn
from diffnum.budget import RANKED
from diffnum.cli import run
from diffnum.lab.folder import check_writable
from diffnum.lab.processes import Processes
from diffnum.solvers import ALL


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The one sentence on stderr with which a command of bad input ends."""
    code = run([str(word) for word in words])
    out, err = capsys.readouterr()
    assert code == 2 and not out.strip()
    assert err.startswith("diffnum: ") and err.count("\n") == 1
    return err


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A file with a plan of two evaluations."""
    dn.compile("ddim", dn.grid.log_snr(dn.VP(), 2)).save(tmp_path / "plan.json")
    return tmp_path / "plan.json"


@pytest.mark.parametrize("device", ["foo", "mps", "", "cuda:x"])
def test_a_device_that_is_none_is_refused_before_the_network_is_loaded(device, plan, monkeypatch, capsys):
    monkeypatch.setattr("diffnum.images.pretrained", lambda *_, **__: pytest.fail("the network was loaded first"))
    said = refused(capsys, "sample", plan, "--network", "digits", "--device", device, "--out", plan.parent / "d")
    assert f"--device {device!r}" in said and "use cpu or cuda" in said


def test_devices_of_processes_are_those_that_the_machine_has(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [Processes(1, 2, 1).device(word) for word in ("cpu", "cuda", "cuda:0")] == ["cpu", "cuda:1", "cuda:0"]
    with pytest.raises(ValueError, match="cuda:2 is beyond the 2 CUDA devices here"):
        Processes().device("cuda:2")


UNWRITABLE = [
    ("design digits --out {}/plan.json", "diffnum.lab.samples.samples"),
    ("study digits --out {}/study", "diffnum.lab.study.load"),
    ("audit diffusers --out {}/audit", "diffnum.audit.audit"),
    ("solvers --out {}/solvers.json", "diffnum.facts.measure"),
    ("certify --all --out {}/new/all.json", "diffnum.certificate.certify_all"),
    ("sample {plan} --data digits --out {}/x.png", "diffnum.images.load"),
]


@pytest.mark.parametrize(("words", "work"), UNWRITABLE, ids=[words.split()[0] for words, _ in UNWRITABLE])
def test_a_place_that_cannot_be_written_is_refused_before_the_work_by_its_own_name(
    words, work, plan, monkeypatch, capsys
):
    def full(path: Path, *_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(work, lambda *_, **__: pytest.fail("the work was done first"))
    monkeypatch.setattr(Path, "mkdir", full)
    out = words.split()[-1].format(plan.parent)
    said = refused(capsys, *words.format(plan.parent, plan=plan).split())
    assert f"{out} cannot be written (No space left on device): name another place" in said and ".part" not in said


def test_checking_a_place_leaves_nothing_behind(tmp_path):
    for path in (tmp_path / "x.json", tmp_path / "new" / "deep" / "x.json"):
        check_writable(path)
        assert not list(tmp_path.iterdir())


def test_a_file_that_is_refused_at_the_end_is_called_what_the_user_called_it(tmp_path, monkeypatch, capsys):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "x.json.part"))

    monkeypatch.setattr("diffnum.lab.folder.write_text", full)
    said = refused(capsys, "certify", "ddim", "--json", "--out", tmp_path / "x.json")
    assert f"{tmp_path / 'x.json'}: No space left" in said


def test_a_misspelt_sampler_is_answered_with_the_nearest_names(capsys):
    said = refused(capsys, "certify", "dpmpp_2n")
    assert "dpmpp_2m" in said and said.endswith("`diffnum solvers` lists all\n") and len(said) < 200
    with pytest.raises(ValueError, match=r"'dpmpp_2n' is unknown: did you mean .*dpmpp_2m"):
        dn.compile("dpmpp_2n", dn.grid.log_snr(dn.VP(), 2))
    with pytest.raises(ValueError, match="'' is unknown: did you mean"):
        dn.certify("")


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ("design digits --nfe 0", "0"),
        ("design digits --jobs -3", "-3"),
        ("design digits --nfe many", "many"),
        ("design digits --guidance -1.5", "-1.5"),
        ("sample plan.json --batch 0", "0"),
        ("certify euler --jobs 1.5", "1.5"),
    ],
)
def test_an_option_that_is_out_of_bounds_is_answered_with_the_value_that_was_given(words, value, capsys):
    said = refused(capsys, *words.split())
    assert words.split()[-2] in said and value in said and "--help" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("sample nosuch.json", "nosuch.json is not a readable plan (No such file or directory): name a saved one"),
        ("sample broken.json", "broken.json is not a readable plan (Expecting"),
        ("sample list.json", "list.json is not a plan but a JSON list: name a saved one"),
        ("table nosuch.json", "'nosuch.json' cannot be read (No such file or directory): name a file with a table"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_remedy(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    assert said in refused(capsys, *words.split())


UNREAD = [
    *(f"--{name} --network digits" for name in ("data digits", "components 10", "size 8", "limit 40")),
    *(f"--{name}" for name in ("classes 3", "classes all", "batch 250", "device cpu")),
    *(f"--{name} --data digits" for name in ("batch 8", "device cuda")),
    *(f"--{name}" for name in ("components 3", "size 8", "limit 40")),
]


@pytest.mark.parametrize("words", UNREAD)
def test_an_option_that_the_others_leave_without_effect_is_refused(words, plan, monkeypatch, capsys):
    monkeypatch.setattr("diffnum.images.load", lambda *_, **__: pytest.fail("the images were read first"))
    monkeypatch.setattr("diffnum.images.pretrained", lambda *_, **__: pytest.fail("the network was loaded first"))
    out, (name, value) = plan.parent / "x.png", words.split()[:2]
    said = refused(capsys, "sample", plan, *words.split(), "--out", out)
    assert f"{name} {value} is " in said and "leave" in said and not out.exists()
    others = {"data": "--network digits", "network": "add --network", "fit": "add --data"}
    kind = "data" if "--network" in words else "network" if name in ("--classes", "--batch", "--device") else "fit"
    assert [key for key, other in others.items() if other in said] == [kind]


@pytest.mark.parametrize("nfe", ["257", "5,100000", "123456789"])
def test_a_budget_that_would_take_hours_is_refused_before_the_images_are_read(nfe, monkeypatch, capsys):
    monkeypatch.setattr("diffnum.lab.study.load", lambda *_, **__: pytest.fail("the images were read first"))
    said = refused(capsys, "study", "digits", "--nfe", nfe)
    assert f"--nfe {nfe!r} has the budget {nfe.split(',')[-1]}" in said and "use at most 256" in said


def test_the_help_of_a_study_claims_no_more_samplers_than_it_ranks(capsys):
    assert run(["study", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "every sampler" not in said and "samplers, one of each kind" in said and len(RANKED) < len(ALL)


@pytest.mark.parametrize("words", ["solvers", "certify ddim"])
def test_two_forms_of_one_output_are_refused(words, capsys):
    assert "--json and --markdown are two forms of one output" in refused(
        capsys, *words.split(), "--json", "--markdown"
    )
