"""The wheel: beside a project that has a name of the checkout, in either order of installation."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path
from zipfile import ZipFile

import cv2
import numpy as np
import pytest

import setup
from backbone import __version__
from tests.container import copy_into
from tests.exports import Exports
from tests.house import modules

THEIRS = "datasets"
# Names that are of use in the checkout alone.
CHECKOUTS = {name for name in modules() if "." in name and not name.startswith("mobilenet_suite.")}
_TOOLS = "|".join(name[6:] for name in CHECKOUTS if name.count(".") == 1 and name[:6] == "tools.")
TOOL_FILE = re.compile(rf"(?<![\w/.])(?:tools/)?(?:{_TOOLS})\.py\b")
ASKED = """
import sys
import datasets
from mobilenet_suite import load
import mobilenet_suite.datasets.images as images
from importlib.metadata import packages_distributions, version

assert datasets.load_dataset("x") == "theirs: x"
answer = load(sys.argv[1])(sys.argv[2])
assert abs(sum(answer.probabilities) - 1) < 1e-5 and not hasattr(datasets, "images")
assert version("mobilenet-suite") == sys.argv[3] and "torch" not in sys.modules
print(datasets.__file__, images.__file__, sep="\\n")
"""


# Commands one after another in a process, which imports torch once.
COMMANDS = """
import json, sys
from mobilenet_suite.__main__ import main

for words in json.loads(sys.argv[1]):
    sys.argv = ["mobilenets", *words]
    main()
