"""tools/import_weights.py on files as people have them; drawn ones stand in for real ones."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tasks.classification.application import CLASSIFICATION
from tasks.predictor import open_network
from tasks.weights.head_files import load_weights
from tests.backbone import foreign
from tests.backbone.keras_files import dense, layer, mobilenet, model, top, write_h5, write_zip
from tests.backbone.tflite_files import write_classifier, write_grey
from tests.conftest import Tool
from tests.skips import NO_SAMPLES
from tests.tools.mistakes import expect

BOTH = pytest.mark.parametrize("which", ["drawn", "real"])
RETINA = ("--padding", "symmetric", "--bn-eps", 1e-5, "--activation", "leaky_relu:0.1")
CAFFES = ("--size", 64, "--mean", 0.4, 0.4, 0.4, "--std", 1, 1, 1)


@pytest.fixture
def found(request: pytest.FixtureRequest) -> Callable[[str], Path]:
    """Files from public repositories, beside the real samples."""

    def find(name: str) -> Path:
        folder: Path = request.getfixturevalue("real_data")
        file = folder.parent / "wild" / "weights" / name
        if not file.is_file():
            pytest.skip(NO_SAMPLES)
        return file

    return find


def lively(columns: int, activation: str) -> dict[str, Tensor]:
    return mobilenet(columns, activation)[0]


@BOTH
@pytest.mark.parametrize("name", ["mobilenet_relu", "mobilenet_rescaling255"])
@pytest.mark.slow
def test_a_keras_file_is_run_itself(
    tool: Tool,
    tmp_path: Path,
    found: Callable[[str], Path],
    which: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its activation and scaling are read from it; Keras' stock model has others."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras")
    source, out = tmp_path / f"{name}.h5", tmp_path / "out.safetensors"
    if which == "real":
        source = found(f"{name}.h5")
    else:
        activation = "relu" if name == "mobilenet_relu" else "relu6"
        scaling = [] if name == "mobilenet_relu" else [keras.layers.Rescaling(1 / 255)]
        save_keras(source, activation, scaling)
    status, text, err = tool("import_weights", source, "--out", out, "--json")
    assert status == 0, err
    result = json.loads(text)
    assert result["flavour"]["activation"] == ("relu" if name == "mobilenet_relu" else "relu6")
    mean, std = (0.5, 0.5) if name == "mobilenet_relu" else (0, 1)
    assert result["flavour"]["input"]["mean"] == pytest.approx([mean] * 3)
    assert result["flavour"]["input"]["std"] == pytest.approx([std] * 3)
    compared = result["compared"]
    assert compared["runtime"] == "Keras"
    assert compared["difference"] < 2e-5
    assert compared["agreed"] == 8


def save_keras(file: Path, activation: str, before: list[object]) -> None:
    """A MobileNet v1 by Keras itself, with statistics as training leaves them."""
    import keras

    stock = keras.applications.MobileNet(
        weights=None, alpha=0.25, input_shape=(64, 64, 3), classes=5
    )
    entry = keras.Input((64, 64, 3))
    x = entry
    for one in before:
        x = one(x)  # type: ignore[operator]
    for one in stock.layers[1:]:
        x = keras.layers.ReLU()(x) if activation == "relu" and "relu" in one.name else one(x)
    whole = keras.Model(entry, x)
    rng = torch.Generator().manual_seed(1)
    for variable in whole.weights:
        value = torch.randn(tuple(variable.shape), generator=rng)
        if len(variable.shape) == 4:
            fan = value[..., 0].numel() if value.shape[-1] > 1 else 9
            variable.assign(value * (2 / fan) ** 0.5)
        else:
            positive = variable.name in ("gamma", "moving_variance")
            variable.assign(value.abs() * 0.5 + 0.5 if positive else value * 0.1)
    whole.save(file)


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_h5, write_zip])
def test_two_dense_layers_leave_the_body(
    tool: Tool, tmp_path: Path, write: Callable[..., Path]
) -> None:
    _, layers, arrays = mobilenet()
    arrays |= dense("dense_1", torch.rand(3, 6), torch.rand(3))
    suffix = "h5" if write is write_h5 else "keras"
    scaled = [layer("Rescaling", "r", scale=1 / 255), *layers, *top("relu", "softmax")]
    source = write(tmp_path / f"m.{suffix}", model(scaled), arrays)
    out = tmp_path / "out.safetensors"
    status, text, err = tool("import_weights", source, "--out", out)
    assert status == 0, err
    assert load_weights(out)[1].task == "body"
    assert "left out: 4 tensors that no body or classifier has" in text
    status, text, _ = tool("import_weights", source, "--out", out, "--json")
    assert len(json.loads(text)["left_out"]) == 4


@pytest.mark.slow
@BOTH
def test_integers_are_fed_as_integers(
    tool: Tool, tmp_path: Path, found: Callable[[str], Path], which: str
) -> None:
    """By the file's own scale and zero point, which tell its mean and std, too."""
    pytest.importorskip("ai_edge_litert")
    source, out = tmp_path / "int8.tflite", tmp_path / "out.safetensors"
    if which == "real":
        source = found("vww_96_int8.tflite")
    else:
        write_classifier(source, entry=(1 / 255, 0), signed=True)
    status, text, err = tool("import_weights", source, "--out", out, "--json")
    assert status == 0, err
    result = json.loads(text)
    assert result["flavour"]["input"]["mean"] == pytest.approx([0] * 3, abs=1e-6)
    assert result["flavour"]["input"]["std"] == pytest.approx([1] * 3, abs=1e-6)
    assert result["compared"]["runtime"] == "LiteRT"
    assert result["compared"]["difference"] < 0.06
    assert open_network(out, CLASSIFICATION)[1].folded


