"""What TensorFlow Lite's converters write around a classifier and into its weights."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from backbone.formats.partial import PartialFlavour, resolve
from backbone.formats.recognise import read_network
from datasets.errors import InputError
from tasks.classification.import_weights import import_network
from tasks.classification.original import LiteRtClassifier
from tasks.classification.reference_runtimes import Comparison, compare
from tests.backbone.tflite_files import SIZE, write_classifier
from tests.backbone.tflite_writer import TfliteGraph

# How a file of bytes counts a photo's: 0 to 255, in steps of 1.
PIXELS = (1.0, 0)
TO_ONES = [("MUL", 1 / 127.5), ("ADD", -1.0)]
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def pictures() -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, SIZE, SIZE), generator=rng, dtype=torch.uint8)


def expect_alike(file: Path, tolerance: float) -> None:
    """The file in LiteRT and its import give the same answers."""
    pytest.importorskip("ai_edge_litert")
    network = read_network(file)
    found = compare(file, network, import_network(network), pictures())
    assert isinstance(found, Comparison)
    assert found.runtime == "LiteRT"
    assert found.difference < tolerance


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "mean", "std"),
    [
        (TO_ONES, (0.5,) * 3, (0.5,) * 3),
        ([("MUL", 1 / 255)], (0.0,) * 3, (1.0,) * 3),
        ([("SUB", 255 * MEAN), ("MUL", 1 / (255 * DEVIATION))], MEAN, DEVIATION),
    ],
)
def test_what_stands_before_a_float_network_prepares_photos(
    tmp_path: Path, before: Any, mean: Any, std: Any
) -> None:
    """As Keras' Rescaling and Normalization are converted."""
    file = tmp_path / "m.tflite"
    write_classifier(file, quantised=False, before=before)
    network = read_network(file)
    stated = network.stated
    # The same said by flags is no contradiction, though the file's factors are rounded.
    resolve("m", stated, network.usual, PartialFlavour(mean=tuple(mean), std=tuple(std)))
    assert stated.mean == pytest.approx(tuple(mean), abs=1e-6)
    assert stated.std == pytest.approx(tuple(std), abs=1e-6)
    expect_alike(file, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("signed", [False, True])
def test_what_stands_before_a_network_of_bytes_prepares_photos(
    tmp_path: Path, signed: bool
) -> None:
    file = tmp_path / "m.tflite"
    write_classifier(file, before=TO_ONES, entry=PIXELS, signed=signed)
    stated = read_network(file).stated
    assert stated.mean == pytest.approx((0.5,) * 3)
    assert stated.std == pytest.approx((0.5,) * 3)
    expect_alike(file, 0.05)


@pytest.mark.slow
def test_a_file_that_scales_photos_is_measured_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    file = tmp_path / "m.tflite"
    write_classifier(file, quantised=False, before=TO_ONES)
    images = pictures()
    model = import_network(read_network(file)).model
    with torch.inference_mode():
        theirs = LiteRtClassifier(file).raw(images).softmax(1)
        assert (theirs - model(images).softmax(1)).abs().max() < 1e-5


@pytest.mark.slow
def test_weights_kept_as_float16_are_read(tmp_path: Path) -> None:
    file = tmp_path / "m.tflite"
    state = write_classifier(file, quantised=False, weights="float16", before=TO_ONES)
    head = read_network(file).state["head.2.weight"]
    assert torch.equal(head, state["head.2.weight"].half().float())
    expect_alike(file, 1e-5)


@pytest.mark.slow
def test_weights_kept_as_int8_are_read(tmp_path: Path) -> None:
    """Dynamic range: floats go through layers whose weights count steps."""
    file = tmp_path / "m.tflite"
    state = write_classifier(file, quantised=False, weights="int8", before=TO_ONES)
    theirs, head = state["head.2.weight"], read_network(file).state["head.2.weight"]
    assert (head - theirs).abs().max() < 0.51 * theirs.abs().max() / 127


@pytest.mark.slow
def test_photos_with_channels_first_are_read(tmp_path: Path) -> None:
    file = tmp_path / "m.tflite"
    write_classifier(file, quantised=False, channels_first=True, before=TO_ONES)
    assert read_network(file).stated.size == SIZE
    expect_alike(file, 1e-5)


@pytest.mark.slow
def test_two_linear_layers_are_one(tmp_path: Path) -> None:
    file = tmp_path / "m.tflite"
    write_classifier(file, quantised=False, before=TO_ONES, hidden=())
    assert read_network(file).columns == 6
    expect_alike(file, 1e-5)


@pytest.mark.slow
def test_one_sigmoid_becomes_two_columns(tmp_path: Path) -> None:
    file = tmp_path / "m.tflite"
    write_classifier(file, quantised=False, before=TO_ONES, columns=1)
    assert read_network(file).columns == 2
    expect_alike(file, 1e-5)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (
            {"hidden": ["RELU"]},
            r"2 layers after the body \(Hidden/Dense/weights: 7 columns, relu; "
            r"Logits/Dense/weights: 6 columns\); one linear layer",
        ),
        ({"hidden": ["TANH"]}, "it has a TANH"),
        ({"average_before": "4.depthwise"}, "an AVERAGE_POOL_2D before Conv2d_4.depthwise"),
        ({"average_before": "0"}, "images are prepared by an AVERAGE_POOL_2D"),
        ({"before": [("MAXIMUM", 1.0)]}, "images are prepared by a MAXIMUM"),
        ({"before": [("MUL", -1.0)]}, r"m\.tflite: .*images are multiplied by \[-1"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, given: Any, part: str) -> None:
    file = tmp_path / "m.tflite"
    write_classifier(file, quantised=False, **given)
    with pytest.raises(InputError, match=part):
        read_network(file)


def test_a_file_without_its_weights_is_told_as_such(tmp_path: Path) -> None:
    """TensorFlow writes this of a Keras 3 model given as a function, and cannot run it."""
    graph = TfliteGraph((1, SIZE, SIZE, 3), quantised=False)
    graph.plain(graph.plain(graph.input, "VAR_HANDLE", "variable"), "READ_VARIABLE", "kernel")
    with pytest.raises(
        InputError, match=r"variables \(VAR_HANDLE\) whose values it does not hold"
    ):
        read_network(graph.write(tmp_path / "m.tflite"))
