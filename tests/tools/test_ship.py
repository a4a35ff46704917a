"""From images to a file within a budget: each decision by hand, and a whole shipment, killed."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from configs.ship import Ship
from datasets.builtin.shapes_and_breeds import draw_shapes
from datasets.errors import InputError
from tasks.runtime.open import open_export
from tasks.runtime.square import Square
from tests.conftest import Tool
from tests.tools.mistakes import expect
from tests.tools.runs import assert_same_run, run_main, train
from tests.tools.stopping import stop_at
from tools.shipping import halving, handover, packing
from tools.shipping.candidates import MEASURED_NAME, Candidate, Cost, Pace
from tools.shipping.plan import (
    PLAN_NAME,
    pause_shares,
    read_plan,
    shortlist,
    total_share,
)
from tools.shipping.profile import read_profile
from tools.shipping.shipment import Length, open_shipment, recipe_of
from tools.shipping.snippets import FILES, Form, Output, write_snippets
from tools.shipping.templates.cpp import CPP
from tools.shipping.templates.kotlin import KOTLIN
from tools.shipping.templates.python import PYTHON
from tools.shipping.templates.swift import SWIFT

# Two networks, of which each trains for a few steps.
FAST = ("--alpha", ".25", "--resolution", 48, 32, "--rounds", 1, "--workers", 0, "--threads", 1)
TINY = (*FAST, "--target", "onnx", "--device", "cpu", "--latency-ms", 10_000)


def candidate(alpha: float, size: int, ms: float, int8_ms: float, mb: float = 1.0) -> Candidate:
    costs = Cost(ms, round(mb * 1e6)), Cost(int8_ms, round(mb * 25e4))
    return Candidate(alpha, size, round(1e6 * alpha * alpha * size * size), *costs)


GRID = [
    candidate(1, 224, 16, 8, 17),
    candidate(1, 160, 8, 5, 17),
    candidate(0.75, 224, 9, 5.5, 10),
    candidate(0.75, 160, 5, 3, 10),
    candidate(0.5, 224, 5, 3.4, 5),
    candidate(0.5, 160, 3, 2, 5),
]


def names(found: list[Candidate]) -> list[str]:
    return [one.name for one in found]


def flags(**given: Any) -> Ship:
    return Ship(data=Path("images"), **given)


def test_only_networks_that_none_within_the_budget_exceeds_are_trained_first() -> None:
    assert names(shortlist(GRID, flags(latency_ms=20, candidates=1))) == ["a1-224"]
    # In float only the smallest fits; in 8 bits a wider one and one of larger images.
    assert names(shortlist(GRID, flags(latency_ms=3.5, candidates=3))) == [
        "a0.75-160",
        "a0.5-224",
        "a0.5-160",
    ]
    assert names(shortlist(GRID, flags(latency_ms=5, size_mb=1.3, candidates=9))) == [
        "a0.5-224",
        "a0.5-160",
    ]


def test_a_budget_that_nothing_meets_is_answered_with_what_would_be_met() -> None:
    with pytest.raises(InputError) as error:
        shortlist(GRID, flags(latency_ms=1))
    message = str(error.value)
    for part in ("the least is 2.00 ms", "a0.5-160 int8", "exceeds it by 1.00 ms", "2.2 would be"):
        assert part in message
    with pytest.raises(InputError, match="can each be met, but not by one network"):
        shortlist(
            [candidate(1, 160, 2, 2, 8), candidate(0.5, 160, 9, 9, 1)],
            flags(latency_ms=3, size_mb=0.5),
        )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8])
def test_rounds_of_halving_take_the_same_time(count: int) -> None:
    shares = pause_shares(count)
    assert list(shares) == sorted(shares)
    if count > 1:
        assert shares[-1] == pytest.approx(0.3)
    if count in (2, 4, 8):
        left = [count >> k for k in range(len(shares))]
        steps = np.diff((0.0, *shares))
        np.testing.assert_allclose(left * steps, count * shares[0])
    total = total_share(count, curve=False)
    assert total_share(count, curve=True) == pytest.approx(total + 0.25)
    assert total >= 1


def test_times_of_benchmark_model_csv_and_json(tmp_path: Path) -> None:
    printed = (
        "INFO: Graph: [/data/local/tmp/a0.5-160-int8.tflite]\n"
        "INFO: Inference timings in us: Init: 700, First inference: 9000, Warmup (avg): 4100, "
        "Inference (avg): 3456.7\nINFO: Graph: [b/a1-224-float32.tflite]\n"
        "Inference timings in us: Init: 7, Inference (avg): 1.2e+04\n"
    )
    (tmp_path / "phone.txt").write_text(printed)
    (tmp_path / "more.csv").write_text("name;ms\na0.25-128-int8;0.5\n")
    (tmp_path / "others.json").write_text('{"a0.75-192-int8": 5}')
    assert read_profile(tmp_path) == {
        "a0.5-160-int8": pytest.approx(3.4567),
        "a1-224-float32": pytest.approx(12),
        "a0.25-128-int8": 0.5,
        "a0.75-192-int8": 5,
    }
    assert read_profile(None) == {}


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("a.txt", "nothing\n", "no times in it"),
        ("a.csv", "file,time\nx,1\n", "no columns name and ms"),
        ("a.csv", "name,ms\nx,-1\n", "'-1' is not a time"),
        ("a.json", '{"x": "soon"}', "'soon' is not a time"),
    ],
)
def test_files_without_times_are_refused(tmp_path: Path, name: str, text: str, part: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=part) as error:
        read_profile(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


def test_each_target_has_its_programs() -> None:
    outputs = (
        Output("boxes", (1, 100, 4), "float32", "x1 y1 x2 y2"),
        Output("labels", (1, 100), "int32", "from 1"),
    )
    square = Square(300, "whole")
    for language, templates in zip(FILES, (KOTLIN, SWIFT, CPP, PYTHON), strict=True):
        assert {"onnx", "litert", "executorch"} <= set(templates), language
        for target in templates:
            form = Form(target, "model.tflite", outputs, None if target == "onnx" else square)
            text = write_snippets([form])[FILES[language]]
            assert "boxes" in text
            assert "model" in text
            assert "$" not in text.replace("$0", "")
            if language == "Python":
                compile(text, "model.py", "exec")
    kotlin = write_snippets([Form("litert", "model.tflite", outputs, square)])["Model.kt"]
    assert "val boxes = Array(1) { Array(100) { FloatArray(4) } }" in kotlin
    assert "val labels = Array(1) { IntArray(100) }" in kotlin


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ((), ["--data", "--task"]),
        (("--task", "classification", "--hours", 0), ["--hours 0"]),
        (("--data", "nowhere"), ["nowhere", "no such file or folder"]),
        (("--data", ".", "--target", "openvino"), ["--target openvino", "first"]),
        (("--data", ".", "--scratch", "--weights", "x"), ["--scratch"]),
        (("--data", ".", "--plan", "--kit", "x"), ["--plan", "--kit"]),
        (("--data", ".", "--max-drop", 101), ["--max-drop 101"]),
        (("--data", ".", "--target", "onnx", "onnx"), ["--target", "each once"]),
    ],
)
def test_mistakes_are_refused_at_once(
    tool: Tool, given: tuple[object, ...], parts: list[str]
) -> None:
    expect(tool("ship", *given), *parts)


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
        row["length"], row["pauses"] = {"epochs": 3, "eval_every": 1}, [1]
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
    assert trial.length == Length(3, 1)
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


def test_pace_and_length_are_stored_with_the_plan(tmp_path: Path) -> None:
    row = {
        "candidate": GRID[0].to_json(),
        "length": {"epochs": 4, "eval_every": 1},
        "pauses": [1, 2],
        "pace": {"step": 0.5, "evaluation": 3.0},
    }
    told = {"candidates": [GRID[0].to_json()], "trials": [row], "steps": 7, "seconds": 60.0}
    (tmp_path / PLAN_NAME).write_text(json.dumps(told))
    plan = read_plan(tmp_path)
    assert plan is not None
    assert plan.trials[0].pace == Pace(0.5, 3.0)
    assert plan.candidates == (GRID[0],)
    assert json.loads(json.dumps(plan.to_json())) == told
    (tmp_path / PLAN_NAME).write_text('{"trials": []}')
    with pytest.raises(InputError, match="damaged"):
        read_plan(tmp_path)
