"""tools/import_weights.py on classifiers: real files, their accuracy, and what is asked for."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from backbone.formats.partial import PartialFlavour
from backbone.formats.pytorch import TIMM
from backbone.formats.recognise import read_network
from tasks.classification.application import CLASSIFICATION
from tasks.classification.import_weights import import_network
from tasks.classification.reference_runtimes import LiteRt
from tasks.predictor import open_network
from tests.backbone import foreign
from tests.conftest import Tool
from tests.tools.mistakes import expect

LEAKY = ("--activation", "leaky_relu:0.1", "--padding", "symmetric", "--bn-eps", "1e-5")
IMAGENET = ("--mean", 0.485, 0.456, 0.406, "--std", 0.229, 0.224, 0.225)
EXTRACTOR = "mobilenet_v1_1.0_224_quant_embedding_extractor"
HEAD = "mobilenet_quant_v1_224_head_layers"


@pytest.fixture(scope="module")
def photos(real_data: Path) -> Callable[[int, int], tuple[Tensor, Tensor]]:
    """ImageNet photos, short side 256 / 224 of a size and cropped to it, and their columns."""
    listed = (real_data / "imagenet/synsets.txt").read_text().splitlines()
    columns = {line.split()[0]: number for number, line in enumerate(listed)}

    def load(size: int, step: int) -> tuple[Tensor, Tensor]:
        files = sorted((real_data / "imagenet/val").glob("*/*"))[::step]
        pictures = []
        for file in files:
            picture = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB)
            height, width = picture.shape[:2]
            scale = 256 / 224 * size / min(height, width)
            sides = (max(round(width * scale), size), max(round(height * scale), size))
            picture = cv2.resize(picture, sides, interpolation=cv2.INTER_AREA)
            top, left = (sides[1] - size) // 2, (sides[0] - size) // 2
            pictures.append(picture[top : top + size, left : left + size])
        images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
        return images, torch.tensor([columns[file.parent.name] for file in files])

    return load


def hits(answers: Tensor, columns: Tensor) -> int:
    return int((answers.argmax(1) == columns).sum())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "head", "step", "known"),
    [
        ("mobilenet_v1_0.25_128_quant", None, 1, 47.0),
        ("mobilenet_v1_0.5_160_quant", None, 1, 69.4),
        ("mobilenet_v1_0.75_192_quant", None, 2, 82.8),
        (EXTRACTOR, HEAD, 5, 86.0),
    ],
)
def test_a_classifier_is_as_right_as_its_original(
    real_data: Path,
    photos: Callable[[int, int], tuple[Tensor, Tensor]],
    name: str,
    head: str | None,
    step: int,
    known: float,
) -> None:
    """Within a hundredth of the photos, our activations rounded to 8 bits as theirs are."""
    folder = real_data / "weights"
    source = folder / f"{name}.tflite"
    last = folder / f"{head}.tflite" if head else None
    imported = import_network(read_network(source, head=last))
    assert imported.background
    assert imported.card.folded
    images, columns = photos(imported.card.flavour.input.size, step)

    def as_bytes(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return torch.round(output * (255 / 6)) * (6 / 255)

    for module in imported.model.modules():
        if isinstance(module, nn.ReLU6):
            module.register_forward_hook(as_bytes)
    with torch.inference_mode():
        ours = torch.cat([imported.model(part) for part in images.split(10)])
    assert 100 * hits(ours, columns) / len(columns) == pytest.approx(known, abs=2)
    pytest.importorskip("ai_edge_litert")
    inputs = imported.model.get_submodule("normalize")(images)
    theirs = LiteRt(source, last)(inputs)[:, 1:]
    assert abs(hits(ours, columns) - hits(theirs, columns)) <= len(columns) / 100
    assert hits(ours, theirs.argmax(1)) > 0.92 * len(columns)


@pytest.mark.slow
def test_a_classifier_comes_in_whole(real_data: Path, tool: Tool, tmp_path: Path) -> None:
    out, labels = tmp_path / "c.safetensors", real_data / "weights/imagenet_labels.txt"
    source = real_data / "weights/mobilenet_v1_0.25_128_quant.tflite"
    answer = tool("import_weights", source, "--labels", labels, "--out", out, "--json")
    assert answer[0] == 0, answer[2]
    model, card = open_network(out, CLASSIFICATION)
    assert card.task == "classification"
    assert len(card.classes) == model.columns == 1000
    assert card.classes.names[:2] == ("tench, Tinca tinca", "goldfish, Carassius auratus")
    assert card.classes.names.count("crane (class 135)") == 1
    assert (card.model["alpha"], card.model["size"], card.folded) == (0.25, 128, True)
    result = json.loads(answer[1])
    assert result["tensors"] == 164
    if result["compared"] is not None:
        assert result["compared"]["runtime"] == "LiteRT"
        assert result["compared"]["difference"] < 0.1


@pytest.mark.slow
def test_a_float_classifier_equals_its_original(
    real_data: Path, tool: Tool, tmp_path: Path
) -> None:
    """Person / no person: 1e-5 against LiteRT, once the range of its input is told."""
    source, out = real_data / "weights/vww_96_float.tflite", tmp_path / "vww.safetensors"
    expect(
        tool("import_weights", source, "--out", out),
        "vww_96_float.tflite: this file states none of its conventions; give --mean R G B, "
        "--std R G B",
    )
    flags = ("--mean", 0, 0, 0, "--std", 1, 1, 1, "--crop", 1)
    status, text, err = tool("import_weights", source, *flags, "--out", out, "--json")
    assert status == 0, err
    _, card = open_network(out, CLASSIFICATION)
    assert card.flavour.input.mean == (0, 0, 0)
    compared = json.loads(text)["compared"]
    if compared is not None:
        assert compared["difference"] < 1e-5
        assert compared["agreed"] == compared["pictures"] == 8


class Reference(nn.Module):
    """The network of the PyTorch file as its authors build it, from torch's layers alone."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        steps = [(1, 2), (2, 4), (1, 4), (2, 8), (1, 8), (2, 16), *[(1, 16)] * 5, (2, 32), (1, 32)]
        layers = [self.stack(3, width, 3, 2, 1)]
        channels = width
        for stride, times in steps:
            depthwise = self.stack(channels, channels, 3, stride, channels)
            pointwise = self.stack(channels, times * width, 1, 1, 1)
            layers.append(nn.Sequential(*depthwise, *pointwise))
            channels = times * width
        self.body, self.fc = nn.Sequential(*layers), nn.Linear(channels, 1000)

    @staticmethod
    def stack(channels: int, out: int, kernel: int, stride: int, groups: int) -> nn.Sequential:
        conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, groups=groups, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(out), nn.LeakyReLU(0.1))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.fc(self.body(x).mean((2, 3)))
        return answer


