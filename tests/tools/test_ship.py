"""From images to a file within a budget: a whole shipment, killed at each stage."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from configs.ship import Ship
from datasets.builtin.shapes_and_breeds import draw_shapes
from tasks.runtime.open import open_export
from tests.conftest import Tool
from tests.tools.mistakes import expect
from tests.tools.runs import ROOT, assert_same_run, run_main, train
from tests.tools.stopping import stop_at
from tools.shipping import halving, handover, packing
from tools.shipping.candidates import MEASURED_NAME
from tools.shipping.plan import (
    PLAN_NAME,
    read_plan,
)
from tools.shipping.shipment import Length, open_shipment, recipe_of
from tools.shipping.snippets import FILES

# Two networks, of which each trains for a few steps.
FAST = ("--alpha", ".25", "--resolution", 48, 32, "--rounds", 1, "--workers", 0, "--threads", 1)
TINY = (*FAST, "--target", "onnx", "--device", "cpu", "--latency-ms", 10_000)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shapes(
        tmp_path_factory.mktemp("ship") / "shapes", num_train=16, num_val=4, size=32
    )


@pytest.fixture(scope="module")
def planned(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shipment that was killed when its plan was made; the plan is cut to a few epochs."""
    folder = tmp_path_factory.mktemp("ship") / "planned"
    with pytest.MonkeyPatch.context() as patch:

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr("tools.shipping.shipping.select", stop)
        with pytest.raises(KeyboardInterrupt):
            run_main("ship", "--data", images, "--out", folder, *TINY)
    plan = read_plan(folder)
    assert plan is not None
    assert len(plan.trials) == 2
    told = json.loads((folder / PLAN_NAME).read_text())
    for row in told["trials"]:
        row["length"], row["pauses"] = {"epochs": 4, "eval_every": 2}, [2]
    (folder / PLAN_NAME).write_text(json.dumps(told))
    return folder


@pytest.fixture(scope="module")
def straight(planned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same shipment, carried out in one go."""
    folder = tmp_path_factory.mktemp("ship") / "straight"
    shutil.copytree(planned, folder)
    run_main("ship", "--resume", folder)
    return folder


def digests(folder: Path) -> dict[str, str]:
    """What must be equal bit for bit: the files, and what goes with them."""
    inside = folder / "handover"
    kept = ("model.*", "Model.*", "labels.txt", "card.json")
    files = sorted(file for pattern in kept for file in inside.glob(pattern))
    assert len(files) > 5
    return {one.name: hashlib.sha256(one.read_bytes()).hexdigest() for one in files}


@pytest.mark.slow
def test_a_shipment_has_all_that_belongs_to_it(straight: Path, images: Path) -> None:
    inside = straight / "handover"
    result = json.loads((inside / "result.json").read_text())
    assert result["precision"] in ("float32", "int8")
    assert result["final"]["images"] == sum(1 for one in (images / "val").rglob("*.*"))
    low, high = result["final"]["interval"]
    assert 0 <= low <= result["final"]["value"] <= high <= 100
    exported = open_export(Path(result["files"]["onnx"]), 1)
    assert (inside / "labels.txt").read_text().split() == list(exported.card.classes.names)
    page = (inside / "report.html").read_text()
    for title in ("Why this network", "What was tried", "more images", "more time", "mistakes"):
        assert title.lower() in page.lower(), title
    assert {*FILES.values()} <= {one.name for one in inside.iterdir()}


@pytest.mark.slow
def test_the_python_program_answers_like_the_export(straight: Path, images: Path) -> None:
    file = next(images.rglob("val/*/*.*"))
    done = subprocess.run(
        [sys.executable, straight / "handover" / "model.py", file],
        capture_output=True,
        text=True,
        check=True,
    )
    result = json.loads((straight / "handover" / "result.json").read_text())
    pixels = np.asarray(Image.open(file).convert("RGB"))
    exported = open_export(Path(result["files"]["onnx"]), 1)
    shares = exported([pixels])[0]["probabilities"]
    names = exported.card.classes.names
    best = int(shares.argmax())
    first = done.stdout.splitlines()[1].split()
    assert first == [f"{shares[best]:.3f}", names[best]]


@pytest.mark.slow
def test_the_cpp_program_answers_like_the_export(
    straight: Path, images: Path, tmp_path: Path
) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler is here")
    libraries = list((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if not libraries:
        pytest.skip("ONNX Runtime's package holds no shared library here")
    library, program = tmp_path / "libonnxruntime.so.1", tmp_path / "model"
    library.symlink_to(libraries[0])
    done = subprocess.run(
        [
            *(compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror"),
            *(str(straight / "handover" / "model.cpp"), "-o", str(program)),
            *("-I", str(ROOT / "tests" / "phone"), str(library), f"-Wl,-rpath,{tmp_path}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((straight / "handover" / "result.json").read_text())
    file = Path(result["files"]["onnx"])
    pixels = np.asarray(Image.open(next(images.rglob("val/*/*.*"))).convert("RGB"))
    ppm = tmp_path / "image.ppm"
    height, width = pixels.shape[:2]
    ppm.write_bytes(f"P6\n{width} {height}\n255\n".encode() + pixels.tobytes())
    printed = subprocess.run(
        [program, file, ppm], capture_output=True, text=True, check=True
    ).stdout.split()
    assert printed[0] == "probabilities:"
    shares = open_export(file, 1)([pixels])[0]["probabilities"]
    np.testing.assert_allclose([float(word) for word in printed[1:]], shares, rtol=1e-4)


@pytest.mark.slow
def test_a_training_that_paused_is_as_if_it_had_not(
    straight: Path, planned: Path, tmp_path: Path
) -> None:
    from tools.flows.run_folder import resumed

    plan = read_plan(planned)
    assert plan is not None
    args = resumed(Ship(resume=planned), planned, ())
    shipment = open_shipment(args, tmp_path, recipe_of(args), (), "cpu")
    result = json.loads((straight / "handover" / "result.json").read_text())
    trial = next(one for one in plan.trials if one.name == result["network"])
    assert trial.length == Length(4, 2)
    halving.train_until(shipment, trial, tmp_path / "plain")
    assert_same_run(tmp_path / "plain", straight / "trials" / trial.name)


@pytest.mark.slow
def test_killed_at_every_stage_it_ends_in_the_same_files(
    straight: Path, planned: Path, tmp_path: Path
) -> None:
    """First by SIGKILL within a step of the first training; then at the border of each stage."""
    folder = tmp_path / "killed"
    shutil.copytree(planned, folder)
    killed = train("--resume", folder, tool="ship", signal_at=(2, signal.SIGKILL))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (folder / "handover").exists()

    def once(module: Any, name: str, after: bool) -> None:
        """Resume, and stop before or after a function's first call."""
        inner = getattr(module, name)

        def stop(*args: Any, **more: Any) -> None:
            if after:
                inner(*args, **more)
            raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, stop)
            with pytest.raises(KeyboardInterrupt):
                run_main("ship", "--resume", folder)

    once(halving, "score_of", after=False)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(9, patch)
        with pytest.raises(SystemExit):  # As Lightning ends on Ctrl-C.
            run_main("ship", "--resume", folder)
    once(packing, "_pack", after=True)
    once(handover, "_write_texts", after=True)
    assert not (folder / "handover" / "result.json").exists()
    run_main("ship", "--resume", folder)
    assert digests(folder) == digests(straight)