@pytest.mark.slow
@BOTH
def test_a_network_of_grey_pictures_is_told(
    tool: Tool, tmp_path: Path, found: Callable[[str], Path], which: str
) -> None:
    source = (
        found("person_detect.tflite") if which == "real" else write_grey(tmp_path / "g.tflite")
    )
    size = 96 if which == "real" else 64
    said = f"takes images of {size}x{size}x1 and its first layer is depthwise: not a MobileNet v1"
    expect(tool("import_weights", source, "--out", tmp_path / "o"), str(source), said)


@pytest.mark.slow
@BOTH
def test_a_detectors_body_comes_in_by_a_drafted_key_map(
    tool: Tool, tmp_path: Path, found: Callable[[str], Path], which: str
) -> None:
    """The others are named; order and shapes draft the map that the message asks for."""
    out, table = tmp_path / "out.safetensors", tmp_path / "map.json"
    if which == "real":
        source, wanted = found("mobilenet0.25_Final.pth"), 118
        right = json.loads(found("retina_map.json").read_text())
    else:
        state = foreign.in_order(foreign.random_state(0))
        right = dict(zip(foreign.random_state(0), state, strict=True))
        more = {"heads.0.weight": torch.rand(4, 40, 1, 1), "heads.0.bias": torch.rand(4)}
        more["heads.1.weight"] = torch.rand(3, 40, 1, 1)
        source, wanted = tmp_path / "d.pth", 3
        torch.save({f"module.{name}": value for name, value in {**state, **more}.items()}, source)
    answer = tool("import_weights", source, *RETINA, *CAFFES, "--out", out)
    expect(answer, "give --key-map FILE.json", "--list-keys drafts")
    status, text, err = tool("import_weights", source, "--list-keys")
    assert status == 0, err
    draft = json.loads(text)
    assert {k: v for k, v in draft.items() if k.startswith("body.")} == {
        k: v for k, v in right.items() if not k.endswith("tracked")
    }
    table.write_text(json.dumps({k: v for k, v in draft.items() if k.startswith("body.")}))
    flags = ("--key-map", table, *RETINA, *CAFFES, "--out", out)
    status, text, err = tool("import_weights", source, *flags, "--json")
    assert status == 0, err
    result = json.loads(text)
    assert result["task"] == "body"
    assert len(result["left_out"]) == wanted
    assert not set(result["left_out"]) & set(draft.values())
    assert result["compared"]["runtime"].startswith("a plain network of its tensors")
    assert abs(result["compared"]["difference"]) < 1e-5


@pytest.mark.slow
def test_keys_are_listed_for_what_keeps_no_order(tool: Tool, tmp_path: Path) -> None:
    state = foreign.random_state()
    theirs = foreign.in_order(state, counters=False)
    save_file(theirs, tmp_path / "m.safetensors")
    status, text, err = tool("import_weights", tmp_path / "m.safetensors", "--list-keys")
    assert status == 0, err
    names = [name for name in state if not name.endswith("tracked")]
    assert set(json.loads(text)) == set(names)
    write_classifier(tmp_path / "c.tflite")
    answer = tool("import_weights", tmp_path / "c.tflite", "--list-keys")
    expect(answer, "--list-keys", "is no pytorch file")
    torch.save({"a": torch.rand(3)}, tmp_path / "other.pth")
    status, text, _ = tool("import_weights", tmp_path / "other.pth", "--list-keys")
    assert status == 0
    assert set(json.loads(text).values()) == {""}


