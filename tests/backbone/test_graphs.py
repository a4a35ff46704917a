"""Networks as graphs: ONNX, frozen TensorFlow and TF.js files, whole, damaged and hostile."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from backbone.formats.network import CONVS, Network
from backbone.formats.partial import PartialFlavour, resolve
from backbone.formats.recognise import read_network
from datasets.errors import InputError
from tasks.classification.import_weights import import_network
from tasks.classification.reference_runtimes import compare
from tests.backbone import foreign
from tests.backbone.graph_files import (
    SIZE,
    Graph,
    classifier_graph,
    folded,
    tensor_message,
    write_graph_def,
    write_graph_model,
    write_layers_model,
    write_onnx,
    write_shards,
)
from tests.backbone.keras_files import mobilenet, model, top

State = dict[str, torch.Tensor]
pytestmark = pytest.mark.slow
PLUS_MINUS = PartialFlavour(mean=(0.5,) * 3, std=(0.5,) * 3)


def pictures(size: int = SIZE) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, 3, size, size), generator=rng, dtype=torch.uint8)


def expect_folded(network: Network, state: State, atol: float = 1e-5) -> None:
    """Kernels and biases as folding by hand makes them."""
    assert network.folded
    assert network.alpha == pytest.approx(foreign.ALPHA)
    for conv in CONVS:
        weight, bias = folded(state, conv)
        ours = f"body.layers.{conv}"
        for key, value in ((f"{ours}.conv.weight", weight), (f"{ours}.bn.bias", bias)):
            found = network.state[key].numpy()
            assert np.abs(found - value).max() < atol * max(1, np.abs(value).max()), key
    if "head.2.weight" in state:
        for key in ("head.2.weight", "head.2.bias"):
            torch.testing.assert_close(network.state[key], state[key], rtol=0, atol=atol)


# ONNX.


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("padding", ["symmetric", "explicit", "same", "pad"])
@pytest.mark.parametrize("columns", [6, 0])
def test_onnx_is_read_and_compared_by_its_runtime(
    tmp_path: Path, fold: bool, padding: str, columns: int
) -> None:
    state = foreign.random_state(columns)
    file = write_onnx(tmp_path / "m.onnx", state, fold=fold, padding=padding)
    network = read_network(file)
    expect_folded(network, state)
    assert network.stated.padding == ("symmetric" if padding == "symmetric" else "same")
    assert (network.stated.activation, network.stated.size) == ("relu6", SIZE)
    imported = import_network(network, PLUS_MINUS)
    found = compare(file, network, imported, pictures())
    assert not isinstance(found, str)
    assert found.runtime == "ONNX Runtime"
    assert found.difference < 1e-5


@pytest.mark.parametrize("turned", [False, True])
def test_a_view_of_pooled_features_is_idle(tmp_path: Path, turned: bool) -> None:
    """PyTorch's newer exporter gathers all of them in order; in another order they are others."""
    state = foreign.random_state(6)
    whole = onnx.load(write_onnx(tmp_path / "m.onnx", state))
    order = np.arange(state["head.2.weight"].shape[1]).reshape(1, -1, 1, 1)
    order = order[:, ::-1] if turned else order
    whole.graph.initializer.append(onnx.numpy_helper.from_array(order.copy(), "order"))
    at = next(k for k, node in enumerate(whole.graph.node) if node.op_type == "Flatten")
    whole.graph.node[at].input[0] = "viewed"
    whole.graph.node.insert(at, helper.make_node("Gather", ["row", "order"], ["viewed"]))
    whole.graph.initializer.append(onnx.numpy_helper.from_array(np.array([-1]), "flat_shape"))
    whole.graph.node.insert(at, helper.make_node("Reshape", ["pooled", "flat_shape"], ["row"]))
    onnx.save(whole, tmp_path / "m.onnx")
    if turned:
        with pytest.raises(ValueError, match="not a MobileNet v1"):
            read_network(tmp_path / "m.onnx")
        return
    expect_folded(read_network(tmp_path / "m.onnx"), state)


@pytest.mark.parametrize(
    ("before", "kind", "mean", "std", "takes"),
    [
        ([("Div", 127.5), ("Sub", 1.0)], TensorProto.FLOAT, 0.5, 0.5, 255),
        ([("Mul", 1 / 255)], TensorProto.UINT8, 0.0, 1.0, 255),
        ([], TensorProto.UINT8, 0.0, 1 / 255, 255),
        (
            [("Sub", np.full((1, 3, 1, 1), 0.4)), ("Div", np.full((1, 3, 1, 1), 0.2))],
            TensorProto.FLOAT,
            0.4,
            0.2,
            1,
        ),
    ],
)
def test_what_stands_before_an_onnx_network_prepares_photos(
    tmp_path: Path, before: Any, kind: int, mean: float, std: float, takes: int
) -> None:
    file = write_onnx(tmp_path / "m.onnx", foreign.random_state(), before=before, kind=kind)
    network = read_network(file)
    assert network.takes == takes
    assert network.stated.mean == pytest.approx((mean,) * 3)
    assert network.stated.std == pytest.approx((std,) * 3)
    found = compare(file, network, import_network(network), pictures())
    assert not isinstance(found, str)
    assert found.runtime == "ONNX Runtime"
    assert found.difference < 1e-5


