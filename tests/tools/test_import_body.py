"""Bodies of TensorFlow's classifiers: brought in, started from, and taken for nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import tools.training
from tasks.card import load_weights, save_weights
from tasks.classification.from_tflite import import_body
from tests.conftest import Tool
from tests.tools.test_bad_input import expect


@pytest.fixture(scope="module")
def classifier(real_data: Path) -> Path:
    """TensorFlow's smallest classifier."""
    return real_data / "weights" / "mobilenet_v1_0.25_128_quant.tflite"


@pytest.fixture
def body(classifier: Path, tmp_path: Path) -> Path:
    """Its body, without the comparison, which takes a while."""
    model, card = import_body(classifier)
    state = {f"body.{name}": value for name, value in model.state_dict().items()}
    save_weights(tmp_path / "body.safetensors", state, card)
    return tmp_path / "body.safetensors"


@pytest.mark.parametrize(
    ("name", "alpha", "size"),
    [
        ("mobilenet_v1_0.25_128_quant", 0.25, 128),
        ("mobilenet_v1_1.0_224_quant_embedding_extractor", 1.0, 224),
    ],
)
def test_import(
    real_data: Path, tool: Tool, tmp_path: Path, name: str, alpha: float, size: int
) -> None:
    """A classifier, and a file that has no classifier any more."""
    out = tmp_path / "body.safetensors"
    source = real_data / "weights" / f"{name}.tflite"
    status, text, err = tool("import_weights", source, "--out", out, "--json")
    assert status == 0, err
    state, card = load_weights(out)
    assert card.task == "body"
    assert card.model == {"backbone": "mobilenet_v1", "alpha": alpha}
    assert card.flavour.input.size == size
    assert card.folded
    assert all(key.startswith("body.") for key in state)
    result = json.loads(text)
    assert result["task"] == "body"
    assert result["tensors"] == len(state)
    assert result.get("smallest_feature_cosine", 1) > 0.99


@pytest.mark.parametrize("framework", ["ssd300", "faster_rcnn_300"])
def test_a_detector_starts_from_it(
    body: Path,
    scenes: Path,
    tool: Tool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    framework: str,
) -> None:
    """Width from the card, convolutions from the file, everything else anew."""
    begun: dict[str, torch.Tensor] = {}
    real = tools.training._fit

    def spy(config: Any, model: Any, *args: Any, **options: Any) -> None:
        begun.update({name: value.clone() for name, value in model.state_dict().items()})
        real(config, model, *args, **options)

    monkeypatch.setattr(tools.training, "_fit", spy)
    args = ("--weights", body, "--framework", framework, "--data", scenes, "--size", 96)
    few = ("--epochs", 1, "--workers", 0, "--batch-size", 6, "--out", tmp_path / "run")
    status, out, err = tool("train_det", *args, *few)
    assert status == 0, err
    assert "0 classes known, 8 start anew" in err
    assert "measuring batch-norm statistics" in err
    assert "AP50" in out
    imported, _ = load_weights(body)
    kernels = [name for name, value in imported.items() if value.ndim == 4]
    assert len(kernels) == 27
    for name in kernels:
        assert torch.equal(begun[name], imported[name]), name
    _, card = load_weights(tmp_path / "run")
    assert card.task == "detection"
    assert card.model["alpha"] == 0.25
    assert card.flavour.input.size == 96
    assert not card.folded
    assert str(body) in card.source


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--alpha", "0.5"], "have alpha 0.25, the model to train 0.5; choose --alpha 0.25"),
        (["--backbone", "vgg16"], "--backbone vgg16"),
    ],
)
def test_another_body_is_refused(
    body: Path, scenes: Path, tool: Tool, tmp_path: Path, flags: list[str], part: str
) -> None:
    out = tmp_path / "run"
    answer = tool("train_det", "--weights", body, "--data", scenes, "--out", out, *flags)
    expect(answer, str(body), part, "mobilenet_v1" if "vgg16" in flags else "alpha")
    assert not out.exists()


def test_a_body_alone_finds_nothing(body: Path, scenes: Path, tool: Tool, tmp_path: Path) -> None:
    out = tmp_path / "out"
    part = "these weights are for body, not for detection"
    expect(tool("evaluate", body, "--data", scenes, "--out", out), str(body), part)
    expect(tool("predict", body, scenes / "val", "--out", out), str(body), part)
    assert not out.exists()


def test_a_body_has_no_classes_to_name(classifier: Path, tool: Tool, tmp_path: Path) -> None:
    labels = classifier.with_name("imagenet_labels.txt")
    args = ("--labels", labels, "--out", tmp_path / "out")
    expect(tool("import_weights", classifier, *args), f"--labels {labels}", "only the body")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("mobilenet_quant_v1_224_head_layers", "not a MobileNet v1"),
        ("vww_96_float", "takes float32 images; uint8 ones are understood"),
    ],
)
def test_what_is_not_such_a_classifier(
    real_data: Path, tool: Tool, tmp_path: Path, name: str, part: str
) -> None:
    file = real_data / "weights" / f"{name}.tflite"
    expect(tool("import_weights", file, "--out", tmp_path / "out"), f"{name}.tflite", part)
    assert not (tmp_path / "out").exists()
