"""What the site has besides the pages of docs/: other files, tutorials and a reference."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent.parent
# The library that other programs import.
LIBRARY = ("tasks", "datasets", "backbone", "configs", "tools/library", "mobilenet_suite")
# Pages from above docs/, by their name in the site.
_ABOVE = {
    "index.md": "README.md",
    **{name: name for name in ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")},
}
_FILES = ("LICENSE", "CITATION.cff")
_FETCHED = re.compile(r'"https://unpkg\.com/[^"]*"')
_LINK = re.compile(r"(?<=\]\()([^)\s#:]+)(?=[)#])")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the reference to the navigation."""
    assert config.nav is not None
    config.nav.append({"Reference": [page for page, _ in reference_pages()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not below docs/, and what is made of notebooks and modules."""
    pages = {name: (ROOT / source).read_text(encoding="utf-8") for name, source in _ABOVE.items()}
    pages |= dict(reference_pages_written())
    for notebook in sorted((ROOT / "docs/tutorials").glob("*.ipynb")):
        pages[f"tutorials/{notebook.stem}.md"] = notebook_text(notebook)
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for name in _FILES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Turn links within the repository into links within the site."""
    name = page.file.src_uri
    place = posixpath.join("docs", name) if name not in _ABOVE else _ABOVE[name]

    def moved(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), found[0]))
        ours = {source: page for page, source in _ABOVE.items()}
        there = ours.get(target, target.removeprefix("docs/").replace(".ipynb", ".md"))
        return posixpath.relpath(there, posixpath.dirname(name) or ".")

    return markdown if name.startswith("reference/") else _LINK.sub(moved, markdown)


def on_post_build(config: MkDocsConfig) -> None:
    """Remove what the theme would fetch for diagrams, which no page has, and its source maps."""
    scripts = Path(config.site_dir, "assets/javascripts")
    for file in scripts.rglob("*.map"):
        file.unlink()
    for file in scripts.glob("bundle.*.js"):
        text = file.read_text(encoding="utf-8")
        file.write_text(_FETCHED.sub('""', text), encoding="utf-8")


def reference_pages() -> Iterator[tuple[str, list[str]]]:
    """Pages of the reference, one for each package, with their public modules."""
    for top in LIBRARY:
        for folder in sorted({file.parent for file in (ROOT / top).rglob("*.py")}):
            package = ".".join(folder.relative_to(ROOT).parts)
            names = sorted(file.stem for file in folder.glob("*.py"))
            modules = [package if one == "__init__" else f"{package}.{one}" for one in names]
            yield f"reference/{package}.md", modules


def reference_pages_written() -> Iterator[tuple[str, str]]:
    """The same with their texts, which mkdocstrings fills in."""
    for page, modules in reference_pages():
        parts = [f"# {PurePosixPath(page).stem}", *(f"::: {module}" for module in modules)]
        yield page, "\n\n".join(parts) + "\n"


def notebook_text(file: Path) -> str:
    """A notebook as a page: its texts, and its code as blocks."""
    cells: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["cells"]
    link = f'<a href="{file.name}" download>This page as a notebook</a>'
    parts = []
    for cell in cells:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    title, *others = parts
    return "\n\n".join([title, link, *others])