def test_another_onnx_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    with pytest.raises(ValueError, match=r"m\.onnx: not a MobileNet v1: it has an Add"):
        read_network(write_onnx(file, foreign.random_state(), residual=True))
    open_sized = read_network(write_onnx(file, foreign.random_state(), size="side"))
    assert open_sized.stated.size is None
    whole = onnx.load(file)
    whole.graph.node[1].attribute.append(helper.make_attribute("max", 3.0))
    for name in ("low", "high"):
        whole.graph.node[1].input.remove(name)
    onnx.save(whole, file)
    with pytest.raises(ValueError, match="activation"):
        read_network(file)


@pytest.mark.parametrize("size", [0, 1, 40, 2000, -100])
def test_a_damaged_onnx_file_is_refused(tmp_path: Path, size: int) -> None:
    file = write_onnx(tmp_path / "m.onnx", foreign.random_state())
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"m\.onnx: (damaged ONNX file|not a MobileNet)"):
        read_network(file)


# TensorFlow's graphs.


@pytest.mark.parametrize("fold", ["norm", "steps", "bias", "fused"])
def test_a_frozen_graph_is_read(tmp_path: Path, fold: str) -> None:
    state = foreign.random_state(11)
    graph = classifier_graph(state, fold=fold, before=[("Mul", 2 / 255), ("Sub", 1.0)])
    network = read_network(write_graph_def(tmp_path / "m.pb", graph))
    expect_folded(network, state)
    assert (network.stated.padding, network.stated.activation) == ("same", "relu6")
    assert (network.stated.size, network.takes) == (SIZE, 255)
    assert network.stated.mean == pytest.approx((0.5,) * 3)
    found = compare(tmp_path / "m.pb", network, import_network(network), pictures())
    assert not isinstance(found, str)
    assert found.runtime.startswith("a plain network of its tensors (no runtime of TensorFlow gr")
    assert found.difference < 1e-5


def test_a_frozen_graph_of_bytes_or_of_no_size(tmp_path: Path) -> None:
    state = foreign.random_state(0)
    graph = classifier_graph(state, bytes_in=True, size=-1)
    network = read_network(write_graph_def(tmp_path / "m.pb", graph))
    assert (network.columns, network.stated.size, network.takes) == (0, None, 255)
    plain = read_network(write_graph_def(tmp_path / "m.pb", classifier_graph(state)))
    with pytest.raises(ValueError, match=r"give --mean R G B, --std R G B"):
        resolve("x", plain.stated, plain.usual, PartialFlavour())


@pytest.mark.parametrize("size", [0, 1, 50, 3000, -7])
def test_a_damaged_graph_is_refused(tmp_path: Path, size: int) -> None:
    file = write_graph_def(tmp_path / "m.pb", classifier_graph(foreign.random_state()))
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"m\.pb: (damaged TensorFlow graph|no input)"):
        read_network(file)


def test_hostile_graphs_are_refused(tmp_path: Path) -> None:
    """Sizes that no file of that length has, and graphs of other networks."""

    def message(value: bytes) -> bytes:
        tensor = foreign.field(8, value)
        attr = foreign.field(1, b"value") + foreign.field(2, tensor)
        return foreign.field(1, foreign.field(2, b"Const") + foreign.field(5, attr))

    huge = foreign.field(2, foreign.field(2, foreign.field(1, 2**40)))
    file = tmp_path / "m.pb"
    file.write_bytes(message(foreign.field(1, 1) + huge + foreign.field(5, b"\0\0\0\0")))
    with pytest.raises(ValueError, match=r"damaged TensorFlow graph \(a constant of shape"):
        read_network(file)
    many = tensor_message(np.zeros(3, np.float32))[:-4]
    file.write_bytes(message(many))
    with pytest.raises(ValueError, match="damaged TensorFlow graph"):
        read_network(file)
    with pytest.raises(ValueError, match="not a MobileNet v1: it has an AddV2"):
        read_network(
            write_graph_def(file, classifier_graph(foreign.random_state(), residual=True))
        )
    grow = Graph()
    x = grow.add("input", "Placeholder", [], dtype=1, shape=[1, 8, 8, 3])
    one, two = (
        grow.constant("a", np.ones((2**14, 1), "f4")),
        grow.constant("b", np.ones(2**14, "f4")),
    )
    grow.add("x", "Mul", [x, grow.add("big", "Add", [one, two])])
    with pytest.raises(ValueError, match="constants of more than"):
        read_network(write_graph_def(file, grow))


