"""The book builds without warnings, every link in it leads somewhere, nothing is fetched, and formulas are set."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from diffnum.lab.book import as_mathml

pytestmark = [pytest.mark.full, pytest.mark.timeout(3000)]

ROOT = Path(__file__).parents[1]
FETCHED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}


class Page(HTMLParser):
    """What a page refers to and what can be referred to in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.text = path, path.read_text(encoding="utf-8")
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.anchors: set[str] = {""}
        self.formulas = 0
        self.feed(self.text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors |= {found[key] for key in ("id", "name") if found.get(key)}
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        # a page says by links, too, which pages are before it and behind it; they are not fetched
        kinds = set((found.get("rel") or "").split())
        if FETCHED.get(tag) in found and (tag != "link" or kinds & {"stylesheet", "icon", "preload"}):
            self.fetched.append(found[FETCHED[tag]] or "")
        self.formulas += tag == "math"


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """As ``make docs`` does it, in another process, since sphinx changes much in its own."""
    pytest.importorskip("furo", reason="the book needs the extra docs, which make docs and make test-full install")
    out = tmp_path_factory.mktemp("book")
    command = [sys.executable, "-m", "diffnum.lab.book", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "MPLBACKEND": "Agg"})
    assert done.returncode == 0, done.stderr[-4000:]
    assert "WARNING" not in done.stderr
    html = out / "html"
    assert done.stdout.strip() == str(html / "index.html")
    return html


@pytest.fixture(scope="module")
def pages(book):
    return {path: Page(path) for path in sorted(book.rglob("*.html"))}


def test_every_link_inside_leads_somewhere(book, pages):
    dead = []
    for page in pages.values():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                assert parts.scheme in ("http", "https", "mailto"), link
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            anchors = pages[target].anchors if target in pages else {""}
            if not target.is_file() or unquote(parts.fragment) not in anchors:
                dead.append(f"{page.path.relative_to(book)}: {link}")
    assert not dead


def test_nothing_is_fetched_from_elsewhere(book, pages):
    for page in pages.values():
        for link in page.fetched:
            parts = urlsplit(link)
            assert parts.scheme in ("", "data"), f"{page.path.relative_to(book)} fetches {link}"
            assert parts.scheme or (page.path.parent / unquote(parts.path)).is_file(), f"{page.path.name}: {link}"
    for sheet in book.rglob("*.css"):
        for link in re.findall(r"url\(['\"]?([^'\")]+)", sheet.read_text(encoding="utf-8")):
            assert link.startswith("data:") or (sheet.parent / urlsplit(link).path).is_file(), f"{sheet.name}: {link}"
        assert not re.search(r"@import\s+[^;]*//", sheet.read_text(encoding="utf-8"))


def test_everything_that_is_committed_is_in_it(book):
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert (book / "notebooks" / f"{path.stem}.html").is_file()
    lists = "diffnum/solvers/README", "theory/CERTIFICATES", "theory/PROOFS"
    for page in ("README", "CHANGELOG", *lists, "cards/digits", "api/index"):
        assert (book / f"{page}.html").is_file()
    assert all("dpmpp_3m_corrected" in (book / f"{page}.html").read_text() for page in lists)


def test_formulas_are_set_and_none_is_left_as_latex(pages, book):
    proofs = pages[book / "theory" / "PROOFS.html"]
    latex = re.sub(r"`[^`\n]*`", "", (ROOT / "theory" / "PROOFS.md").read_text())
    assert proofs.formulas == len(re.findall(r"\$\$.+?\$\$|\$[^$]+?\$", latex, re.S)) > 500
    for page in pages.values():
        if page.formulas:
            shown = re.sub(r"<(pre|code|script|math)\b.*?</\1>", "", page.text, flags=re.S)
            assert not re.search(r"\\(frac|sqrt|alpha|sigma|sum|left|mathbb)\b", shown), page.path.name
            assert "$$" not in shown, page.path.name


def test_a_formula_of_a_docstring_keeps_its_lines(book):
    text = re.sub(r"<[^>]+>", "", (book / "api" / "diffnum.targets.gaussian.html").read_text())
    lines = [
        "E[x0 | x]  = m + alpha c / v * r,        score = -r / v,",
        "E[eps | x] = sigma / v * r,              Cov[x0 | x]",
    ]
    assert "\n".join(lines) in text


def test_a_command_that_mathml_does_not_know_is_refused():
    pytest.importorskip("latex2mathml")
    assert as_mathml(r"\frac{a}{b}").count("<mfrac>") == 1
    assert 'display="block"' in as_mathml(r"\sum_k c_k", block=True)
    with pytest.raises(ValueError, match=r"\\unheardof"):
        as_mathml(r"\unheardof{a}")


def test_a_browser_sets_fractions_in_the_font_that_lies_beside_the_page(book, tmp_path):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("no browser is installed")
    page = book / "theory" / "measured.html"
    script = """<script>document.fonts.ready.then(() => {
        const box = document.querySelector("mfrac").getBoundingClientRect();
        const [a, b] = [...document.querySelector("mfrac").children].map(e => e.getBoundingClientRect());
        const font = [...document.fonts].filter(f => f.family.includes("STIX")).map(f => f.status);
        document.title = JSON.stringify({over: a.bottom <= b.top + 1, height: box.height, font});
    })</script></body>"""
    page.write_text((book / "theory" / "PROOFS.html").read_text().replace("</body>", script))
    words = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--dump-dom"]
    command = [chromium, *words, "--virtual-time-budget=20000", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    page.unlink()
    title = re.search(r"<title>(.*?)</title>", done.stdout)[1]
    assert '"over":true' in title and '"font":["loaded"]' in title