@pytest.mark.slow
def test_sigterm_saves_and_says_how_to_go_on(planned: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    shutil.copytree(planned, folder)
    stopped = train("--resume", folder, tool="ship", signal_at=(2, signal.SIGTERM))
    assert stopped.returncode == 1
    assert f"go on with tools/ship.py --resume {folder}" in stopped.stderr
    assert "Traceback" not in stopped.stderr


@pytest.mark.slow
def test_a_finished_shipment_is_only_read_again(straight: Path, tool: Tool) -> None:
    status, out, err = tool("ship", "--resume", straight, "--json")
    assert status == 0, err
    assert json.loads(out) == json.loads((straight / "handover" / "result.json").read_text())
    assert "round" not in err


@pytest.mark.slow
def test_the_plan_alone_by_times_from_elsewhere(
    images: Path, planned: Path, tool: Tool, tmp_path: Path
) -> None:
    folder = tmp_path / "plan"
    folder.mkdir()
    shutil.copy(planned / MEASURED_NAME, folder)  # Sizes that are known need no export.
    profile = tmp_path / "times.csv"
    profile.write_text("name,ms\na0.25-32-float32,3\na0.25-48-float32,7\na0.25-48-int8,4\n")
    asked = ("--data", images, *TINY[:-2], "--profile", profile, "--plan", "--out", folder)
    status, out, err = tool("ship", *asked, "--latency-ms", 5, "--json")
    assert status == 0, err
    plan = json.loads(out)
    rows = {f"a{one['alpha']:g}-{one['size']}": one for one in plan["candidates"]}
    assert rows["a0.25-32"]["float32"]["ms"] == 3
    assert rows["a0.25-32"]["int8"] is None
    assert [one["candidate"]["size"] for one in plan["trials"]] == [48, 32]
    expect(tool("ship", *asked, "--latency-ms", 1), "the least is 3.00 ms", "exceeds it by 2.00")
    assert [one.name for one in folder.iterdir()] == [MEASURED_NAME]


@pytest.mark.slow
def test_the_kit_names_its_files_as_the_profile_does(
    images: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing else stays behind."""
    monkeypatch.chdir(tmp_path)
    small = [32 if word == 48 else word for word in TINY if word != 32]
    status, _, err = tool("ship", "--data", images, *small, "--kit", "kit")
    assert status == 0, err
    kit = tmp_path / "kit"
    assert sorted(one.name for one in kit.glob("*.onnx")) == [
        "a0.25-32-float32.onnx",
        "a0.25-32-int8.onnx",
    ]
    assert "benchmark_model" in (kit / "README.md").read_text()
    assert [one.name for one in tmp_path.iterdir()] == ["kit"]
