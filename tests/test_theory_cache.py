"""Derivations from the disk against derivations made now."""

import pytest

from theory import book, cache
from theory.statement import prove


@pytest.fixture
def short(monkeypatch):
    """Two statements and a sampler, counted as they are derived."""
    made = []

    def note(name, derivation):
        def run():
            made.append(name)
            return derivation()

        return run

    pieces = [
        ("1. Closed forms", "statement", note("one", lambda: prove("One", "1 = 1", 0, "here"))),
        ("1. Closed forms", "statement", note("two", lambda: prove("Two", "2 = 2", 0, "here"))),
        ("Samplers", "ddim", note("ddim", lambda: book.row(book.ALL["ddim"]))),
    ]
    monkeypatch.setattr(book, "work", lambda: pieces)
    return made


def test_what_is_kept_is_what_was_derived_and_is_not_derived_twice(short, tmp_path):
    first = list(cache.derive(1, tmp_path))
    assert short == ["one", "two", "ddim"]
    assert list(cache.derive(1, tmp_path)) == first == list(book.derive())
    assert short == ["one", "two", "ddim"] * 2


def test_a_run_that_was_stopped_goes_on(short, tmp_path):
    stopped = cache.derive(1, tmp_path)
    next(stopped)
    stopped.close()
    kept = len(short)
    list(cache.derive(1, tmp_path))
    assert sorted(short) == ["ddim", "one", "two"] and kept < 3


def test_another_source_derives_anew_and_forgets_the_old(short, tmp_path, monkeypatch):
    list(cache.derive(1, tmp_path))
    monkeypatch.setattr(cache, "digest", lambda: "changed")
    list(cache.derive(1, tmp_path))
    assert short == ["one", "two", "ddim"] * 2
    assert [folder.name for folder in tmp_path.iterdir()] == ["changed"]


def test_a_wrong_statement_is_refused_from_the_disk_too(tmp_path, monkeypatch):
    wrong = [("1. Closed forms", "statement", lambda: prove("Wrong", "1 = 2", 1, "here"))]
    monkeypatch.setattr(book, "work", lambda: wrong)
    for _ in range(2):
        with pytest.raises(ArithmeticError, match="Wrong"):
            list(cache.derive(1, tmp_path))


def test_the_digest_reads_every_source():
    assert len(cache.digest()) == 16
