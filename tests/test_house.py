"""The rules of the house: which way imports run, and how long files may be."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("backbone", "configs", "datasets", "tasks", "tools")
# Who may import whom: tools -> configs -> tasks -> backbone, datasets.
ALLOWED = {
    "backbone": {"backbone"},
    "datasets": {"datasets"},
    "tasks": {"tasks", "backbone", "datasets.types"},
    "configs": {"configs", "tasks", "backbone", "datasets.spec"},
    "tools": set(PACKAGES),
}


def sources(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.split(".")[0] in PACKAGES}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_one_way(package: str) -> None:
    for file in sources(package):
        for name in imports(file):
            parts = name.split(".")
            prefixes = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
            if prefixes & ALLOWED[package]:
                continue
            # "from datasets.types import X" is seen as datasets.types and datasets.types.X.
            assert any(a.startswith(f"{name}.") for a in ALLOWED[package]), f"{file}: {name}"


def test_networks_never_import_lightning() -> None:
    for file in (*sources("backbone"), ROOT / "tasks/detection/ssd.py"):
        assert "lightning" not in file.read_text()


def test_only_transforms_imports_albumentations() -> None:
    users = [f for p in PACKAGES for f in sources(p) if "import albumentations" in f.read_text()]
    assert users == [ROOT / "datasets/boxes/augmentation.py"]


def test_files_are_short() -> None:
    for package in (*PACKAGES, "tests"):
        for file in sources(package):
            lines = len(file.read_text().splitlines())
            assert lines <= 400, f"{file} has {lines} lines"
    for file in (ROOT / "tools").glob("*.py"):
        if "#!/usr/bin/env python" in file.read_text():
            assert len(file.read_text().splitlines()) <= 80, file


@pytest.mark.parametrize(
    "tool",
    [
        "train_det",
        "train_cls",
        "train_dogs",
        "train_geo",
        "make_cells",
        "train_attr",
        "train_embed",
        "train_gan",
        "train_multi",
        "prune",
        "evaluate",
        "predict",
        "export",
        "demo",
        "check_data",
        "import_weights",
        "paper",
        "benchmark",
        "choose",
        "upload",
        "download",
    ],
)
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
