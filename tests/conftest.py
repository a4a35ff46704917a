"""Shared fixtures. Threads are pinned: two OpenMP teams on two cores fight.

``make test-chips`` sets ``TEST_THREADS`` and ``TEST_ORDER`` to show that neither matters.
"""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from datasets.builtin.scenes import draw_scenes
from tests.backbone.tflite_files import write_ssd
from tests.exports import Exports
from tests.json_results import check_results
from tests.skips import NO_SAMPLES, pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]

torch.set_num_threads(int(os.environ.get("TEST_THREADS", "1")))
# Of the programs that tests start, too: their threads would spin beside the other tests.
os.environ.setdefault("OMP_NUM_THREADS", os.environ.get("TEST_THREADS", "1"))
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
cv2.setNumThreads(0)
# Programs in the background of a script are started with Ctrl-C ignored; some tests send it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The last file first, and its last test; the tests of a file stay together."""
    if os.environ.get("TEST_ORDER") == "reversed":
        items.reverse()


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set of built-in scenes."""
    return draw_scenes(tmp_path_factory.mktemp("sets") / "scenes", num_train=24, num_val=8)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The real samples; tests that need them skip where there are none."""
    path = os.environ.get("MOBILENETS_DATA")
    if not path:
        pytest.skip(NO_SAMPLES)
    found = Path(path)
    if not found.is_dir():
        pytest.fail(f"MOBILENETS_DATA={path} is no folder")
    return found.resolve()


@pytest.fixture(scope="session")
def real_ssd_tflite(real_data: Path) -> Path:
    """TensorFlow's own SSD300 MobileNet v1."""
    return real_data / "weights" / "ssd_mobilenet_v1_0.75_300_coco_quant_detect.tflite"


@pytest.fixture(scope="session", params=["drawn", "real"])
def ssd_tflite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, and a small random one in the same format, which is always there."""
    if request.param == "real":
        found: Path = request.getfixturevalue("real_ssd_tflite")
        return found
    file = tmp_path_factory.mktemp("drawn") / "ssd.tflite"
    write_ssd(file)
    return file


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """Small models of every task and their exports, made when they are asked for."""
    return Exports(tmp_path_factory.mktemp("exports"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


Tool = Callable[..., tuple[int, str, str]]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Tool:
    """Run a tool's real main in this process: (exit status, standard output, standard error).

    A training leaves no page of its report with ``report=False``.
    """
    import importlib

    from tools import cli

    check_results()

    def run(name: str, *args: object, report: bool = True) -> tuple[int, str, str]:
        module = importlib.import_module(f"tools.{name}")
        monkeypatch.setattr(sys, "argv", [f"tools/{name}.py", *map(str, args)])
        status = 0
        try:
            cli.run(module.main if report else partial(module.main, report=False))
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capsys.readouterr()
        return status, out, err

    return run