# TF.js.


@pytest.mark.parametrize("quantised", ["", "uint8", "uint16", "float16"])
def test_a_graph_model_is_read(tmp_path: Path, quantised: str) -> None:
    state = foreign.random_state()
    graph = classifier_graph(state, fold="fused")
    if quantised == "float16":
        file = write_graph_model(tmp_path, graph)
        content = json.loads(file.read_text())
        rows = content["weightsManifest"][0]["weights"]
        data = b""
        for row in rows:
            value = graph.constants[row["name"]]
            if value.dtype == np.float32:
                row["quantization"] = {"dtype": "float16"}
                value = value.astype(np.float16)
            data += value.tobytes()
        content["weightsManifest"][0]["paths"] = ["one.bin"]
        (tmp_path / "one.bin").write_bytes(data)
        file.write_text(json.dumps(content))
    else:
        file = write_graph_model(tmp_path, graph, quantised)
    network = read_network(file)
    expect_folded(
        network, state, atol={"": 1e-5, "uint8": 0.02, "uint16": 1e-3}.get(quantised, 0.01)
    )
    assert network.stated.size == SIZE


def test_a_layers_model_is_read(tmp_path: Path) -> None:
    state, layers, arrays = mobilenet()
    network = read_network(write_layers_model(tmp_path, model([*layers, *top("softmax")]), arrays))
    for name, value in state.items():
        assert torch.equal(network.state[name], value), name
    assert (network.stated.activation, network.stated.padding) == ("relu", "same")
    found = compare(tmp_path / "model.json", network, import_network(network), pictures())
    assert "no runtime of TF.js layers" in str(found)


@pytest.mark.parametrize("quantised", ["", "uint8"])
def test_weights_alone_under_tf_slims_names(tmp_path: Path, quantised: str) -> None:
    """As face-api.js has its detector: some batch norms folded, and other layers beside."""
    state = foreign.random_state(0)
    weights: dict[str, Any] = {"Prediction/BoxPredictor_0/weights": np.ones((1, 1, 51, 9), "f4")}
    for name, value in foreign.slim_names({**state, **foreign.random_state(6)}).items():
        if "Logits" not in name:
            weights[name.replace("Conv2d_0/", "Conv2d_0_pointwise/")] = value
    for conv in [c for c in CONVS if not c.endswith("depthwise")]:
        scope = f"MobilenetV1/Conv2d_{conv.replace('.', '_')}"
        scope = scope if conv != "0" else f"{scope}_pointwise"
        weights = {k: v for k, v in weights.items() if not k.startswith(f"{scope}/Batch")}
        kernel, bias = folded(foreign.random_state(6), conv)
        weights[f"{scope}/weights"] = kernel.transpose(2, 3, 1, 0)
        weights[f"{scope}/convolution_bn_offset"] = bias
    manifest = write_shards(tmp_path, weights, quantised, "ssd")
    (tmp_path / "ssd-weights_manifest.json").write_text(json.dumps(manifest))
    network = read_network(tmp_path / "ssd-weights_manifest.json")
    assert network.left_out == ("Prediction/BoxPredictor_0/weights",)
    assert network.columns == 0
    assert network.folded
    given = PartialFlavour(size=SIZE)
    found = compare(
        tmp_path / "ssd-weights_manifest.json", network, import_network(network, given), pictures()
    )
    assert not isinstance(found, str)
    assert abs(found.difference) < 1e-5
    if not quantised:
        kernel, bias = folded(foreign.random_state(6), "3.pointwise")
        assert torch.equal(
            network.state["body.layers.3.pointwise.conv.weight"], torch.from_numpy(kernel)
        )


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (
            lambda c: c["weightsManifest"][0].update(paths=["gone.bin"]),
            "its shard gone.bin is not",
        ),
        (lambda c: c["weightsManifest"][0].update(paths=["../x"]), r"names the shard '\.\./x'"),
        (lambda c: c["weightsManifest"][0].update(paths=[7]), "names the shard 7"),
        (lambda c: c["weightsManifest"][0]["paths"].pop(), "cut short"),
        (lambda c: c["weightsManifest"][0]["weights"].pop(), "are named nowhere"),
        (lambda c: c["weightsManifest"][0]["weights"][0].update(dtype="string"), "damaged TF.js"),
        (lambda c: c["weightsManifest"][0]["weights"][0].update(shape=[2**60]), "cut short"),
        (lambda c: c["weightsManifest"][0]["weights"][0].update(shape=[-1]), "cut short"),
        (lambda c: c.pop("weightsManifest"), "damaged TF.js"),
        (lambda c: c["modelTopology"]["node"].clear(), "no input"),
        (lambda c: c["modelTopology"]["node"][0].pop("op"), "damaged TF.js"),
        (lambda c: c.update(modelTopology=3), "damaged TF.js"),
    ],
)
def test_a_damaged_tfjs_model_is_refused(tmp_path: Path, change: Any, part: str) -> None:
    file = write_graph_model(tmp_path, classifier_graph(foreign.random_state()))
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=part) as error:
        read_network(file)
    assert str(tmp_path) in str(error.value)


