"""What stands before the first convolution of a graph and after its last layer."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from backbone.formats.partial import PartialFlavour
from backbone.formats.recognise import read_network
from datasets.errors import InputError
from tasks.classification.import_weights import import_network
from tasks.classification.reference_runtimes import compare
from tests.backbone import foreign
from tests.backbone.graph_files import SIZE, Graph, classifier_graph, write_graph_def, write_onnx


def onnx_with(
    folder: Path, nodes: dict[int, list[onnx.NodeProto]], columns: int = 6, **arrays: Any
) -> Path:
    """A drawn classifier with nodes put in front of it (0), or in place of its last one (-1)."""
    file = write_onnx(folder / "m.onnx", foreign.random_state(columns))
    model = onnx.load(file)
    rows = [*model.graph.node]
    for place, more in nodes.items():
        at = place % len(rows)
        rows[at : at + (place < 0)] = more
    if -1 in nodes:
        model.graph.output[0].name = nodes[-1][-1].output[0]
    else:
        rows[len(nodes[0])].input[0] = "made"
    del model.graph.node[:]
    model.graph.node.extend(rows)
    model.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in arrays.items())
    onnx.save(model, file)
    return file


def graph_with(columns: int, *ops: str) -> Graph:
    """A drawn classifier with other nodes in place of its softmax."""
    graph = classifier_graph(foreign.random_state(columns))
    graph.nodes.pop()
    x = "add"
    for op in ops:
        x = graph.add(op, op, [x] if op != "Mul" else [x, graph.constant("two", np.float32(2))])
    return graph


@pytest.mark.slow
def test_one_sigmoid_becomes_two_columns(tmp_path: Path) -> None:
    state = foreign.random_state(1)
    network = read_network(write_graph_def(tmp_path / "m.pb", graph_with(1, "Sigmoid")))
    weight, bias = state["head.2.weight"], state["head.2.bias"]
    torch.testing.assert_close(network.state["head.2.weight"], torch.cat([0 * weight, weight]))
    torch.testing.assert_close(network.state["head.2.bias"], torch.cat([0 * bias, bias]))
    file = onnx_with(tmp_path, {-1: [helper.make_node("Sigmoid", ["logits"], ["p"])]}, 1)
    network = read_network(file)
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 3, SIZE, SIZE), generator=rng, dtype=torch.uint8)
    given = PartialFlavour(mean=(0.5,) * 3, std=(0.5,) * 3)
    found = compare(file, network, import_network(network, given), images)
    assert not isinstance(found, str)
    assert (found.runtime, found.difference < 1e-5) == ("ONNX Runtime", True)


@pytest.mark.parametrize(
    ("ops", "part"),
    [
        (("Sigmoid",), "a sigmoid for each of 3 columns; one linear layer"),
        (("Softmax", "Mul"), "arithmetic after an activation"),
        (("Relu", "Sigmoid"), "activation sigmoid after activation relu"),
    ],
)
def test_other_ends_are_refused(tmp_path: Path, ops: tuple[str, ...], part: str) -> None:
    with pytest.raises(InputError, match=part):
        read_network(write_graph_def(tmp_path / "m.pb", graph_with(3, *ops)))


def test_a_slice_of_the_logits_is_refused(tmp_path: Path) -> None:
    cut = helper.make_node("Slice", ["logits", "one", "many", "one"], ["p"])
    numbers = {"one": np.array([1]), "many": np.array([99])}
    with pytest.raises(InputError, match="it has a Slice"):
        read_network(onnx_with(tmp_path, {-1: [cut]}, **numbers))


@pytest.mark.parametrize("op", ["ReverseV2", "ResizeBilinear"])
def test_photos_that_a_graph_turns_around_are_refused(tmp_path: Path, op: str) -> None:
    graph = classifier_graph(foreign.random_state(), before=[("Mul", 2 / 255), ("Sub", 1.0)])
    name, kind, inputs, attrs = next(node for node in graph.nodes if node[0] == "before0")
    at = graph.nodes.index((name, kind, inputs, attrs))
    graph.nodes[at] = (name, kind, ["turned", *inputs[1:]], attrs)
    more = Graph()
    more.add("turned", op, ["input", more.constant("axis", np.array([3], np.int32))])
    graph.nodes[at:at] = more.nodes
    graph.constants |= more.constants
    with pytest.raises(InputError, match=f"images are prepared by a {op}"):
        read_network(write_graph_def(tmp_path / "m.pb", graph))


@pytest.mark.parametrize(
    ("node", "part"),
    [
        (("Gather", ["photo", "order"], {"axis": 1}), "prepared by a Gather"),
        (("Pad", ["photo", "pads"], {"mode": "reflect"}), "prepared by a Pad"),
        (("Pad", ["photo", "pads", "white"], {}), "prepared by a Pad"),
        (("Mul", ["two", "photo"], {}), ""),
    ],
)
def test_photos_that_an_onnx_graph_turns_around_are_refused(
    tmp_path: Path, node: tuple[str, list[str], dict[str, Any]], part: str
) -> None:
    op, inputs, attrs = node
    more = [helper.make_node(op, inputs, ["made"], **attrs)]
    arrays = {
        "order": np.array([2, 1, 0]),
        "pads": np.array([0, 0, 0, 0, 0, 0, 1, 1]),
        "white": np.float32(1),
        "two": np.float32(2),
    }
    file = onnx_with(tmp_path, {0: more}, **{name: np.asarray(v) for name, v in arrays.items()})
    if not part:
        assert read_network(file).stated.std == pytest.approx((0.5,) * 3)
        return
    with pytest.raises(InputError, match=part):
        read_network(file)


def test_a_view_whose_shape_is_computed_is_idle(tmp_path: Path) -> None:
    """x.view(x.size(0), -1), as PyTorch's older exporter writes it."""
    state = foreign.random_state(6)
    file = write_onnx(tmp_path / "m.onnx", state)
    model = onnx.load(file)
    rows = [*model.graph.node]
    at = next(k for k, node in enumerate(rows) if node.op_type == "Flatten")
    rows[at : at + 1] = [
        helper.make_node("Shape", ["pooled"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["batch"], axis=0),
        helper.make_node("Unsqueeze", ["batch", "axes"], ["batches"]),
        helper.make_node("Concat", ["batches", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["pooled", "target"], ["flat"]),
    ]
    del model.graph.node[:]
    model.graph.node.extend(rows)
    numbers = {"first": np.array(0), "axes": np.array([0]), "rest": np.array([-1])}
    model.graph.initializer.extend(numpy_helper.from_array(v, n) for n, v in numbers.items())
    onnx.save(model, file)
    network = read_network(file)
    torch.testing.assert_close(network.state["head.2.weight"], state["head.2.weight"])


@pytest.mark.parametrize(
    ("place", "part"), [("10.depthwise", "before 10.depthwise"), ("0", "images are prepared by")]
)
def test_averages_between_the_convolutions_are_refused(
    tmp_path: Path, place: str, part: str
) -> None:
    file = write_onnx(tmp_path / "m.onnx", foreign.random_state(6))
    model = onnx.load(file)
    node = next(one for one in model.graph.node if f"{place}.c" in one.output)
    around = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    pool = helper.make_node("AveragePool", [node.input[0]], ["means"], **around)
    rows = [*model.graph.node]
    rows.insert(rows.index(node), pool)
    node.input[0] = "means"
    del model.graph.node[:]
    model.graph.node.extend(rows)
    onnx.save(model, file)
    with pytest.raises(InputError, match=f"an AveragePool.*{part}|{part} an AveragePool"):
        read_network(file)


def test_a_bias_that_is_reshaped_is_read(tmp_path: Path) -> None:
    """Keras 3 makes (1, 1, 1, C) of a convolution's bias and flattens it again."""
    state = foreign.random_state(6)
    graph = classifier_graph(state)
    at = next(k for k, node in enumerate(graph.nodes) if node[0] == "add")
    name, op, inputs, attrs = graph.nodes[at]
    more = Graph()
    shape = more.constant("four", np.array([1, 1, 1, -1], np.int32))
    wide = more.add("wide", "Reshape", [inputs[1], shape])
    flat = more.add("flat", "Squeeze", [wide])
    graph.nodes[at : at + 1] = [*more.nodes, (name, op, [inputs[0], flat, *inputs[2:]], attrs)]
    graph.constants |= more.constants
    network = read_network(write_graph_def(tmp_path / "m.pb", graph))
    torch.testing.assert_close(network.state["head.2.bias"], state["head.2.bias"])


def test_tensorflows_averages_between_convolutions_are_refused(tmp_path: Path) -> None:
    graph = classifier_graph(foreign.random_state(6))
    at, node = next((k, n) for k, n in enumerate(graph.nodes) if n[1] == "DepthwiseConv2dNative")
    name, op, inputs, attrs = node
    more = Graph()
    more.add("means", "AvgPool", [inputs[0]], strides=[1, 1, 1, 1], padding="SAME")
    graph.nodes[at : at + 1] = [*more.nodes, (name, op, ["means", *inputs[1:]], attrs)]
    with pytest.raises(InputError, match="it has an AvgPool before MobilenetV1/Conv2d_1_depthw"):
        read_network(write_graph_def(tmp_path / "m.pb", graph))
