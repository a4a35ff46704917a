"""The decisions of a shipment by hand, and the programs that go with it."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from configs.ship import Ship
from datasets.errors import InputError
from tasks.runtime.open import open_export
from tasks.runtime.square import Square
from tests.conftest import Tool
from tests.exports import Exports, photos
from tests.tools.mistakes import expect
from tools.flows.targets import facts_of, notes_of, target_named
from tools.shipping import halving
from tools.shipping.candidates import Candidate, Cost, Pace
from tools.shipping.packing import calibration_images
from tools.shipping.plan import (
    PLAN_NAME,
    Plan,
    Trial,
    pause_shares,
    plan_trials,
    planned_seconds,
    read_plan,
    shortlist,
    steps_of,
    total_share,
    trial_for,
)
from tools.shipping.profile import read_profile
from tools.shipping.report import more_data
from tools.shipping.shipment import Length
from tools.shipping.snippets import FILES, Form, Output, form_of, write_snippets
from tools.shipping.templates.cpp import CPP
from tools.shipping.templates.kotlin import KOTLIN
from tools.shipping.templates.python import PYTHON
from tools.shipping.templates.swift import SWIFT


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


def pretended(images: int, **given: Any) -> Any:
    """A shipment of which only what a plan depends on exists."""
    return SimpleNamespace(
        args=flags(**given),
        run=SimpleNamespace(train=range(images), least_steps=2000),
        base=SimpleNamespace(fit=SimpleNamespace(batch_size=64, epochs=40)),
    )


@pytest.mark.parametrize("curve", [True, False])
@pytest.mark.parametrize("pace", [Pace(1.0, 5.0), Pace(1.0, 60.0), Pace(0.3, 5.0)])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_trainings_of_a_plan_take_no_longer_than_allowed(
    curve: bool, pace: Pace, count: int
) -> None:
    shipment = pretended(2000, curve=curve)
    chosen, found = GRID[:count], 0
    for seconds in (100, 200, 300, 500, 1000, 2500, 6000, 15_000):
        paces = {one.name: pace for one in chosen}
        trials = plan_trials(shipment, chosen, paces, seconds)
        if not trials:
            continue
        found += 1
        assert len(trials) == count
        planned = planned_seconds(Plan((), trials, steps_of(shipment), seconds), curve=curve)
        assert planned <= seconds
        assert trials[0].length.epochs > 80 or planned > 0.5 * seconds
    assert found


def test_a_network_alone_gets_an_epoch_even_without_time_for_its_curve() -> None:
    shipment, pace = pretended(640, curve=True), Pace(1.0, 60.0)
    paces = {GRID[0].name: pace}
    trials = plan_trials(shipment, GRID[:1], paces, 90)
    assert [one.length.epochs for one in trials] == [1]
    assert planned_seconds(Plan((), trials, 10, 90), curve=True) == 10 + 60 + 2.5 + 60
    assert not plan_trials(shipment, GRID[:1], paces, 50)
    longer = plan_trials(shipment, GRID[:1], paces, 900)
    assert planned_seconds(Plan((), longer, 10, 900), curve=True) <= 900


def test_rounds_end_at_evaluations_that_there_are_anyway() -> None:
    shipment, pace = pretended(2000), Pace(1.0, 5.0)
    trial = trial_for(shipment, GRID[0], pace, 31 * 30 + 15 * 5 + 10, pause_shares(4))
    assert trial is not None
    assert (trial.length, trial.pauses) == (Length(30, 2), (2, 8))
    for epochs in range(12, 80):
        found = trial_for(shipment, GRID[0], pace, epochs * 37.0, pause_shares(8))
        assert found is not None
        assert all(pause % found.length.eval_every == 0 for pause in found.pauses)
        assert list(found.pauses) == sorted({*found.pauses})
        assert found.pauses[-1] < found.length.epochs
    assert trial_for(shipment, GRID[0], pace, 80.0, pause_shares(8)) is None


@pytest.mark.parametrize("damaged", [{0}, {0, 1, 2}, {3}, {0, 1, 2, 3, 4}])
def test_damaged_images_are_passed_over_in_calibration(tmp_path: Path, damaged: set[int]) -> None:
    class Five:
        def __len__(self) -> int:
            return 5

        def image(self, index: int) -> Any:
            if index in damaged:
                raise InputError(f"{index}: damaged")
            return np.full((8, 8, 3), 50 * index, np.uint8)

    shipment: Any = SimpleNamespace(
        folder=tmp_path, path=Path("images"), run=SimpleNamespace(train=Five())
    )
    if len(damaged) == 5:
        with pytest.raises(InputError, match="images: none of the 5"):
            calibration_images(shipment)
        return
    shades = [
        np.asarray(Image.open(file)) for file in sorted(calibration_images(shipment).iterdir())
    ]
    first = min({*range(5)} - damaged)
    wanted = [max((k for k in range(i + 1) if k not in damaged), default=first) for i in range(5)]
    assert [round(float(shade.mean()) / 50) for shade in shades] == wanted


@pytest.mark.parametrize("curve", [[], [(4, 0.5), (4, 0.5)]])
def test_without_two_points_there_is_no_learning_curve(curve: list[tuple[int, float]]) -> None:
    shipped: Any = SimpleNamespace(curve=curve)
    assert more_data(shipped) == ""


def test_a_quarter_that_is_too_little_to_train_on_ends_no_shipment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise InputError("faces: 2 people to train on")

    monkeypatch.setattr(halving, "finish", lambda *_: {"score": 0.5, "images": 8})
    monkeypatch.setattr(halving, "train_until", refuse)
    shipment: Any = SimpleNamespace(folder=tmp_path)
    trial = Trial(GRID[0], Length(4, 1), (), Pace(1.0, 1.0))
    assert halving.learning_curve(shipment, trial) == []
    assert "no learning curve: faces: 2 people" in capsys.readouterr().err


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


@pytest.mark.slow
@pytest.mark.parametrize("target", ["litert", "executorch"])
@pytest.mark.parametrize("kind", ["classifier", "ssd"])
def test_the_python_program_of_phones_answers_like_the_export(
    exports: Exports, tmp_path: Path, target: str, kind: str
) -> None:
    source = exports.source(kind)
    chosen = target_named(target)
    file = tmp_path / f"model{chosen.runtime.suffix}"
    chosen.write(source, facts_of(chosen, source), file, False)
    chosen.write_notes(file, notes_of(source.card, facts_of(chosen, source)))
    image = photos()[0]
    form = form_of(file, source.application.outputs, image)
    (tmp_path / "model.py").write_text(write_snippets([form])["model.py"])
    names = source.card.classes.names
    (tmp_path / "labels.txt").write_text("".join(f"{name}\n" for name in names))
    exif = Image.Exif()
    exif[0x0112] = 6  # Turned to the left; to be turned to the right.
    Image.fromarray(np.rot90(image)).save(tmp_path / "image.png", exif=exif)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import model, numpy\n"
        "found = model.answer(model.upright(sys.argv[1] + '/image.png'))\n"
        "numpy.savez(sys.argv[1] + '/found.npz', **found)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found, wanted = np.load(tmp_path / "found.npz"), open_export(file, 1)([image])[0]
    real = found["labels"] > 0 if "labels" in found else slice(None)
    for name, value in wanted.items():  # Of a crop, the resize may differ by a level of 255.
        np.testing.assert_allclose(found[name][real], value, rtol=1e-3, atol=0.02)
