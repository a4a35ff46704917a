"""Random networks as graphs: ONNX, TensorFlow's GraphDef, and TF.js' two kinds of model."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from backbone.formats.network import CONVS
from tests.backbone import foreign

SIZE = 64
HALVING = ("0", "2.depthwise", "4.depthwise", "6.depthwise", "12.depthwise")
_NORM = ("weight", "bias", "running_mean", "running_var")


def norm_of(state: Mapping[str, Tensor], conv: str) -> list[NDArray[np.float32]]:
    """Gamma, beta, mean and variance."""
    return [state[f"body.layers.{conv}.bn.{part}"].numpy() for part in _NORM]


def folded(
    state: Mapping[str, Tensor], conv: str, eps: float = 1e-3
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A convolution and its bias, batch norm folded in."""
    gamma, beta, mean, var = norm_of(state, conv)
    factor = gamma / np.sqrt(var + eps)
    weight = state[f"body.layers.{conv}.conv.weight"].numpy()
    return weight * factor[:, None, None, None], beta - mean * factor


# ONNX.


def write_onnx(
    path: Path,
    state: Mapping[str, Tensor],
    *,
    fold: bool = True,
    padding: str = "symmetric",
    before: Sequence[tuple[str, Any]] = (),
    kind: int = TensorProto.FLOAT,
    residual: bool = False,
    size: int | str = SIZE,
) -> Path:
    """A classifier, or a body where the state has no head.

    Args:
        path: To write.
        state: In our names.
        fold: Whether batch norms are folded in.
        padding: ``symmetric``; ``explicit``, zeros at the end where a convolution halves;
            ``same``; or ``pad``, zeros by a node of their own.
        before: Arithmetic on photos, (kind, number).
        kind: Of the input's values.
        residual: Whether the input of a convolution is added to its output.
        size: Of the input.
    """
    nodes, arrays, x = [], dict[str, Any](), "photo"
    if kind != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [x], ["cast"], to=TensorProto.FLOAT))
        x = "cast"
    for number, (op, value) in enumerate(before):
        arrays[f"before{number}"] = np.asarray(value, np.float32)
        nodes.append(helper.make_node(op, [x, f"before{number}"], [f"prepared{number}"]))
        x = f"prepared{number}"
    for conv in CONVS:
        source, depthwise = x, conv.endswith("depthwise")
        weight, bias = folded(state, conv)
        weight = weight if fold else state[f"body.layers.{conv}.conv.weight"].numpy()
        arrays[f"{conv}.w"] = weight
        more: dict[str, Any] = {"strides": [2, 2] if conv in HALVING else [1, 1]}
        more["group"] = len(weight) if depthwise else 1
        if weight.shape[-1] == 3:
            zeros = [0, 0, 1, 1] if padding != "symmetric" and conv in HALVING else [1, 1, 1, 1]
            if padding == "same":
                more["auto_pad"] = "SAME_UPPER"
            elif padding == "pad":
                arrays[f"{conv}.p"] = np.array([0, 0, *zeros[:2], 0, 0, *zeros[2:]], np.int64)
                nodes.append(helper.make_node("Pad", [x, f"{conv}.p"], [f"{conv}.padded"]))
                x = f"{conv}.padded"
            else:
                more["pads"] = zeros
        inputs = [x, f"{conv}.w"]
        if fold:
            arrays[f"{conv}.b"] = bias
            inputs.append(f"{conv}.b")
        nodes.append(helper.make_node("Conv", inputs, [f"{conv}.c"], **more))
        x = f"{conv}.c"
        if not fold:
            names = [f"{conv}.{part}" for part in _NORM]
            arrays |= dict(zip(names, norm_of(state, conv), strict=True))
            nodes.append(
                helper.make_node("BatchNormalization", [x, *names], [f"{conv}.n"], epsilon=1e-3)
            )
            x = f"{conv}.n"
        if residual and conv == "3.pointwise":
            nodes.append(helper.make_node("Add", [x, source], [f"{conv}.sum"]))
            x = f"{conv}.sum"
        arrays |= {"low": np.float32(0), "high": np.float32(6)}
        nodes.append(helper.make_node("Clip", [x, "low", "high"], [f"{conv}.a"]))
        x = f"{conv}.a"
    nodes.append(helper.make_node("GlobalAveragePool", [x], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["flat"]))
    x = "flat"
    if "head.2.weight" in state:
        arrays |= {"fc.w": state["head.2.weight"].numpy(), "fc.b": state["head.2.bias"].numpy()}
        nodes.append(helper.make_node("Gemm", ["flat", "fc.w", "fc.b"], ["logits"], transB=1))
        nodes.append(helper.make_node("Softmax", ["logits"], ["shares"]))
        x = "shares"
    graph = helper.make_graph(
        nodes,
        "drawn",
        [helper.make_tensor_value_info("photo", kind, [1, 3, size, size])],
        [helper.make_tensor_value_info(x, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)
    return path


# TensorFlow's graphs.


@dataclass
class Graph:
    """Nodes in order: (name, kind, inputs, attributes), and constants by name."""

    nodes: list[tuple[str, str, list[str], dict[str, Any]]] = field(default_factory=list)
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)

    def constant(self, name: str, value: Any) -> str:
        self.constants[name] = np.asarray(value)
        self.nodes.append((name, "Const", [], {}))
        # Variables of a frozen graph are read through another node.
        self.nodes.append((f"{name}/read", "Identity", [name], {}))
        return f"{name}/read"

    def add(self, name: str, op: str, inputs: Sequence[str], **attrs: Any) -> str:
        self.nodes.append((name, op, [*inputs, "^nothing"], attrs))
        return name


def classifier_graph(
    state: Mapping[str, Tensor],
    *,
    fold: str = "norm",
    before: Sequence[tuple[str, float]] = (),
    bytes_in: bool = False,
    size: int = SIZE,
    residual: bool = False,
) -> Graph:
    """TF-slim's MobileNet v1 as TensorFlow freezes it.

    Args:
        state: In our names.
        fold: ``norm`` keeps FusedBatchNorm, ``steps`` its arithmetic, ``bias`` folds it, ``fused``
            has bias and activation within the convolution.
        before: Arithmetic on photos.
        bytes_in: Whether photos are bytes.
        size: Of the input; -1 leaves it open.
        residual: Whether the input of a convolution is added to its output.
    """
    graph = Graph()
    x = graph.add(
        "input", "Placeholder", [], dtype=4 if bytes_in else 1, shape=[-1, size, size, 3]
    )
    if bytes_in:
        x = graph.add("cast", "Cast", [x])
    for number, (op, value) in enumerate(before):
        stored = graph.constant(f"number{number}", np.float32(value))
        cast = graph.add(f"number{number}/cast", "Cast", [stored])  # As Keras 2 rescales photos.
        x = graph.add(f"before{number}", op, [x, cast])
    for conv in CONVS:
        source, depthwise = x, conv.endswith("depthwise")
        scope = f"MobilenetV1/Conv2d_{conv.replace('.', '_')}"
        weight, bias = folded(state, conv)
        if fold in ("norm", "steps"):
            weight = state[f"body.layers.{conv}.conv.weight"].numpy()
        kernel = weight.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        name = graph.constant(f"{scope}/{'depthwise_' * depthwise}weights", kernel)
        attrs = {"strides": [1, 2, 2, 1] if conv in HALVING else [1, 1, 1, 1], "padding": "SAME"}
        op = "DepthwiseConv2dNative" if depthwise else "Conv2D"
        if fold == "fused":
            op = f"Fused{op}" if depthwise else "_FusedConv2D"
            shift = graph.constant(f"{scope}/bn_offset", bias)
            x = graph.add(scope, op, [x, name, shift], fused_ops=["BiasAdd", "Relu6"], **attrs)
            continue
        x = graph.add(f"{scope}/conv", op, [x, name], **attrs)
        if fold == "bias":
            x = graph.add(f"{scope}/add", "BiasAdd", [x, graph.constant(f"{scope}/b", bias)])
        else:
            x = _norm(graph, scope, x, norm_of(state, conv), in_steps=fold == "steps")
        if residual and conv == "3.pointwise":
            x = graph.add(f"{scope}/sum", "AddV2", [x, source])
        x = graph.add(f"{scope}/Relu6", "Relu6", [x])
    x = graph.add("pool", "Mean", [x, graph.constant("axes", np.array([1, 2], np.int32))])
    if "head.2.weight" in state:
        shape = graph.add("shape", "Shape", [x])  # As Keras reshapes.
        x = graph.add("reshape", "Reshape", [x, graph.add("pack", "Pack", [shape])])
        kernel = state["head.2.weight"].numpy().T
        x = graph.add("logits", "MatMul", [x, graph.constant("kernel", kernel)])
        x = graph.add("add", "BiasAdd", [x, graph.constant("bias", state["head.2.bias"].numpy())])
        graph.add("Softmax", "Softmax", [x])
    return graph


def _norm(
    graph: Graph, scope: str, x: str, norm: Sequence[NDArray[Any]], *, in_steps: bool
) -> str:
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    scope = f"{scope}/BatchNorm"
    gamma, beta, mean, var = (
        graph.constant(f"{scope}/{name}", value) for name, value in zip(names, norm, strict=True)
    )
    if not in_steps:
        name = f"{scope}/FusedBatchNorm"
        return graph.add(name, "FusedBatchNormV3", [x, gamma, beta, mean, var], epsilon=1e-3)
    eps = graph.constant(f"{scope}/eps", np.float32(1e-3))
    root = graph.add(f"{scope}/Rsqrt", "Rsqrt", [graph.add(f"{scope}/add", "Add", [var, eps])])
    factor = graph.add(f"{scope}/mul", "Mul", [root, gamma])
    shift = graph.add(f"{scope}/mul_2", "Mul", [mean, factor])
    x = graph.add(f"{scope}/mul_1", "Mul", [x, factor])
    return graph.add(f"{scope}/add_1", "Add", [x, graph.add(f"{scope}/sub", "Sub", [beta, shift])])


def tensor_message(value: NDArray[Any], *, one_by_one: bool = False) -> bytes:
    """A TensorProto."""
    kind = {"float32": 1, "int32": 3, "int64": 9, "uint8": 12}[value.dtype.name]
    shape = b"".join(foreign.field(2, foreign.field(1, side)) for side in value.shape)
    head = foreign.field(1, kind) + foreign.field(2, shape)
    if one_by_one:  # Packed floats; the last of them counts for all others.
        return head + foreign.field(5, struct.pack("<f", float(value.reshape(-1)[0])))
    return head + foreign.field(4, np.ascontiguousarray(value).tobytes())


def _attr(value: Any) -> bytes:
    if isinstance(value, str):
        return foreign.field(2, value.encode())
    if isinstance(value, float | int):
        return foreign.field(4 if isinstance(value, float) else 3, value)
    if value and isinstance(value[0], str):
        return foreign.field(1, b"".join(foreign.field(2, one.encode()) for one in value))
    return foreign.field(1, foreign.field(3, b"".join(foreign.varint(one) for one in value)))


def write_graph_def(path: Path, graph: Graph) -> Path:
    """A frozen .pb."""
    out = b""
    for name, op, inputs, attrs in graph.nodes:
        node = foreign.field(1, name.encode()) + foreign.field(2, op.encode())
        node += b"".join(foreign.field(3, one.encode()) for one in inputs)
        told = {key: _attr(value) for key, value in attrs.items() if key not in ("dtype", "shape")}
        if "dtype" in attrs:
            told["dtype"] = foreign.field(6, attrs["dtype"])
            sides = [side if side >= 0 else side + 2**64 for side in attrs["shape"]]
            shape = b"".join(foreign.field(2, foreign.field(1, side)) for side in sides)
            told["shape"] = foreign.field(7, shape)
        if op == "Const":
            array = graph.constants[name]
            told["value"] = foreign.field(8, tensor_message(array, one_by_one=array.ndim == 0))
        for key, value in told.items():
            node += foreign.field(5, foreign.field(1, key.encode()) + foreign.field(2, value))
        out += foreign.field(1, node)
    path.write_bytes(out + foreign.field(4, foreign.field(1, 27)))
    return path


# TF.js.


def write_shards(
    folder: Path, weights: Mapping[str, NDArray[Any]], quantised: str = "", name: str = "group1"
) -> list[dict[str, Any]]:
    """Two shards of all weights, and their manifest."""
    rows, data = [], b""
    for key, value in weights.items():
        row: dict[str, Any] = {"name": key, "shape": list(value.shape), "dtype": value.dtype.name}
        if quantised and value.dtype == np.float32 and value.size:
            low, most = float(value.min()), 2 ** (8 * np.dtype(quantised).itemsize) - 1
            scale = (float(value.max()) - low) / most or 1.0
            row["quantization"] = {"dtype": quantised, "scale": scale, "min": low}
            value = np.round((value - low) / scale).astype(quantised)
        rows.append(row)
        data += np.ascontiguousarray(value).tobytes()
    paths = [f"{name}-shard{k}of2.bin" for k in (1, 2)]
    (folder / paths[0]).write_bytes(data[: len(data) // 2])
    (folder / paths[1]).write_bytes(data[len(data) // 2 :])
    return [{"paths": paths, "weights": rows}]


def write_graph_model(folder: Path, graph: Graph, quantised: str = "") -> Path:
    """A TF.js graph model."""
    nodes = []
    for name, op, inputs, attrs in graph.nodes:
        told: dict[str, Any] = {}
        for key, value in attrs.items():
            if key == "shape":
                told[key] = {"shape": {"dim": [{"size": str(side)} for side in value]}}
            elif key == "dtype":
                told[key] = {"type": {1: "DT_FLOAT", 4: "DT_UINT8"}[value]}
            elif isinstance(value, str):
                told[key] = {"s": base64.b64encode(value.encode()).decode()}
            elif isinstance(value, float):
                told[key] = {"f": value}
            elif isinstance(value[0], str):
                texts = [base64.b64encode(one.encode()).decode() for one in value]
                told[key] = {"list": {"s": texts}}
            else:
                told[key] = {"list": {"i": [str(one) for one in value]}}
        nodes.append({"name": name, "op": op, "input": inputs, "attr": told})
    manifest = write_shards(folder, graph.constants, quantised)
    content = {
        "format": "graph-model",
        "modelTopology": {"node": nodes},
        "weightsManifest": manifest,
    }
    (folder / "model.json").write_text(json.dumps(content))
    return folder / "model.json"


def write_layers_model(
    folder: Path, config: object, arrays: Mapping[str, Mapping[str, NDArray[Any]]]
) -> Path:
    """A TF.js layers model."""
    weights = {
        f"{name}/{part}": value for name, row in arrays.items() for part, value in row.items()
    }
    topology = {"keras_version": "2.4.0", "model_config": config}
    content = {"modelTopology": topology, "weightsManifest": write_shards(folder, weights)}
    (folder / "model.json").write_text(json.dumps(content))
    return folder / "model.json"
