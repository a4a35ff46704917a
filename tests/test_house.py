"""The rules of the house: which way imports run, how long files may be, how texts are opened."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from datasets.kinds import KINDS
from tasks.application import PhotoApplication
from tasks.applications import APPLICATIONS
from tests.exports import Exports
from tests.house import (
    FLOORS,
    FOR_LIBRARIES,
    PACKAGES,
    ROOT,
    floor_of,
    graph,
    imported_names,
    reach,
    sources,
    tree_of,
)

PRODUCT = [path for package in PACKAGES for path in sources(package)]
TOOLS = [
    path
    for path in sources("tools")
    if len(path.parts) == 2 and path.stem not in ("__init__", "cli", "recipes")
]
# Functions of this name that open something else than a text.
_NO_TEXTS = {"tarfile.open", "os.open", "Image.open"}
NETWORKS = [
    path.as_posix()
    for path in PRODUCT
    if path.parts[0] == "backbone" or path.name in ("model.py", "losses.py", "networks.py")
]


def test_every_file_has_a_floor_and_every_floor_has_files() -> None:
    places = [place for _, listed in FLOORS for place in listed]
    assert len(set(places)) == len(places)
    for place in places:
        assert (ROOT / place).exists(), f"{place} is listed, but is no more"
    numbers = {floor_of(path.as_posix()) for path in PRODUCT}
    assert numbers == set(range(len(FLOORS)))


@pytest.mark.slow
def test_imports_run_downwards() -> None:
    upwards = [
        f"{path} ({FLOORS[floor_of(path)][0]}) -> {other} ({FLOORS[floor_of(other)][0]})"
        for path, others in graph().items()
        for other in others
        if floor_of(other) > floor_of(path)
    ]
    assert not upwards, "\n".join([*upwards, "a new folder? FLOORS in tests/house.py lists each"])


@pytest.mark.slow
def test_imports_never_run_in_a_circle() -> None:
    edges = graph()
    assert [path for path in edges if path in reach(path, edges)] == []


@pytest.mark.slow
@pytest.mark.parametrize("package", FOR_LIBRARIES)
def test_libraries_know_no_kind_of_data(package: str) -> None:
    for path, others in graph().items():
        if path.startswith(f"{package}/"):
            data = {other for other in others if other.startswith("datasets/")}
            assert data <= FOR_LIBRARIES[package], path


@pytest.mark.slow
def test_networks_never_import_lightning() -> None:
    """Neither by themselves nor through anything that they import."""
    edges = graph(at_import=True)
    assert len(NETWORKS) > len(sources("backbone"))
    trainers = {
        path
        for path in edges
        if any(name.split(".")[0] == "lightning" for name in imported_names(tree_of(Path(path))))
    }
    assert trainers
    for path in NETWORKS:
        assert not trainers & {path, *reach(path, edges)}, path


@pytest.mark.slow
def test_one_file_imports_albumentations() -> None:
    users = {
        path.as_posix()
        for path in PRODUCT
        for name in imported_names(tree_of(path))
        if name.split(".")[0] == "albumentations"
    }
    assert users == {"datasets/boxes/augmentation.py"}


@pytest.mark.slow
def test_runtime_takes_an_export_without_torch(exports: Exports) -> None:
    """Nothing that it imports imports torch, and neither does opening an export."""
    code = (
        "import sys; from pathlib import Path\n"
        "import tasks.weights.card\n"
        "from tasks.runtime.open import open_export, read_card\n"
        "path = Path(sys.argv[1])\n"
        "assert open_export(path, 1).card == read_card(path)\n"
        "assert 'torch' not in sys.modules"
    )
    file = exports.file("classifier")
    done = subprocess.run(
        [sys.executable, "-c", code, file], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr


def test_files_are_short() -> None:
    for path in (*PRODUCT, *sources("tests")):
        lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        assert lines <= (80 if path in TOOLS else 400), f"{path} has {lines} lines"


@pytest.mark.slow
def test_tests_import_no_tests() -> None:
    """What several tests need stands in modules without tests."""
    for path in sources("tests"):
        for name in imported_names(tree_of(path)):
            assert not (name.startswith("tests.") and ".test_" in name), f"{path}: {name}"


@pytest.mark.slow
def test_texts_name_their_encoding() -> None:
    """Else the system's is taken, which is another one elsewhere."""
    found = [
        f"{path}:{node.lineno}: {ast.unparse(node.func)}"
        for path in PRODUCT
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and _opens_text(node) and not _names_encoding(node)
    ]
    assert not found, "\n".join(found)


