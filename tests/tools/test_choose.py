"""The best network for a budget: the choice on tables made by hand, the tool on a tiny grid."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.applications import photo_application
from tasks.body_spec import ClassifierSpec
from tasks.classification.application import CLASSIFICATION
from tasks.classification.model import Classifier
from tasks.detection.application import DETECTION
from tasks.weights.card import Card
from tasks.weights.file import save_weights
from tasks.weights.names import WEIGHTS_NAME
from tests.conftest import Tool
from tests.tools.mistakes import expect
from tools.flows import targets
from tools.flows.targets import target_named
from tools.speed import measuring
from tools.speed.accuracies import Shape, known_accuracies, own_runs
from tools.speed.budget import Option, decide, front

TINY = ("--alpha", ".25", "--rounds", "2", "--threads", "1", "--json")
FAST = (*TINY, "--runtime", "pytorch", "--resolution", "128", "32")
# Name, milliseconds, megabytes, mult-adds, accuracy.
TABLE = [
    Option("large", 20, 17, 569, 70.6),
    Option("large int8", 9, 4.3, 569, 69.7),
    Option("middle", 10, 10.4, 325, 68.4),
    Option("small", 6, 5.4, 149, 63.7),
    Option("small int8", 3, 1.4, 149, 62.2),
    Option("tiny", 2, 1.9, 41, 50.6),
    Option("unknown", 4, 3, 200),
    Option("unknown, slow", 30, 30, 900),
]


@pytest.mark.parametrize(
    ("ms", "mb", "name"),
    [
        (None, None, "large"),
        (20, None, "large"),
        (19.9, None, "large int8"),
        (8, None, "small"),
        (None, 4, "small int8"),
        (6, 5.4, "small"),
        (2.5, 4, "tiny"),
    ],
)
def test_most_accurate_within_the_budget(ms: float | None, mb: float | None, name: str) -> None:
    verdict = decide(TABLE, ms, mb)
    assert verdict.best is not None
    assert verdict.best.name == name
    assert not verdict.reasons


def test_equally_accurate_the_faster_is_chosen() -> None:
    twins = [Option("slow", 5, 1, 1, 60.0), Option("fast", 4, 1, 1, 60.0)]
    assert decide(twins, 9, None).best == twins[1]
    assert front(twins, lambda o: o.ms) == [twins[1]]


def test_a_limit_that_none_meets_is_named_with_the_nearest() -> None:
    verdict = decide(TABLE, 1.5, 10)
    assert verdict.best is None
    assert verdict.nearest is not None
    assert verdict.nearest.name == "tiny"
    assert verdict.untold is None
    assert verdict.reasons == ("--latency-ms 1.5 cannot be met: the least is 2.00 ms, tiny",)


def test_both_limits_may_be_out_of_reach() -> None:
    verdict = decide(TABLE, 1.0, 1.0)
    assert [reason.split()[0] for reason in verdict.reasons] == ["--latency-ms", "--size-mb"]
    # 3 ms and 1.4 MB exceed it threefold, 2 ms and 1.9 MB twofold.
    assert verdict.nearest is not None
    assert verdict.nearest.name == "tiny"


def test_limits_that_no_one_network_meets_together() -> None:
    options = [Option("fast", 1, 9, 1, 60.0), Option("light", 9, 1, 1, 50.0)]
    verdict = decide(options, 2, 2)
    assert verdict.best is None
    (reason,) = verdict.reasons
    assert reason == "--latency-ms 2 and --size-mb 2 can each be met, but not by one network"


def test_what_is_unknown_is_never_the_best_but_is_named() -> None:
    verdict = decide(TABLE[:1] + TABLE[-2:], 19, None)
    assert verdict.best is None
    assert verdict.untold is not None
    assert verdict.untold.name == "unknown"
    nothing = decide(TABLE[-2:], 5, None)
    assert nothing.reasons == ("nothing is known of the accuracy of these networks",)
    assert nothing.nearest is None


def test_front_rises_in_cost_and_accuracy() -> None:
    over_time = [option.name for option in front(TABLE, lambda o: o.ms)]
    assert over_time == ["tiny", "small int8", "small", "large int8", "large"]
    over_size = [option.name for option in front(TABLE, lambda o: o.mb)]
    assert over_size == ["small int8", "large int8", "large"]


def told(task: str, alpha: float, size: int, precision: str = "float32") -> dict[str, float]:
    framework = {"detection": "ssd300", "two_stage": "faster_rcnn_600"}.get(task, "")
    application = photo_application(task.replace("two_stage", "detection"), "")
    shape = Shape(application, framework, alpha, size)
    return {one.origin: one.percent for one in known_accuracies(shape, precision)}


def test_each_accuracy_keeps_its_origin() -> None:
    assert told("classification", 1.0, 224) == {"paper": 70.6, "tensorflow": 70.9}
    assert told("classification", 0.5, 160) == {"paper": 60.2, "tensorflow": 59.1}
    assert told("classification", 0.5, 192) == {"tensorflow": 61.7}
    # The paper's are float networks.
    assert told("classification", 1.0, 224, "int8") == {"tensorflow": 69.7}
    assert told("classification", 0.3, 224) == {}
    assert told("detection", 1.0, 300) == {"paper": 19.3, "tensorflow": 21.0}
    assert told("detection", 0.75, 300, "int8") == {"tensorflow": 16.0}
    assert told("two_stage", 1.0, 600) == {"paper": 19.8}
    assert told("geolocation", 1.0, 224) == {"paper": 45.2}
    assert told("face_attributes", 0.5, 128) == {"paper": 87.7}
    assert told("face_embedding", 0.75, 160) == {"paper": 75.2}
    shape = Shape(CLASSIFICATION, "", 0.5, 160)
    words = [one.told for one in known_accuracies(shape, "float32")]
    assert words == ["printed in the paper, table 9", "published with TF-slim's weights"]


def finish(folder: Path, names: list[str], top1: float) -> Path:
    """A run folder with real, random weights."""
    spec = ClassifierSpec(alpha=0.25, size=32)
    model = Classifier(spec, len(names))
    flavour = model.body.flavour
    classes = ClassMap.from_names(names)
    card = Card("classification", spec.to_json(), flavour, classes, {"top1": top1})
    save_weights(folder / WEIGHTS_NAME, model.state_dict(), card)
    return folder


@pytest.mark.slow
def test_runs_on_other_classes_are_refused(tmp_path: Path) -> None:
    finish(tmp_path / "a", ["cat", "dog"], 0.7)
    finish(tmp_path / "b", ["dog", "cat"], 0.8)
    assert len(own_runs([tmp_path], CLASSIFICATION)) == 2
    assert not own_runs([tmp_path], DETECTION)
    finish(tmp_path / "c", ["cat", "dog", "cow"], 0.9)
    with pytest.raises(ValueError, match=r"2 classes and .*c 3 others"):
        own_runs([tmp_path], CLASSIFICATION)


def read(tool: Tool, *args: object) -> Any:
    status, out, err = tool("choose", *args)
    assert status == 0, err
    return json.loads(out)


@pytest.mark.slow
def test_a_tiny_grid_in_onnxruntime(tool: Tool, tmp_path: Path) -> None:
    flags = (*TINY, "--resolution", "32", "--latency-ms", "1e6", "--out", tmp_path)
    found = read(tool, *flags)
    names = {row["name"]: row for row in found["networks"]}
    plain, small = (names[f"MobileNet 0.25-32 {p}"] for p in ("float32", "int8"))
    assert small["mb"] < 0.4 * plain["mb"]
    assert 0 < plain["p10"] <= plain["ms"] <= plain["p90"]
    assert plain["mult_adds"] == small["mult_adds"]
    assert "--int8 --calibrate" in small["command"]
    # Nobody has told its accuracy, so it is not called the best.
    assert found["best"] is None
    assert found["largest_of_unknown_accuracy"] == plain["name"]
    assert found["reasons"] == ["nothing is known of the accuracy of these networks"]


@pytest.mark.slow
def test_page_budget_and_memory_of_measurements(tool: Tool, tmp_path: Path) -> None:
    flags = (*FAST, "--out", tmp_path)
    found = read(tool, *flags, "--latency-ms", "1e6", "--size-mb", "4")
    assert found["best"] == "MobileNet 0.25-128 float32"
    assert found["by"] == "tensorflow"
    assert found["front"] == [found["best"]]
    page = (tmp_path / "choose.html").read_text()
    assert "published with TF-slim" in page
    assert page.count("data:image/svg+xml") == 2
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "choose.json").read_text()) == found
    first = (tmp_path / "measured.json").read_text()
    again = read(tool, *flags, "--size-mb", ".001")
    assert (tmp_path / "measured.json").read_text() == first
    assert again["best"] is None
    assert again["nearest"] == found["best"]
    assert "--size-mb 0.001 cannot be met" in again["reasons"][0]
    renewed = read(tool, *flags, "--again")
    assert (tmp_path / "measured.json").read_text() != first
    assert renewed["networks"][0]["rounds"] == 2
    # Another number of threads is another measurement.
    other = read(tool, *FAST, "--threads", "2", "--resolution", "32", "--out", tmp_path)
    assert len(json.loads((tmp_path / "measured.json").read_text())) == 2
    assert [row["resolution"] for row in other["networks"]] == [32]
    torch.set_num_threads(1)


@pytest.mark.slow
def test_own_runs_are_measured_with_their_weights(tool: Tool, tmp_path: Path) -> None:
    run = finish(tmp_path / "runs/one", ["cat", "dog"], 0.75)
    out = tmp_path / "out"
    found = read(tool, *FAST, "--runs", tmp_path / "runs", "--latency-ms", "1e6", "--out", out)
    assert found["by"] == "runs"
    assert found["best"] == f"{run} float32"
    (row,) = (row for row in found["networks"] if row["name"] == found["best"])
    assert row["accuracies"] == [{"percent": 75.0, "origin": "runs", "told": f"measured in {run}"}]
    assert row["command"] == f"tools/export.py {run}"
    others = [row for row in found["networks"] if row["name"] != found["best"]]
    assert not any(one["origin"] == "runs" for row in others for one in row["accuracies"])


@pytest.mark.slow
def test_what_a_runtime_cannot_hold_is_left_out(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file that cannot be written does not end the comparison of the others."""

    def lacking(*_: object) -> None:
        raise InputError("LiteRT lacks it")

    monkeypatch.setattr(
        measuring, "target_named", lambda name: replace(target_named(name), from_onnx=lacking)
    )
    monkeypatch.setattr(targets, "write_onnx", lambda *_: None)
    flags = (*FAST, "--runtime", "litert", "--precision", "float32", "--resolution", "32")
    answer = tool("choose", *flags, "--out", tmp_path)
    expect(answer, "in float32 is left out: LiteRT lacks it", "none of these networks can be me")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--latency-ms", "0"], "--latency-ms 0.0 must be above 0"),
        (["--alpha", "-1"], "--alpha -1.0 must be above 0"),
        (["--resolution", "16"], "--resolution 16 is too small: 32 pixels or more"),
        (["--runtime", "pytorch", "--precision", "int8"], "goes with --runtime onnxruntime"),
        (["--framework", "faster_rcnn_300"], "is for --task detection"),
        (["--by", "runs"], "name their folders with --runs"),
        (["--runs", "nowhere"], "--runs nowhere: no such folder"),
        (["--task", "deciding"], "--task"),
    ],
)
def test_mistakes_are_named(tool: Tool, flags: list[str], message: str) -> None:
    expect(tool("choose", *flags), message)


def test_damaged_measurements_are_named(tool: Tool, tmp_path: Path) -> None:
    kept = tmp_path / "measured.json"
    for text in ("{", "[]", '{"chip": 1}'):
        kept.write_text(text)
        status, _, err = tool("choose", *FAST, "--out", tmp_path)
        assert status == 2
        assert f"{kept}: not what choose.py keeps there" in err
        assert kept.read_text() == text


@pytest.mark.slow
def test_each_network_in_litert_has_a_file_of_its_own(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LiteRT reads a file while it computes: one that is written over ends the process."""
    opened: list[Path] = []
    inner = measuring.open_export

    def note(path: Path, threads: int) -> Any:
        opened.append(path)
        return inner(path, threads)

    monkeypatch.setattr(measuring, "open_export", note)
    flags = ("--alpha", ".25", "--rounds", "1", "--threads", "1", "--resolution", "64", "32")
    litert = ("--runtime", "litert", "--precision", "float32")
    status, _, err = tool("choose", *flags, *litert, "--out", tmp_path)
    assert status == 0, err
    assert len(set(opened)) == len(opened) == 2
