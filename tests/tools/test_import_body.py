"""Bodies of classifiers: brought in, started from, and taken for nothing else."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import tools.flows.training
from backbone.formats.recognise import read_network
from tasks.classification.import_weights import import_network
from tasks.weights.file import save_weights
from tasks.weights.head_files import load_weights
from tests.backbone import foreign
from tests.backbone.tflite_files import ALPHA, SIZE, write_classifier
from tests.conftest import Tool
from tests.tools.mistakes import expect


@pytest.fixture
def body(classifier_tflite: Path, tmp_path: Path) -> Path:
    """That of a classifier, in TensorFlow's format."""
    network = read_network(classifier_tflite)
    state = {key: value for key, value in network.state.items() if key.startswith("body.")}
    imported = import_network(replace(network, state=state))
    save_weights(tmp_path / "body.safetensors", imported.state(), imported.card)
    return tmp_path / "body.safetensors"


def save_timm(file: Path) -> Path:
    save_file(foreign.timm_names(foreign.random_state(0, 0.25)), file)
    return file


@pytest.mark.slow
@pytest.mark.parametrize(("alpha", "size"), [(ALPHA, SIZE), (1, 224)], ids=["drawn", "real"])
def test_import(
    request: pytest.FixtureRequest, tool: Tool, tmp_path: Path, alpha: float, size: int
) -> None:
    """A file that has no classifier any more."""
    out, source = tmp_path / "body.safetensors", tmp_path / "drawn.tflite"
    if alpha == 1:
        folder = request.getfixturevalue("real_data") / "weights"
        source = folder / "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite"
    else:
        write_classifier(source, headless=True)
    status, text, err = tool("import_weights", source, "--out", out, "--json")
    assert status == 0, err
    state, card = load_weights(out)
    assert card.task == "body"
    assert card.model == {"backbone": "mobilenet_v1", "alpha": alpha, "variant": "standard"}
    assert card.flavour.input.size == size
    assert card.folded
    assert all(key.startswith("body.") for key in state)
    result = json.loads(text)
    assert result["task"] == "body"
    assert result["tensors"] == len(state)
    if result["compared"] is not None:
        assert result["compared"]["difference"] < 0.01  # Of 1 the cosine.


@pytest.mark.slow
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
    real = tools.flows.training.fit_run

    def spy(run: Any, network: Any, *args: Any, **options: Any) -> None:
        begun.update({name: value.clone() for name, value in network.state_dict().items()})
        real(run, network, *args, **options)

    monkeypatch.setattr(tools.flows.training, "fit_run", spy)
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_body_alone_finds_nothing(body: Path, scenes: Path, tool: Tool, tmp_path: Path) -> None:
    out = tmp_path / "out"
    part = "weights for body answer no images"
    expect(tool("evaluate", body, "--data", scenes, "--out", out), str(body), part)
    expect(tool("predict", body, scenes / "val", "--out", out), str(body), part)
    assert not out.exists()


@pytest.mark.slow
def test_a_body_has_no_classes_to_name(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\ndog\n")
    source = save_timm(tmp_path / "timm.safetensors")
    args = ("--labels", tmp_path / "names.txt", "--out", tmp_path / "out")
    expect(tool("import_weights", source, *args), "names.txt", "has no classifier, only a body")
    assert not (tmp_path / "out").exists()
