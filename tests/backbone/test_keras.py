"""Keras' files as people have them: their own layers, heads, preprocessing and damages."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

pytest.importorskip("h5py")

from backbone.formats.network import Network
from backbone.formats.partial import PartialFlavour, resolve
from backbone.formats.recognise import read_network
from tests.backbone.graph_files import write_layers_model
from tests.backbone.keras_files import (
    dense,
    layer,
    mobilenet,
    model,
    numbered,
    top,
    write_h5,
    write_zip,
)

RESCALING = layer("Rescaling", "scale", scale=1 / 127.5, offset=-1)


def expect_equal(network: Network, state: dict[str, Tensor], atol: float = 0.0) -> None:
    assert network.state.keys() == state.keys()
    for name, value in state.items():
        torch.testing.assert_close(network.state[name], value, rtol=0, atol=atol, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_h5, write_zip])
@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_layers_that_nobody_named_are_read_in_order(
    tmp_path: Path, write: Any, inner: bool, bias: bool
) -> None:
    """As a model of its own and within another one, with biases before batch norm or without."""
    state, layers, arrays = mobilenet(padding="keras", bias=bias)
    config = model([*layers, *top("softmax")])
    if inner:
        body = model(layers) | {"config": {**model(layers)["config"], "name": "mobilenet"}}
        config = model([RESCALING, body, *top("softmax")], "Sequential")
    name = "functional" if write is write_zip else "mobilenet"
    file = write(tmp_path / "m.x", config, arrays, name if inner else "")
    network = read_network(file)
    expect_equal(network, state, atol=1e-6 * bias)
    assert (network.stated.padding, network.stated.activation) == ("keras", "relu")
    assert (network.stated.bn_eps, network.stated.size) == (1e-3, 64)
    assert network.takes == 255 * inner
    if inner:
        assert network.stated.mean == pytest.approx((0.5,) * 3)
        assert network.stated.std == pytest.approx((0.5,) * 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "mean", "std"),
    [
        ([layer("Rescaling", "r", scale=1 / 255, offset=0.0)], 0, 1),
        ([layer("Rescaling", "r", scale=1.0)], 0, 1 / 255),
        (
            [
                layer("TrueDivide", "d", [{"args": [{"class_name": "__keras_tensor__"}, 127.5]}]),
                layer("Subtract", "s", [{"args": [{"class_name": "__keras_tensor__"}, 1.0]}]),
            ],
            0.5,
            0.5,
        ),
        (
            [
                layer("RandomFlip", "f"),
                layer("TFOpLambda", "d", [["x", 0, 0, {"y": 127.5}]], function="math.truediv"),
                layer("TFOpLambda", "s", [[["x", 0, 0, {"y": 1.0}]]], function="math.subtract"),
            ],
            0.5,
            0.5,
        ),
        ([layer("Normalization", "n", mean=[102.0] * 3, variance=[51.0**2] * 3)], 0.4, 0.2),
        (
            [
                layer("Rescaling", "r", scale=1 / 255),
                layer("Normalization", "n", mean=[0.4] * 3, variance=[0.04] * 3),
            ],
            0.4,
            0.2,
        ),
        ([layer("Normalization", "n")], 0.4, 0.2),
    ],
)
def test_what_stands_before_the_body_prepares_photos(
    tmp_path: Path, layers: list[dict[str, Any]], mean: float, std: float
) -> None:
    _, body, arrays = mobilenet()
    if layers[-1]["config"]["name"] == "n" and "mean" not in layers[-1]["config"]:
        learnt = {"mean": np.full(3, 102.0), "variance": np.full(3, 51.0**2)}
        arrays["normalization"] = {k: v.astype(np.float32) for k, v in learnt.items()}
    network = read_network(
        write_h5(tmp_path / "m.h5", model([*layers, *body, *top("softmax")]), arrays)
    )
    assert network.takes == 255
    assert network.stated.mean == pytest.approx((mean,) * 3)
    assert network.stated.std == pytest.approx((std,) * 3)
    with pytest.raises(ValueError, match="--mean 9 9 9 contradicts the file"):
        resolve("x", network.stated, network.usual, PartialFlavour(mean=(9.0,) * 3))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "said"),
    [
        (layer("ReLU", "a", max_value=6.0), "relu6"),
        (layer("ReLU", "a", max_value=None, negative_slope=0.0), "relu"),
        (layer("LeakyReLU", "a", alpha=0.1), "leaky_relu:0.1"),
        (layer("Activation", "a", activation="relu6"), "relu6"),
        (layer("Activation", "a", activation={"config": "relu6"}), "relu6"),
    ],
)
def test_the_activation_is_the_files_own(
    tmp_path: Path, activation: dict[str, Any], said: str
) -> None:
    _, layers, arrays = mobilenet()
    layers = [activation if one["class_name"] == "Activation" else one for one in layers]
    file = write_h5(tmp_path / "m.h5", model([*layers, *top("softmax")]), arrays)
    assert read_network(file).stated.activation == said


@pytest.mark.slow
def test_a_single_sigmoid_becomes_two_columns(tmp_path: Path) -> None:
    state, layers, arrays = mobilenet(1)
    network = read_network(write_h5(tmp_path / "m.h5", model([*layers, *top("sigmoid")]), arrays))
    features = torch.rand(4, 51)
    one = features @ state["head.2.weight"].T + state["head.2.bias"]
    two = features @ network.state["head.2.weight"].T + network.state["head.2.bias"]
    torch.testing.assert_close(two.softmax(1)[:, 1:], one.sigmoid())


@pytest.mark.slow
@pytest.mark.parametrize("write", [write_h5, write_zip])
@pytest.mark.parametrize("kind", ["two layers", "sigmoids", "maximum", "flat"])
def test_another_head_is_left_out_by_name(tmp_path: Path, write: Any, kind: str) -> None:
    state, layers, arrays = mobilenet()
    after = top("sigmoid")
    if kind == "two layers":
        arrays |= dense("dense_1", torch.rand(3, 6), torch.rand(3))
        after = top("relu", "softmax")
    elif kind == "maximum":
        after = [layer("GlobalMaxPooling2D", "pool"), *top("softmax")[1:]]
    elif kind == "flat":
        arrays |= dense("dense", torch.rand(6, 4 * 51), torch.rand(6))
        after = [layer("Flatten", "pool"), *top("softmax")[1:]]
    network = read_network(write(tmp_path / "m.x", model([*layers, *after]), arrays))
    expect_equal(network, {k: v for k, v in state.items() if k.startswith("body.")})
    assert len(network.left_out) == 2 + 2 * (kind == "two layers")
    assert all("dense" in name for name in network.left_out)


@pytest.mark.slow
def test_weights_alone_are_the_stock_models_unless_told(tmp_path: Path) -> None:
    state, _, arrays = mobilenet()
    network = read_network(write_zip(tmp_path / "m.weights.h5", None, arrays, "functional"))
    expect_equal(network, state)
    assert not network.whole
    told = PartialFlavour(activation="relu", padding="same", size=96)
    flavour = resolve("x", network.stated, network.usual, told)
    assert (flavour.activation, flavour.padding, flavour.bn_eps) == ("relu", "same", 1e-3)


@pytest.mark.parametrize(
    ("count", "sides", "name"), [(17, [3], "v2"), (11, [3, 5], "v3 small"), (15, [5], "v3 large")]
)
def test_newer_mobilenets_are_told(
    tmp_path: Path, count: int, sides: list[int], name: str
) -> None:
    arrays = {
        f"d_{k}": {"depthwise_kernel": np.zeros((*(sides[k % len(sides)],) * 2, 8, 1), "f4")}
        for k in range(count)
    }
    with pytest.raises(ValueError, match=rf"a MobileNet {name} \({count} depthwise .* only v1"):
        read_network(write_h5(tmp_path / "m.h5", None, arrays))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "part"),
    [
        (
            lambda ls: ls.insert(0, layer("Lambda", "f")),
            "prepares images by a layer of kind Lambda",
        ),
        (lambda ls: ls.insert(6, layer("Add", "sum")), "it has a layer of kind Add"),
        (lambda ls: ls[1]["config"].update(epsilon=0.1), "batch-norm epsilons differ: 0.001, 0.1"),
        (lambda ls: ls[2]["config"].update(activation="relu6"), "activations differ: relu, relu6"),
        (lambda ls: ls[0]["config"].update(padding="valid"), "halving convolutions pad"),
        (lambda ls: ls[0]["config"].update(activation="relu"), "'conv2d_7' activates by itself"),
        (lambda ls: ls[0]["config"].pop("strides"), "its architecture is damaged"),
        (lambda ls: ls.clear(), "no convolution"),
        (lambda ls: ls.insert(0, layer("Rescaling", "r", scale=0)), "is no scaling"),
        (lambda ls: ls.insert(0, layer("Rescaling", "r", scale="x")), "architecture is damaged"),
    ],
)
def test_an_architecture_that_is_none_is_refused(tmp_path: Path, change: Any, part: str) -> None:
    _, layers, arrays = mobilenet()
    change(layers)
    file = write_h5(tmp_path / "m.h5", model(layers), arrays)
    with pytest.raises(ValueError, match=part) as error:
        read_network(file)
    assert "m.h5" in str(error.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "part"),
    [
        ("{", "line 1, column 2: not valid JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("[1]", "architecture is damaged"),
        ('{"config": {"layers": 3}}', "architecture is damaged"),
        ('{"config": {"layers": [{"class_name": "Model"}]}}', "architecture is damaged"),
    ],
)
def test_a_damaged_architecture_is_refused(tmp_path: Path, config: str, part: str) -> None:
    _, _, arrays = mobilenet()
    if len(config) > 60_000:  # An attribute of HDF5 holds no more.
        config = config[:60_000]
    with pytest.raises(ValueError, match=part):
        read_network(write_h5(tmp_path / "m.h5", config, arrays))
    nested: Any = model([])
    for _ in range(20):
        nested = model([nested])
    with pytest.raises(ValueError, match="models within models"):
        read_network(write_h5(tmp_path / "m.h5", nested, arrays))


@pytest.mark.slow
def test_arrays_of_other_layers_are_refused(tmp_path: Path) -> None:
    _, layers, arrays = mobilenet()
    odd = {**arrays, "lstm": {"kernel": np.zeros((3, 3), "f4"), "recurrent": np.zeros(3, "f4")}}
    with pytest.raises(ValueError, match=r"layer 'lstm' \(kernel, recurrent\) is none of a Mob"):
        read_network(write_h5(tmp_path / "m.h5", model(layers), odd))
    few = {name: value for name, value in arrays.items() if name != "conv2d_9"}
    with pytest.raises(ValueError, match="13 convolutions, 13 depthwise ones and 27 batch norms"):
        read_network(write_h5(tmp_path / "m.h5", model(layers), few))
    with pytest.raises(ValueError, match="not a MobileNet v1: 0 convolutions"):
        read_network(write_h5(tmp_path / "m.h5", None, {"d": {}}))


@pytest.mark.parametrize("inner", ["", "body"])
def test_layers_models_of_keras_3_are_read(tmp_path: Path, inner: str) -> None:
    """TF.js' converter keeps the numbers of a .keras file, and an optimiser's arrays."""
    state, layers, arrays = mobilenet()
    given = {**numbered(arrays, inner), "optimizer/vars": {"0": np.zeros(1, np.float32)}}
    config = model([*layers, *top("softmax")])
    expect_equal(read_network(write_layers_model(tmp_path, config, given)), state)
