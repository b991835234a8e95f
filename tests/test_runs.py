"""A notebook says which parameters it takes, where its results lie, and what they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from run_cases import RESULT, write_notebook

from diffnum.lab.runs import Notebook
from diffnum.lab.runs.artefacts import check, numbers_in
from diffnum.lab.runs.schema import UNKNOWN, parameters_in, resolve

TYPED = """
from typing import Literal
steps: int = 8  # of the method
rate = 0.5
seed = 0
name: str = "a # b"
on = True
grid: Literal["uniform", "karras"] = "karras"
times: list[float] = [
    0.0,
    1.0,
]
bound: float | None = None
data: Path = "digits"
size = 4  # type: float of an image
total = steps * 2
options = {"a": 1}
"""


def schema(source=TYPED, **said):
    cell = {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": source}
    return parameters_in("x.ipynb", [cell], said)


@pytest.fixture
def notebook(tmp_path):
    return Notebook.load(write_notebook(tmp_path / "toy.ipynb"))


# --- parameters ---


def test_types_come_from_annotations_comments_and_defaults():
    types = {name: p.type for name, p in schema().items()}
    assert types == {
        "steps": "int", "rate": "float", "seed": "int", "name": "str", "on": "bool", "grid": "str", "data": "path",
        "times": "list[float]", "bound": "float", "size": "float", "total": "any", "options": "dict",
    }  # fmt: skip
    assert schema()["steps"].help == "of the method"
    assert schema()["bound"].optional and not schema()["steps"].optional
    assert schema()["total"].default is UNKNOWN
    assert schema()["name"].default == "a # b"


def test_names_and_help_are_those_of_papermill_where_it_can_read_them(tmp_path):
    from papermill.inspection import inspect_notebook

    path = write_notebook(
        tmp_path / "x.ipynb", parameters="steps: int = 8  # of the method\nrate = 0.5\ntimes = [\n 1,\n 2]"
    )
    theirs = {name: p["help"] for name, p in inspect_notebook(path).items()}
    assert {name: p.help for name, p in Notebook.load(path).schema.items()} == theirs


@pytest.mark.parametrize(
    "words, value",
    [("steps=3", 3), ("rate=1e-3", 1e-3), ("rate=2", 2.0), ("on=false", False), ("grid=uniform", "uniform"),
     ("times=[1, 2]", [1.0, 2.0]), ("bound=null", None), ("bound=2.5", 2.5), ("name=3", "3"),
     ("options={b: 2}", {"b": 2})],
)  # fmt: skip
def test_words_of_the_command_line_become_values(words, value):
    name, _, text = words.partition("=")
    found = resolve("x.ipynb", schema(), {name: schema()[name].parse(text)}, Path())[name]
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    "words, said",
    [("step=3", "no parameter 'step': use one of steps, rate"), ("steps=2.5", "steps = 2.5 is not a whole number"),
     ("steps=true", "steps = True is not a whole number"), ("rate=nan", "rate = 'nan' is not a finite number"),
     ("rate=inf", "not a finite number"), ("on=1", "not true or false"), ("grid=edm", "not one of uniform, karras"),
     ("times=3", "not a list, each a finite number"), ("bound=x", "not a finite number or null"),
     ("data=absent-folder", "not a file or folder that exists"), ("seed=-1", "seed = -1 is not a whole number >= 0")],
)  # fmt: skip
def test_what_the_schema_does_not_allow_is_refused(words, said):
    found = schema(seed={"min": 0})
    name, _, text = words.partition("=")
    with pytest.raises(ValueError, match=r"x\.ipynb") as refusal:
        resolve("x.ipynb", found, {name: found[name].parse(text) if name in found else text}, Path())
    assert said in str(refusal.value)


@settings(max_examples=30)
@given(st.integers() | st.floats() | st.text() | st.booleans() | st.none() | st.lists(st.integers()))
def test_a_checked_value_is_of_its_type_and_checked_again_is_itself(value):
    for parameter in schema().values():
        try:
            found = parameter.check(value, Path("/nowhere"))
        except ValueError:
            continue
        assert parameter.check(found, Path("/nowhere")) == found
        json.dumps(found, allow_nan=False)
        if parameter.type == "float" and found is not None:
            assert type(found) is float


@pytest.mark.parametrize("name", ["hf_token", "password", "apiKey", "API_KEY", "aws_secret", "private_key", "auth"])
def test_a_name_like_a_secret_is_refused(name):
    with pytest.raises(ValueError, match=r"looks by its name like a secret.*environment"):
        schema(f"{name} = ''")


@pytest.mark.parametrize("name", ["tokens", "n_tokens", "tokenizer", "keys", "author", "passes", "monkey"])
def test_a_harmless_name_is_not(name):
    assert list(schema(f"{name} = 1")) == [name]


@pytest.mark.parametrize(
    "value",
    ["hf_" + "aB3" * 10, "sk-" + "a1" * 15, "ghp_" + "a1" * 18, "AKIA" + "A1" * 8, "https://me:word@host/x",
     ["fine", {"x": "password=abc"}], {"api_key": "x"}, "-----BEGIN RSA PRIVATE KEY-----", "Bearer " + "a1" * 10],
)  # fmt: skip
def test_a_value_like_a_secret_is_refused_and_not_repeated(value):
    with pytest.raises(ValueError, match=r"the value of 'name' looks like a secret") as refusal:
        resolve("x.ipynb", schema(), {"name": value}, Path())
    assert "aB3" not in str(refusal.value) and "a1" not in str(refusal.value)


@pytest.mark.parametrize(
    "promises, said",
    [({"artifacts": {}}, "have artifacts: use artefacts, memory_mb"), ({"memory_mb": -1}, "megabytes > 0"),
     ({"artefacts": {"../x": {}}}, "inside the folder"), ({"artefacts": {"run.json": {}}}, "a name of its own"),
     ({"artefacts": ["x"]}, "use a mapping"), ({"parameters": {"stps": {}}}, "does not set"),
     ({"parameters": {"steps": {"low": 1}}}, "has low: use choices"), ({"results": "x.json"}, "name one of the JSON"),
     ({"parameters": {"steps": {"type": "number"}}}, "has the type 'number'"),
     ({"needs": ["gone.py"]}, "does not lie beside")],
)  # fmt: skip
def test_metadata_that_cannot_be_meant_are_refused(tmp_path, promises, said):
    path = write_notebook(tmp_path / "x.ipynb", promises=promises)
    with pytest.raises(ValueError) as refusal:
        Notebook.load(path).request({})
    assert said in str(refusal.value)


# --- the address ---


def test_the_address_is_of_code_parameters_files_and_versions(tmp_path, notebook):
    key = notebook.request({}).key
    assert notebook.request({"steps": 4, "rate": 0.5}).key == key, "what is given and what is the default"
    assert notebook.request({"steps": 5}).key != key
    content = json.loads(notebook.path.read_text())
    content["cells"][0]["source"] = ["# Other ", "prose"]
    content["cells"][2]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "printed"}]
    (tmp_path / "prose.ipynb").write_text(json.dumps(content))
    assert Notebook.load(tmp_path / "prose.ipynb").request({}).key == key
    changed = write_notebook(tmp_path / "changed.ipynb", RESULT + " ")
    assert Notebook.load(changed).request({}).key != key
    request = notebook.request({})
    assert replace(request, versions=request.versions | {"torch": "2.6"}).key != key
    assert request.injected == {} and notebook.request({"rate": 1}).injected == {"rate": 1.0}


def test_files_enter_the_address_by_what_they_hold(tmp_path):
    (tmp_path / "data").mkdir()
    for name, text in (("helper.py", "x = 1"), ("data/a.txt", "a"), ("copy.txt", "a")):
        (tmp_path / name).write_text(text)
    path = write_notebook(tmp_path / "x.ipynb", parameters="data: Path = 'data'", promises={"needs": ["helper.py"]})
    keys = [Notebook.load(path).request({}).key]
    keys.append(Notebook.load(path).request({"data": "copy.txt"}, base=tmp_path).key)
    (tmp_path / "data" / "a.txt").write_text("b")
    keys.append(Notebook.load(path).request({}).key)
    (tmp_path / "helper.py").write_text("x = 2")
    keys.append(Notebook.load(path).request({}).key)
    assert len(set(keys)) == 4


# --- artefacts ---


@pytest.mark.parametrize(
    "file, text, promised, said",
    [
        ("a.json", '{"x": NaN}', {}, "holds NaN"),
        ("a.json", '{"x": [1, -Infinity]}', {}, "holds -Infinity"),
        ("a.json", '{"x": 1e999}', {}, "holds 1e999"),
        ("a.json", '{"x": ', {}, "cannot be read"),
        (
            "a.json",
            '{"x": -1}',
            {"schema": {"properties": {"x": {"minimum": 0}}}},
            "a.json['x'] does not match its schema",
        ),
        ("a.json", "{}", {"plan": True}, "cannot be read"),
        ("a.csv", "x,y\n1,nan\n", {}, "row 1: y is nan"),
        ("a.csv", "x,y\n1,-inf\n", {}, "row 1: y is -inf"),
        ("a.csv", "x,y\n1\n", {}, "row 1: 1 cells below 2 names"),
        ("a.csv", "x\n1\n", {"columns": ["y"]}, "has no column y"),
        ("a.txt", "", {}, "is empty"),
        ("a.npz", "not an archive", {}, "cannot be read"),
    ],
)
def test_a_bad_artefact_is_named_with_what_is_wrong(tmp_path, file, text, promised, said):
    (tmp_path / file).write_text(text)
    assert check(tmp_path, file, promised).startswith(file)
    assert said in check(tmp_path, file, promised)


def test_good_artefacts_pass_and_arrays_are_compared_in_shape_type_and_value(tmp_path):
    (tmp_path / "a.json").write_text('{"x": 1, "y": {"z": 2.5, "w": "text"}}')
    (tmp_path / "a.csv").write_text("x,y\n1,word\n2,\n")
    np.savez(tmp_path / "a.npz", x=np.ones((3, 2)), k=np.arange(3))
    form = {"arrays": {"x": {"shape": [None, 2], "dtype": "float64"}}}
    assert not check(tmp_path, "a.json", {"schema": {"required": ["x"]}})
    assert not check(tmp_path, "a.csv", {"columns": ["y"]})
    assert not check(tmp_path, "a.npz", form)
    assert numbers_in(tmp_path / "a.json") == {"x": 1, "y.z": 2.5}
    assert "has the shape" in check(tmp_path, "a.npz", {"arrays": {"x": {"shape": [2, 3]}}})
    assert "is int64" in check(tmp_path, "a.npz", {"arrays": {"k": {"dtype": "float64"}}})
    assert "holds no array y" in check(tmp_path, "a.npz", {"arrays": {"y": {}}})
    np.savez(tmp_path / "a.npz", x=np.array([1.0, np.nan]))
    assert "1 values that are NaN or infinite" in check(tmp_path, "a.npz", {})
    np.savez(tmp_path / "a.npz", x=np.array([object()]))
    assert "cannot be read" in check(tmp_path, "a.npz", {})
    assert check(tmp_path, "b.json", {}) == "b.json was not written"