def draw_photos(root: Path, names: tuple[str, ...], count: int) -> Path:
    rng = np.random.default_rng(0)
    for name in names:
        (root / name).mkdir(parents=True)
        for k in range(count):
            photo = rng.integers(0, 255, (80, 96, 3), np.uint8)
            cv2.imwrite(str(root / name / f"{k}.png"), photo)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
def test_an_original_classifier_is_measured(tool: Tool, tmp_path: Path, signed: bool) -> None:
    """As its import is, photo by photo, under the names that a file gives it."""
    pytest.importorskip("ai_edge_litert")
    source, names = tmp_path / "c.tflite", ("ant", "bee", "cat", "dog", "eel")
    write_classifier(source, signed=signed)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(("background", *names)))
    data = draw_photos(tmp_path / "photos", names, 2)
    flags = ("--data", data, "--workers", 0)
    out = tmp_path / "out"
    status, _, err = tool("evaluate", source, "--labels", labels, *flags, "--out", out / "theirs")
    assert status == 0, err
    ours = tmp_path / "c.safetensors"
    status, _, err = tool("import_weights", source, "--labels", labels, "--out", ours)
    assert status == 0, err
    status, _, err = tool("evaluate", ours, *flags, "--out", out / "ours")
    assert status == 0, err
    rows = [list(csv.DictReader((out / k / "predictions.csv").open())) for k in ("theirs", "ours")]
    assert len(rows[0]) == len(rows[1]) == 10
    for theirs, mine in zip(*rows, strict=True):
        assert theirs.keys() == mine.keys()
        assert list(theirs.values())[:2] == list(mine.values())[:2]
    expect(tool("evaluate", ours, "--labels", labels, *flags), f"{ours} names its own classes")
    labels.write_text("one\ntwo")
    answer = tool("evaluate", source, "--labels", labels, *flags)
    expect(answer, "6 class columns, but 2 class names")
    status, _, err = tool("predict", source, data / "ant", "--out", out / "told")
    assert status == 0, err


@pytest.mark.slow
def test_what_is_no_original_classifier_says_why(tool: Tool, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    data = draw_photos(tmp_path / "photos", ("ant", "bee"), 1)
    source = tmp_path / "c.tflite"
    write_classifier(source, quantised=False)
    answer = tool("evaluate", source, "--data", data)
    expect(answer, str(source), "takes floats and does not state in what range", "--mean R G B")
    write_classifier(source, headless=True)
    expect(tool("evaluate", source, "--data", data), "only a body, which answers no images")
    expect(tool("evaluate", tmp_path / "gone.tflite", "--data", data), "no such file")
    source.write_bytes(source.read_bytes()[:2000])
    expect(tool("evaluate", source, "--data", data), "damaged TensorFlow Lite file")


@pytest.mark.slow
def test_a_torchvision_mobilenet_is_told(tool: Tool, tmp_path: Path) -> None:
    from torchvision.models import mobilenet_v2

    torch.save(mobilenet_v2(weights=None).state_dict(), tmp_path / "v2.pth")
    answer = tool("import_weights", tmp_path / "v2.pth", "--out", tmp_path / "o")
    expect(answer, "a MobileNet v2 (17 depthwise convolutions), not a MobileNet v1")


@pytest.mark.slow
def test_what_a_keras_file_does_not_tell_is_said(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How photos are scaled; and in a few words why Keras cannot run a file of Keras 2."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    pytest.importorskip("keras")
    _, layers, arrays = mobilenet()
    for one in layers:
        one["config"]["groups"] = 1  # Keras 3 refuses it in a depthwise convolution.
    source = write_h5(tmp_path / "m.h5", model([*layers, *top("softmax")]), arrays)
    status, text, err = tool("import_weights", source, "--out", tmp_path / "o.safetensors")
    assert status == 0, err
    assert "UserWarning" not in err
    assert "input: values in -1..1 are assumed" in text
    assert "for 0..1 give --mean 0 0 0 --std 1 1 1" in text
    said = next(line for line in text.splitlines() if "Keras cannot run this file: " in line)
    assert len(said) < 300
    assert "{" not in said
    flags = ("--mean", 0, 0, 0, "--std", 1, 1, 1, "--json")
    status, text, err = tool("import_weights", source, "--out", tmp_path / "o.st", *flags)
    assert status == 0, err
    assert json.loads(text)["assumed"] == ""