@pytest.mark.slow
@pytest.mark.parametrize("size", [224, 225])
def test_a_pytorch_file_of_layers_in_order(
    real_data: Path,
    photos: Callable[[int, int], tuple[Tensor, Tensor]],
    tool: Tool,
    tmp_path: Path,
    size: int,
) -> None:
    source, out = real_data / "weights/mobilenetV1X0.25_pretrain.tar", tmp_path / "p.safetensors"
    status, _, err = tool(
        "import_weights", source, *LEAKY, *IMAGENET, "--size", size, "--out", out
    )
    assert status == 0, err
    model, card = open_network(out, CLASSIFICATION)
    assert card.flavour.activation == "leaky_relu:0.1"
    images, columns = photos(size, 1)
    with torch.inference_mode():
        ours = torch.cat([model(part) for part in images.split(10)])
        if size == 224:  # 51.9 % of all 1000 photos.
            assert 100 * hits(ours, columns) / len(columns) == pytest.approx(50.2, abs=0.5)
        state = torch.load(source, map_location="cpu", weights_only=True)["state_dict"]
        original = Reference().eval()
        original.load_state_dict(dict(zip(original.state_dict(), state.values(), strict=True)))
        theirs = original(model.normalize(images[:4]))
    torch.testing.assert_close(ours[:4], theirs, rtol=1e-5, atol=1e-5 * float(theirs.abs().max()))


@pytest.mark.slow
def test_a_drawn_pytorch_file_of_layers_in_order(tool: Tool, tmp_path: Path) -> None:
    """The same of random weights, saved as its authors' training saved the real file."""
    state = foreign.random_state(1000, 0.25)
    source, out = tmp_path / "drawn.tar", tmp_path / "p.safetensors"
    theirs = foreign.in_order(state)
    torch.save({"state_dict": {f"module.{k}": v for k, v in theirs.items()}, "epoch": 3}, source)
    flags = (*LEAKY, *IMAGENET, "--size", 64, "--out", out)
    status, _, err = tool("import_weights", source, *flags)
    assert status == 0, err
    model, card = open_network(out, CLASSIFICATION)
    assert card.flavour.activation == "leaky_relu:0.1"
    original = Reference().eval()
    original.load_state_dict(dict(zip(original.state_dict(), theirs.values(), strict=True)))
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=rng, dtype=torch.uint8)
    with torch.inference_mode():
        wanted = original(model.normalize(images))
        torch.testing.assert_close(
            model(images), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max())
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["drawn", "real"])
def test_a_pytorch_file_must_be_explained(
    request: pytest.FixtureRequest, tool: Tool, tmp_path: Path, kind: str
) -> None:
    if kind == "real":
        folder: Path = request.getfixturevalue("real_data")
        source = folder / "weights/mobilenetV1X0.25_pretrain.tar"
    else:
        source = tmp_path / "drawn.tar"
        torch.save({"state_dict": foreign.in_order(foreign.random_state(1000, 0.25))}, source)
    asked = "give --size PIXELS, --mean R G B, --std R G B"
    expect(tool("import_weights", source, *LEAKY, "--out", tmp_path / "o"), source.name, asked)
    assert not (tmp_path / "o").exists()


