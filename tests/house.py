"""The floors of the house, lowest first, and the imports between its files as a graph.

A file stands on the floor that lists its path, or else the nearest folder above it. Imports run
downwards or stay on their floor, and nowhere in a circle.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("backbone", "configs", "datasets", "mobilenet_suite", "tasks", "tools")

FLOORS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("what all data share: errors, text, images, types", ("datasets",)),
    (
        "one folder per kind of data",
        (
            "datasets/attributes",
            "datasets/boxes",
            "datasets/builtin",
            "datasets/identities",
            "datasets/labels",
            "datasets/positions",
            "datasets/shards",
        ),
    ),
    ("all kinds of data", ("datasets/kinds.py", "datasets/packed_pictures.py")),
    ("the body, and weights of other frameworks", ("backbone",)),
    ("cards and weights files", ("tasks/weights",)),
    ("exports in use, without torch", ("tasks/runtime",)),
    (
        "whatever the application: training, reports, exports, timing",
        (
            "tasks/application.py",
            "tasks/bare_graph.py",
            "tasks/body_network.py",
            "tasks/body_spec.py",
            "tasks/core_operators.py",
            "tasks/distillation",
            "tasks/export",
            "tasks/fitting",
            "tasks/flag_values.py",
            "tasks/int8",
            "tasks/operators.py",
            "tasks/plain_rows.py",
            "tasks/photo_graph.py",
            "tasks/photo_view.py",
            "tasks/predictor.py",
            "tasks/probabilities.py",
            "tasks/reporting",
            "tasks/square_graph.py",
            "tasks/start_network.py",
            "tasks/timing.py",
        ),
    ),
    (
        "one folder per application",
        (
            "tasks/classification",
            "tasks/dcgan",
            "tasks/detection",
            "tasks/face_attributes",
            "tasks/face_embedding",
            "tasks/geolocation",
            "tasks/multitask/application.py",
            "tasks/multitask/spec.py",
        ),
    ),
    ("all applications", ("tasks/applications.py", "tasks/find_model.py", "tasks/open_model.py")),
    ("a model in three lines", ("tasks/__init__.py", "tasks/given_image.py", "tasks/loading.py")),
    ("several applications on one body", ("tasks/multitask",)),
    ("flags and presets", ("configs",)),
    ("the command line", ("tools/__init__.py", "tools/cli.py")),
    ("what commands do, whatever the application", ("tools/flows",)),
    (
        "what one application's commands add",
        (
            "tools/classification",
            "tools/dcgan",
            "tools/detection",
            "tools/face_attributes",
            "tools/face_embedding",
            "tools/fine_grained",
            "tools/geolocation",
        ),
    ),
    (
        "commands of more than one file, over all applications",
        (
            "tools/page",
            "tools/paper_tables",
            "tools/pruning",
            "tools/service",
            "tools/speed",
        ),
    ),
    ("all recipes", ("tools/recipes.py",)),
    ("several heads, each by its recipe", ("tools/multitask",)),
    ("from data to a file, by any recipe", ("tools/shipping",)),
    ("commands", ("tools",)),
    ("the suite in one import, and the commands as one program", ("mobilenet_suite",)),
)
# The only files of datasets that the body, the tasks and the flags know: no kind of data.
FOR_LIBRARIES = {
    "backbone": {"datasets/errors.py", "datasets/json_files.py", "datasets/lfs.py"},
    "tasks": {
        "datasets/errors.py",
        "datasets/json_files.py",
        "datasets/lfs.py",
        "datasets/locks.py",
        "datasets/names.py",
        "datasets/images.py",
        "datasets/spec.py",
        "datasets/squares.py",
        "datasets/text.py",
        "datasets/types.py",
    },
    "configs": {"datasets/errors.py", "datasets/spec.py"},
}


@cache
def sources(package: str) -> tuple[Path, ...]:
    """A package's files, relative to the root."""
    return tuple(sorted(path.relative_to(ROOT) for path in (ROOT / package).rglob("*.py")))


def tree_of(file: Path) -> ast.Module:
    """A file of the house, parsed."""
    return ast.parse((ROOT / file).read_text(encoding="utf-8"))


def imported_names(tree: ast.Module, *, at_import: bool = False) -> Iterator[str]:
    """Modules and what is taken from them, dotted.

    Args:
        tree: File.
        at_import: Without what only functions import, and what only type checkers see.
    """
    nodes: list[ast.AST] = [tree]
    while nodes:
        node = nodes.pop()
        if at_import and (_is_function(node) or _is_for_types(node)):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        nodes += ast.iter_child_nodes(node)


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@cache
def modules() -> dict[str, str]:
    """Paths of all files by the names that they are imported by."""
    found = {}
    for path in (path for package in PACKAGES for path in sources(package)):
        parts = path.with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.as_posix()
    return found


@cache
def graph(*, at_import: bool = False) -> dict[str, frozenset[str]]:
    """Which files each file imports, wherever in it that stands.

    ``from package import module`` is an import of the module; that Python reads the package's
    ``__init__`` first is none of a file's doing, and counts only with ``at_import``.
    """
    known = modules()
    found = {}
    for path in known.values():
        names = set(imported_names(tree_of(Path(path)), at_import=at_import))
        if not at_import:
            whole = {name.rpartition(".")[0] for name in names if name in known}
            names -= whole & {
                name for name in names if known.get(name, "").endswith("__init__.py")
            }
        else:
            names |= {name[:k] for name in names for k, c in enumerate(name) if c == "."}
        found[path] = frozenset(known[name] for name in names if name in known) - {path}
    return found


def floor_of(path: str) -> int:
    """Number of a file's floor, from 0.

    Raises:
        KeyError: If no floor lists it.
    """
    places = {place: number for number, (_, listed) in enumerate(FLOORS) for place in listed}
    for place in (path, *(parent.as_posix() for parent in Path(path).parents)):
        if place in places:
            return places[place]
    raise KeyError(f"{path}: FLOORS in tests/house.py lists neither it nor a folder above it")


def reach(start: str, edges: dict[str, frozenset[str]]) -> set[str]:
    """All files that a file imports, directly or through others."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = edges[waiting.pop()] - found
        found |= new
        waiting += new
    return found