def _opens_text(call: ast.Call) -> bool:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in ("read_text", "write_text"):
        return isinstance(call.func, ast.Attribute)  # Our own write_text(path, text) writes UTF-8.
    if name != "open" or ast.unparse(call.func) in _NO_TEXTS:
        return False
    given = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
    texts = [str(one.value) for one in given if isinstance(one, ast.Constant)]
    modes = [text for text in texts if set(text) <= set("rwaxbt+")]
    return not given or any("b" not in mode for mode in modes)


def _names_encoding(call: ast.Call) -> bool:
    return any(word.arg == "encoding" for word in call.keywords)


@pytest.mark.slow
@pytest.mark.parametrize("tool", [path.stem for path in TOOLS])
def test_help_comes_without_torch(tool: str) -> None:
    code = (
        "import sys, runpy; sys.argv = ['tool', '--help']\n"
        "try: runpy.run_path(sys.argv.pop() and PATH, run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code\n"
        "assert not {'torch', 'lightning', 'albumentations', 'cv2'} & set(sys.modules)"
    )
    code = code.replace("sys.argv.pop() and PATH", repr(str(ROOT / f"tools/{tool}.py")))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "--threads" in done.stdout
    assert "--json" in done.stdout


# What may name an application outside of its own folders: the three tuples, and the names that
# flags take.
_LISTS = {
    "tasks/applications.py",
    "tools/recipes.py",
    "datasets/kinds.py",
    "configs/task_names.py",
}
# Tables of what others published, by application; peers to be timed beside; what boxes are
# compared with in the doctor; and labelled photos, which loaders hand out with their evaluator.
_TABLES = (
    "configs/paper",
    "configs/published.py",
    "tools/paper_tables/",
    "tools/speed/peers.py",
    "tools/check_data.py",
    "tools/flows/photo_loaders.py",
)


def _at_home() -> tuple[str, ...]:
    """Where applications are at home; some build on others from folders of their own."""
    names = [one.name for one in APPLICATIONS] + ["fine_grained", "gan", "prune", "pruning"]
    own = [f"{top}/{name}/" for name in names for top in ("tasks", "tools")]
    own += [f"configs/{name}.py" for name in names]
    own += [f"tools/{one.train_tool}.py" for one in APPLICATIONS]
    own += [f"datasets/{kind.name}/" for kind in KINDS]
    return (*own, "tools/train_dogs.py", "tools/prune.py", "datasets/builtin/")


@pytest.mark.slow
def test_doors_know_no_application() -> None:
    """Neither by its name in a text of code, nor by an import of more than its flags."""
    answering = [one.name for one in APPLICATIONS if isinstance(one, PhotoApplication)]
    names = {*answering, *(kind.task for kind in KINDS)}
    found = set()
    for path in PRODUCT:
        place = path.as_posix()
        if place in _LISTS or place.startswith((*_at_home(), *_TABLES)):
            continue
        tree = tree_of(path)
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in names:
                found.add(f"{place}:{node.lineno}: {node.value!r}")
        for name in imported_names(tree):
            top, package, *inside = [*name.split("."), "", ""]
            if top == "tasks" and package in names and inside[0] not in ("", "spec"):
                found.add(f"{place}: imports {name}")
    assert not found, "\n".join(sorted(found))