"""


def run(command: Sequence[object], folder: Path) -> subprocess.CompletedProcess[str]:
    """A program beside a folder ``tools``, without what leads to the checkout."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def pip(*args: object, folder: Path) -> None:
    run([sys.executable, "-m", "pip", "--disable-pip-version-check", *args], folder)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a source distribution, which is built from what a checkout tracks."""
    folder = tmp_path_factory.mktemp("wheel")
    checkout, dist = folder / "checkout", folder / "dist"
    checkout.mkdir()
    copy_into(checkout)
    code = f"from setuptools.build_meta import build_sdist; build_sdist({str(dist)!r})"
    run([sys.executable, "-c", code], checkout)
    alone = ("--no-index", "--no-build-isolation", "--no-deps", "--wheel-dir", dist)
    pip("wheel", *alone, *dist.glob("*.tar.gz"), folder=folder)
    (built,) = dist.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of another project with the package ``datasets``."""
    info = f"{THEIRS}-9.0.dist-info"
    files = {
        f"{THEIRS}/__init__.py": "from datasets.loading import load_dataset as load_dataset\n",
        f"{THEIRS}/loading.py": "def load_dataset(name):\n    return f'theirs: {name}'\n",
        f"{THEIRS}/errors.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {THEIRS}\nVersion: 9.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    file = tmp_path_factory.mktemp("theirs") / f"{THEIRS}-9.0-py3-none-any.whl"
    with ZipFile(file, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return file


class Place:
    """A virtual environment that also has this one's packages, but not its checkout."""

    def __init__(self, folder: Path, wheels: Sequence[Path]) -> None:
        self.folder = folder
        venv.create(folder / "venv", symlinks=True)
        self.python, self.program = (folder / "venv/bin" / one for one in ("python", "mobilenets"))
        (self.site,) = (folder / "venv/lib").glob("python*/site-packages")
        install = ("install", "--no-index", "--no-deps", "--no-compile")
        for one in wheels:
            pip("--python", self.python, *install, one, folder=folder)
        self.link = self.site / "packages.pth"  # What it leads to is searched last.
        self.link.write_text(sysconfig.get_path("purelib"))
        for name in ("tools", "tasks"):
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text("raise ImportError('a folder of mine')")

    def uninstall(self) -> None:
        self.link.unlink()
        pip("--python", self.python, "uninstall", "-y", "mobilenet-suite", folder=self.folder)

    def contents(self) -> dict[str, bytes]:
        """The modules of both projects, by their paths."""
        files = [*self.site.glob("datasets/**/*.py"), *self.site.glob("mobilenet_suite/**/*.py")]
        return {file.relative_to(self.site).as_posix(): file.read_bytes() for file in files}


def modules_of(*wheels: Path) -> dict[str, bytes]:
    """The modules in wheels, by their paths."""
    found: dict[str, bytes] = {}
    for wheel in wheels:
        with ZipFile(wheel) as opened:
            names = [name for name in opened.namelist() if name.endswith(".py")]
            found |= {name: opened.read(name) for name in names}
    return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of two classes, to train on and to validate on."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number, part in enumerate(f"{one}/{name}" for one in ("train", "val") for name in "ab"):
        (folder / part).mkdir(parents=True)
        for k in range(4):
            pixels = rng.integers(64 * (number % 2), 256, (40, 40, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / part / f"{k}.png"), pixels)
    return folder


@pytest.mark.slow
def test_all_stands_below_one_package(wheel: Path) -> None:
    with ZipFile(wheel) as opened:
        names = opened.namelist()
        texts = {name: opened.read(name).decode() for name in names if name.endswith(".py")}
        (top,) = (name for name in names if name.endswith("/top_level.txt"))
        assert opened.read(top) == b"mobilenet_suite\n"
    info = f"mobilenet_suite-{__version__}.dist-info"
    assert {name.partition("/")[0] for name in names} == {"mobilenet_suite", info}
    assert len(texts) == len(modules())
    assert {f"mobilenet_suite/{one}" for one in ("py.typed", "tools/page/index.html")} <= {*names}
    left = [
        f"{name}:{node.lineno}: {node.value}"
        for name, source in texts.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if node.value in CHECKOUTS or TOOL_FILE.search(node.value)
    ]
    assert not left, "these are names in the checkout alone"


@pytest.mark.slow
@pytest.mark.parametrize("is_last", [True, False])
def test_both_projects_work_in_either_order(
    wheel: Path, theirs: Path, tmp_path: Path, is_last: bool, exports: Exports, photos: Path
) -> None:
    place = Place(tmp_path, (theirs, wheel) if is_last else (wheel, theirs))
    assert place.contents() == modules_of(theirs, wheel)
    model, image = exports.file("classifier"), photos / "val/a/0.png"
    done = run([place.python, "-c", ASKED, model, image, __version__], place.site)
    assert [Path(line).parent for line in done.stdout.split()] == [
        place.site / THEIRS,
        place.site / "mobilenet_suite/datasets",
    ]
    done = run([place.program, "predict", model, image, "--out", "found"], place.folder)
    assert "1 images: found" in done.stdout
    place.uninstall()
    assert place.contents() == modules_of(theirs)
    assert not place.program.exists()


@pytest.mark.slow
def test_tools_train_evaluate_and_export(
    wheel: Path, theirs: Path, tmp_path: Path, photos: Path
) -> None:
    """In one order, as the files are the same in both."""
    place = Place(tmp_path, (theirs, wheel))
    assert place.contents() == modules_of(theirs, wheel)
    model = ["--alpha", ".25", "--size", "32"]
    fit = ["--epochs", "1", "--batch-size", "4", "--workers", "2"]
    commands = (
        ["train-cls", "--data", str(photos), *model, *fit, "--out", "run"],
        ["evaluate", "run", "--data", str(photos), "--out", "evaluation"],
        ["export", "run", "--out", "model.onnx"],
        ["predict", "model.onnx", str(photos / "val")],
    )
    done = run([place.python, "-c", COMMANDS, json.dumps(commands)], place.folder)
    for part in ("report: run/report.html", "report: evaluation", "model.onnx: ", "8 images: "):
        assert part in done.stdout
    shown = (place.folder / "run/report.json").read_text()
    assert "mobilenets train-cls --data" in shown
    assert "tools/" not in shown
    text = run([place.program, "serve", "--help"], place.folder).stdout
    assert text.startswith("usage: mobilenets serve ")
    assert ".py" not in text
    module = [place.python, "-P", "-m", "mobilenet_suite", "--version"]
    assert run(module, place.folder).stdout == f"mobilenets {__version__}\n"


def test_imports_and_names_are_rewritten() -> None:
    found = setup.rewritten(
        '"""See :mod:`~tasks.loading`, as tools/train_det.py or predict.py; dist/tools/ship.py.\n'
        "\n    from tasks import load\n"
        '"""\n'
        "import datasetsx\n"
        "from datasets.errors import InputError\n"
        "from . import datasets\n"
        "def run():\n"
        "    from tools import cli\n",
        "x.py",
    )
    assert found == (
        '"""See :mod:`~mobilenet_suite.tasks.loading`, as mobilenets train-det or '
        "mobilenets predict; dist/tools/ship.py.\n"
        "\n    from mobilenet_suite.tasks import load\n"
        '"""\n'
        "import datasetsx\n"
        "from mobilenet_suite.datasets.errors import InputError\n"
        "from . import datasets\n"
        "def run():\n"
        "    from mobilenet_suite.tools import cli\n"
    )


@pytest.mark.parametrize(
    "line", ["import tasks", "import tasks.loading as x", "x = 1; from tools import cli"]
)
def test_an_import_that_is_not_rewritten_ends_the_build(line: str) -> None:
    with pytest.raises(ValueError, match=r"x\.py:2: write the import as a line"):
        setup.rewritten(f"\n{line}\n", "x.py")