def test_a_detectors_checkpoint_gives_its_body(tmp_path: Path) -> None:
    state = foreign.random_state(6)
    tensors = {
        f"FeatureExtractor/{name}": value
        for name, value in foreign.slim_names(state).items()
        if "Logits" not in name
    }
    scope = "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise_1_Conv2d_2_1x1_256"
    tensors[f"{scope}/weights"] = np.ones((1, 1, 51, 8), "f4")
    tensors["BoxPredictor_0/ClassPredictor/weights"] = np.ones((1, 1, 51, 9), "f4")
    conv = "FeatureExtractor/MobilenetV1/Conv2d_0/weights"
    foreign.write_bundle(tmp_path / "model.ckpt", {**tensors, f"{conv}/RMSProp": tensors[conv]})
    network = read_network(tmp_path / "model.ckpt")
    assert network.columns == 0
    body = {key: value for key, value in state.items() if key.startswith("body.")}
    assert all(torch.equal(network.state[key], value) for key, value in body.items())
    assert set(network.left_out) == {
        "BoxPredictor_0/ClassPredictor/weights",
        f"{scope}/weights",
    }


# What TensorFlow for Poets left behind: a new layer on ImageNet's logits, and weights as bytes.


@pytest.mark.parametrize("between", [None, "Softmax"])
def test_a_layer_on_the_logits_is_one_with_them(tmp_path: Path, between: str | None) -> None:
    state = foreign.random_state()
    graph = classifier_graph(state)
    graph.nodes.pop()  # The softmax.
    rng = np.random.default_rng(0)
    columns = len(state["head.2.bias"])
    weight = rng.normal(size=(columns, 2)).astype(np.float32)
    x = graph.add("hold", "PlaceholderWithDefault", ["add"])
    x = graph.add("between", between, [x]) if between else x
    x = graph.add("final", "MatMul", [x, graph.constant("final_weights", weight)])
    x = graph.add("plus", "Add", [x, graph.constant("final_biases", np.float32([1, -1]))])
    graph.add("final_result", "Softmax", [x])
    path = write_graph_def(tmp_path / "retrained_graph.pb", graph)
    if between:
        with pytest.raises(InputError, match="it has probabilities that another layer reads"):
            read_network(path)
        return
    network = read_network(path)
    new = torch.from_numpy(weight.T)
    torch.testing.assert_close(network.state["head.2.weight"], new @ state["head.2.weight"])
    bias = new @ state["head.2.bias"] + torch.tensor([1.0, -1.0])
    torch.testing.assert_close(network.state["head.2.bias"], bias)


@pytest.mark.parametrize("mode", ["MIN_FIRST", "MIN_COMBINED", "SCALED"])
def test_weights_as_bytes_are_dequantised(tmp_path: Path, mode: str) -> None:
    state = foreign.random_state()
    graph = classifier_graph(state)
    kernel = graph.constants["kernel"]
    low, high = float(kernel.min()), float(kernel.max())
    graph.constants["kernel"] = np.round((kernel - low) / (high - low) * 255).astype(np.uint8)
    more = Graph()
    more.constant("low", np.float32(low))
    more.constant("high", np.float32(high))
    at = next(k for k, node in enumerate(graph.nodes) if node[0] == "kernel/read")
    graph.constants |= more.constants
    made = ("kernel/read", "Dequantize", ["kernel", "low", "high"], {"mode": mode})
    graph.nodes[at : at + 1] = more.nodes
    graph.nodes.append(made)  # Behind the layer that reads it.
    path = write_graph_def(tmp_path / "quantized_graph.pb", graph)
    if mode == "SCALED":
        with pytest.raises(InputError, match="SCALED of uint8"):
            read_network(path)
        return
    found = read_network(path).state["head.2.weight"]
    atol = (high - low) / 255 * 1.01
    torch.testing.assert_close(found, state["head.2.weight"], rtol=0, atol=atol)
