"""README, docs/, ``--help`` and docstrings use plain words, and name what exists."""

import ast
import json
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.house import PACKAGES, ROOT, sources, tree_of

PAGES = sorted((ROOT / "docs").glob("*.md"))
_TOP = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
NOTEBOOKS = sorted((ROOT / "docs/tutorials").glob("*.ipynb"))
TEXTS = [*(ROOT / name for name in _TOP), *PAGES, *NOTEBOOKS]
# What to write instead.
RETIRED = {
    r"tell|tells|told|telling": "print, store, configure, distinguish",
    r"said": "state, configured",
    r"lessons?": "teacher targets",
    r"remed(?:y|ies)": "fix",
    r"judges?|judged|judging": "evaluate, check",
    r"(?:a|the|its|each|own|this|that) measures?": "metric",
    r"photos?|photographs?|pictures?": "image",
    r"parted": "split",
}
# Files of dataclasses that configurations are made of, besides configs/.
FIELDS_IN = ("spec.py", "flavour.py")
# Packages whose docstrings, which ``--help`` shows in part, are held to the same words.
CLEAN = PACKAGES
# A word that an argument's entry does not begin with: it says what the argument is.
_FRAGMENT = re.compile(r"(?m)^ +[*\w]+: (?:As|At|Behind|By|From|In|Of|On|That|To|With|Without)\b")
# Flags of other programs: torchrun's, pip's and SLURM's.
OF_OTHERS = {
    *("nproc-per-node", "nnodes", "rdzv-endpoint", "no-deps", "array"),
    *("ntasks", "ntasks-per-node", "cpus-per-task", "gpus-per-task"),
    *("time", "signal", "requeue", "open-mode"),
}


def _ids(path: Path) -> str:
    return path.name


@cache
def _text(path: Path) -> str:
    """A file, or the texts of a notebook."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown"]
    return "\n\n".join("".join(cell["source"]) for cell in cells)


def _prose(text: str) -> str:
    """A page without its code and the targets of its links."""
    text = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    text = re.sub(r"(?m)^ {4}.*$", "", text)
    text = re.sub(r"`[^`]*`", " ", text)
    return re.sub(r"\]\([^)]*\)", "]", text)


def _retired(text: str) -> list[str]:
    return [
        f"{found[0]!r}: {instead}"
        for words, instead in RETIRED.items()
        for found in re.finditer(rf"(?i)\b(?:{words})\b", _prose(text))
    ]


@pytest.mark.parametrize("path", TEXTS, ids=_ids)
def test_words_are_plain(path: Path) -> None:
    assert not _retired(_text(path))


def test_retired_words_are_found_in_prose_alone() -> None:
    page = "The photo tells it.\n\n    --photos A\n\n`--photos`, [image](photo.md)\n"
    assert [found.split(":")[0] for found in _retired(page)] == ["'tells'", "'photo'"]


def _docstrings(file: Path) -> str:
    """A file's docstrings, those of fields among them, without flags and names of arguments."""
    found = [
        node.value.value
        for node in ast.walk(tree_of(file))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, str)
    ]
    return "\n".join(found)


def _odd_words(text: str) -> list[str]:
    plain = re.sub(r"(?m)^ +[*\w]+(?= ?[:(])|--[\w-]+|``[^`]*``|`[^`]*`", " ", text)
    prose = re.sub(r"(?m)^ {4,}", "", plain)
    return [*_retired(prose), *(found[0].strip() for found in _FRAGMENT.finditer(text))]


@pytest.mark.slow
@pytest.mark.parametrize("package", CLEAN)
def test_docstrings_are_plain(package: str) -> None:
    found = [
        f"{file}: {what}" for file in sources(package) for what in _odd_words(_docstrings(file))
    ]
    assert not found, "\n".join(found)


def _messages(file: Path) -> str:
    """Strings of several words that are no docstrings: what programs print."""
    tree = tree_of(file)
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    found = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and id(node) not in docs
        if isinstance(node.value, str) and " " in node.value.strip()
    ]
    return "\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("package", CLEAN)
def test_messages_are_plain(package: str) -> None:
    found = [f"{file}: {what}" for file in sources(package) for what in _retired(_messages(file))]
    assert not found, "\n".join(found)


def test_odd_words_are_found_in_docstrings() -> None:
    text = "Takes ``photos``.\n\n    Args:\n        photos: Of the set.\n        b: A told photo."
    assert [found.split(":")[0] for found in _odd_words(text)] == ["'told'", "'photo'", "photos"]


def test_readme_is_short() -> None:
    assert len(_text(ROOT / "README.md").splitlines()) < 150


def test_readme_names_every_extra() -> None:
    project = tomllib.loads(_text(ROOT / "pyproject.toml"))["project"]
    (part,) = re.findall(r"(?ms)^## Install$(.*?)^## ", _text(ROOT / "README.md"))
    named = {*re.findall(r"`(\w+)`", part), *re.findall(r"\.\[(\w+)\]", part)}
    assert project["optional-dependencies"].keys() <= named


@pytest.mark.parametrize("path", PAGES, ids=_ids)
def test_pages_are_short(path: Path) -> None:
    """Bars of tables and the like are not words."""
    words = [word for word in _text(path).split() if re.search(r"\w", word)]
    assert len(words) <= 1200


@cache
def _anchors(path: Path) -> frozenset[str]:
    titles = re.findall(r"(?m)^#+ (.+)$", _text(path))
    return frozenset(re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles)


@pytest.mark.parametrize("path", TEXTS, ids=_ids)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", _text(path)):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        file = path.parent / name if name else path
        assert file.exists(), target
        assert not anchor or anchor in _anchors(file), target


@cache
def _flags() -> frozenset[str]:
    """Names of all fields of dataclasses from which flags are made, and aliases."""
    files = [file for package in PACKAGES for file in sources(package)]
    files = [one for one in files if one.parts[0] == "configs" or one.name.endswith(FIELDS_IN)]
    texts = "\n".join(_text(ROOT / file) for file in files)
    names = {name.replace("_", "-") for name in re.findall(r"(?m)^ {4}(\w+): ", texts)}
    names |= set(re.findall(r'"--([a-z-]+)"', texts))
    return frozenset(names | {f"no-{name}" for name in names} | {"help"} | OF_OTHERS)


def test_flags_exist() -> None:
    """In commands, and where a flag stands alone."""
    code = re.compile(r"`[^`]+`|(?m:^ {4}.*$)")
    found = {
        f"{path.name}: --{flag}"
        for path in TEXTS
        for piece in code.findall(_text(path))
        if "tools/" in piece or piece.lstrip("` ").startswith("--")
        for flag in re.findall(r"(?<![\w-])--([a-z][a-z0-9-]*)", piece)
        if flag not in _flags()
    }
    assert not found, "\n".join(sorted(found))