@pytest.mark.slow
def test_timms_names_need_no_flags(tool: Tool, tmp_path: Path) -> None:
    source = tmp_path / "timm.safetensors"
    save_file(foreign.timm_names(foreign.random_state()), source)
    out = tmp_path / "out.safetensors"
    status, text, err = tool("import_weights", source, "--out", out)
    assert status == 0, err
    assert "164 tensors, alpha 0.05, classifier, 6 classes" in text
    assert open_network(out, CLASSIFICATION)[1].flavour.input.interpolation == "bicubic"
    contrary = ("--padding", "same", "--out", out)
    expect(
        tool("import_weights", source, *contrary),
        "--padding same contradicts the file, which has symmetric",
    )


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (("--labels", "SOURCE", "--out", "SOURCE"), ["would overwrite the source"]),
        (("--head", "none.tflite"), ["--head none.tflite", "is no tflite file"]),
        (("--key-map", "none.json"), ["--key-map none.json: no such file"]),
        (("--hub",), ["names start with hf-hub:"]),
        (("--activation", "gelu"), ["--activation gelu contradicts the file"]),
        (("--crop", "2"), ["crop 2.0 is not in (0, 1]"]),
        (("--size", "8"), ["input size 8 is too small"]),
        (("--labels", "gone.txt"), ["--labels gone.txt: no such file"]),
    ],
)
def test_flags_that_do_not_fit(
    tool: Tool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: tuple[str, ...],
    parts: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "sub" / "timm.safetensors"
    source.parent.mkdir()
    save_file(foreign.timm_names(foreign.random_state()), source)
    given = [str(source) if flag == "SOURCE" else flag for flag in flags]
    expect(tool("import_weights", source, *given), *parts)
    assert [*tmp_path.iterdir()] == [source.parent]


@pytest.mark.slow
def test_labels_and_key_maps_with_a_mark_in_front(tool: Tool, tmp_path: Path) -> None:
    """As Windows' editors save text."""
    source, out = tmp_path / "timm.safetensors", tmp_path / "out.safetensors"
    save_file(foreign.timm_names(foreign.random_state()), source)
    (tmp_path / "labels.txt").write_text("\n".join("abcdef"), encoding="utf-8-sig")
    keys = dict(TIMM.names)
    (tmp_path / "map.json").write_text(json.dumps(keys), encoding="utf-8-sig")
    given = ("--labels", tmp_path / "labels.txt", "--key-map", tmp_path / "map.json")
    flags = ("--padding", "symmetric", "--bn-eps", 1e-5, "--activation", "relu6", "--size", 64)
    status, _, err = tool("import_weights", source, *given, *flags, *IMAGENET, "--out", out)
    assert status == 0, err
    assert open_network(out, CLASSIFICATION)[1].classes.names == tuple("abcdef")


def test_a_source_is_never_overwritten(
    tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_file(foreign.timm_names(foreign.random_state()), "timm.safetensors")
    before = Path("timm.safetensors").read_bytes()
    expect(tool("import_weights", "timm.safetensors"), "would be overwritten", "--out")
    assert Path("timm.safetensors").read_bytes() == before


def test_the_hub_is_asked_for(tool: Tool) -> None:
    expect(tool("import_weights", "hf-hub:timm/x"), "hf-hub:timm/x: give --hub to fetch it")


@pytest.mark.slow
def test_a_head_needs_a_headless_file(real_data: Path, tool: Tool, tmp_path: Path) -> None:
    folder = real_data / "weights"
    whole, head = folder / "mobilenet_v1_0.25_128_quant.tflite", folder / f"{HEAD}.tflite"
    answer = tool("import_weights", whole, "--head", head, "--out", tmp_path / "o")
    expect(answer, f"{whole} has a classifier already")
    expect(tool("import_weights", head, "--out", tmp_path / "o"), "not a MobileNet v1")
    narrow = import_network(read_network(folder / f"{EXTRACTOR}.tflite"))
    assert narrow.card.task == "body"


@pytest.mark.slow
def test_a_detector_takes_no_flags_of_classifiers(
    tool: Tool, tmp_path: Path, ssd_tflite: Path
) -> None:
    args: tuple[Any, ...] = ("--size", 300, "--out", tmp_path / "o")
    expect(tool("import_weights", ssd_tflite, *args), "--size 300", "is a detector")
    assert PartialFlavour().values() == {}
