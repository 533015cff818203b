"""The documentation as a site: it is built without a warning, its links lead somewhere, and it loads nothing from
outside."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import newtron
import newtron.engine
from newtron.cli.parser import build_parser

# The documentation is built once, not once in each process.
pytestmark = pytest.mark.xdist_group("site")
ROOT = Path(__file__).resolve().parents[2]
# What a browser fetches by itself, by tag: the attribute with its address.
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "object": "data"}


class Page(HTMLParser):
    """The identifiers and the addresses of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.links, self.loaded = path, list[str](), list[str]()
        self.identifiers: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value is not None}
        self.identifiers |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and LOADED[tag] in given:
            self.loaded.append(given[LOADED[tag]])
        if tag == "link" and {"stylesheet", "icon", "preload"} & set(given.get("rel", "").split()):
            self.loaded.append(given["href"])


class Site:
    """The pages of a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def pages(self) -> dict[Path, Page]:
        return {path: Page(path) for path in sorted(self.folder.rglob("*.html")) if "_static" not in path.parts}

    def broken(self) -> list[str]:
        """The addresses inside the site that lead nowhere."""
        found = []
        for path, page in self.pages.items():
            for address in page.links + page.loaded:
                parts = urlsplit(address)
                if parts.scheme or parts.netloc:
                    continue
                end = (path.parent / unquote(parts.path)).resolve() if parts.path else path
                heading = unquote(parts.fragment)
                known = self.pages[end].identifiers if end in self.pages else set()
                if not end.is_file() or (heading and end in self.pages and heading not in known):
                    found.append(f"{path.relative_to(self.folder)}: {address}")
        return found

    def from_outside(self) -> list[str]:
        """What a browser would fetch from another place when it shows a page."""
        pages = [
            f"{path.relative_to(self.folder)}: {address}"
            for path, page in self.pages.items()
            for address in page.loaded
            if urlsplit(address).scheme not in ("", "data") or urlsplit(address).netloc
        ]
        sheets = [path for path in self.folder.rglob("*.css") if "url(http" in path.read_text(encoding="utf-8")]
        return pages + [str(path) for path in sheets]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site") / "docs"
    environment = {**os.environ, "PYTHON": sys.executable, "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run([ROOT / "scripts" / "docs", folder], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    return Site(folder.resolve())


@pytest.mark.slow
def test_links_inside_lead_somewhere(site: Site) -> None:
    assert len(site.pages) > 40
    assert site.broken() == []


@pytest.mark.slow
def test_nothing_is_loaded_from_outside(site: Site) -> None:
    assert site.from_outside() == []


def test_tests_of_one_group_are_in_one_process(request: pytest.FixtureRequest) -> None:
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@site")


@pytest.mark.slow
def test_every_public_name_has_its_page(site: Site) -> None:
    names = {path.stem.rpartition(".")[2] for path in (site.folder / "api" / "generated").glob("*.html")}
    assert set(newtron.__all__) | set(newtron.engine.__all__) <= names


@pytest.mark.slow
def test_every_option_has_its_entry(site: Site) -> None:
    page = Page(site.folder / "commands.html")
    commands = next(action.choices for action in build_parser()._actions if action.dest == "command")
    assert commands is not None
    for name, command in dict(commands).items():
        for option in command._option_string_actions:
            if option not in ("-h", "--help"):
                assert f"cmdoption-newtron-{name}-{option.lstrip('-')}" in page.identifiers


def test_a_broken_link_and_a_foreign_script_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a href="b.html#there"></a><a href="b.html#not"></a><a href="c.html"></a><a href="https://example.org"></a>'
        '<script src="https://example.org/x.js"></script><script src="x.js"></script>',
        encoding="utf-8",
    )
    (tmp_path / "b.html").write_text('<h1 id="there"></h1>', encoding="utf-8")
    (tmp_path / "x.js").write_text("", encoding="utf-8")
    found = Site(tmp_path.resolve())
    assert found.broken() == ["a.html: b.html#not", "a.html: c.html"]
    assert found.from_outside() == ["a.html: https://example.org/x.js"]
