"""The documentation builds as a site without warnings, and its reference has every public name."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import ROOT, tree_of

LIBRARY = ("backbone", "configs", "datasets", "mobilenet_suite", "tasks", "tools/library")
# Where packages come from, and what pages of other sites are drawn from.
_HOSTS = re.compile(rb"pypi|npmjs|unpkg|jsdelivr|cdnjs|googleapis|gstatic")
_FETCHED = re.compile(r'<(?:script|img|iframe)[^>]* src="https?:|<link[^>]* href="https?:')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def names_of(module: str, tree: ast.Module) -> Iterator[str]:
    """A module, and its public classes, methods, functions and constants."""
    yield module
    listed = {
        ast.literal_eval(name)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        for name in getattr(node.value, "elts", ())
    }
    for name, node in _defined(tree.body):
        if listed and name not in listed:
            continue
        yield f"{module}.{name}"
        if isinstance(node, ast.ClassDef):
            for inner, one in _defined(node.body):
                if isinstance(one, ast.FunctionDef):
                    yield f"{module}.{name}.{inner}"


def _defined(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt]]:
    for node in body:
        names: list[str] = []
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names = [node.name]
        elif isinstance(node, ast.Assign) and "TypeVar(" not in ast.unparse(node):
            targets = getattr(node.targets[0], "elts", [node.targets[0]])
            names = [one.id for one in targets if isinstance(one, ast.Name)]
        yield from ((name, node) for name in names if not name.startswith("_"))


@pytest.mark.slow
def test_the_reference_has_every_public_name(site: Path) -> None:
    """By the inventory that other sites would link to."""
    data = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    lines = zlib.decompress(data).decode().splitlines()
    there = {line.split(" py:", 1)[0] for line in lines}
    wanted = {
        name
        for top in LIBRARY
        for file in sorted((ROOT / top).rglob("*.py"))
        for name in names_of(
            ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"),
            tree_of(file.relative_to(ROOT)),
        )
    }
    assert len(wanted) > 2000
    assert not wanted - there, sorted(wanted - there)[:50]


@pytest.mark.slow
def test_the_site_fetches_nothing(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert {"index.html", "json.html", "SECURITY.html"} <= {page.name for page in pages}
    for page in pages:
        assert not _FETCHED.search(page.read_text(encoding="utf-8")), page
    for file in site.rglob("*"):
        if file.suffix in (".html", ".js", ".css", ".json", ".xml"):
            assert not _HOSTS.search(file.read_bytes()), file


@pytest.mark.slow
def test_links_and_docstrings_are_in_the_form_of_the_site(site: Path) -> None:
    text = (site / "page.html").read_text(encoding="utf-8")
    assert 'href="SECURITY.html"' in text
    text = (site / "tutorials/classifier_to_phone.html").read_text(encoding="utf-8")
    assert 'href="classifier_to_phone.ipynb"' in text
    assert 'href="../phone.html"' in text
    for page in (site / "reference").iterdir():
        assert ":func:`" not in page.read_text(encoding="utf-8")
