"""Each operator that can be written for LiteRT, against ONNX Runtime."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from tasks.export.litert.entry import ENTRY
from tasks.export.litert.operators import OPERATORS
from tests.litert import converted, kinds_in, run_litert, run_onnx, small_model

Array = NDArray[np.generic]
MAP = (1, 4, 7, 6)
ROWS = (2, 5)


def floats(*shape: int) -> Array:
    rng = np.random.default_rng(sum(shape))
    return rng.normal(0, 2, shape).astype(np.float32)


def positive(*shape: int) -> Array:
    return np.abs(floats(*shape)) + np.float32(0.1)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def number(value: float) -> Array:
    return np.array(value, np.float32)


# Operator, what it reads, constants among that, attributes.
CASES: list[tuple[str, list[Array], list[Array], dict[str, Any]]] = [
    ("Abs", [floats(*ROWS)], [], {}),
    ("Add", [floats(*MAP), floats(1, 4, 1, 1)], [], {}),
    ("Add", [floats(*MAP)], [floats(4, 1, 1)], {}),
    ("Add", [floats(*MAP), floats(7, 6)], [], {}),
    ("And", [floats(*ROWS) > 0, floats(*ROWS) > 1], [], {}),
    ("AveragePool", [floats(*MAP)], [], {"kernel_shape": [2, 3], "strides": [2, 1]}),
    ("Cast", [floats(*ROWS)], [], {"to": 6}),
    ("Cast", [np.arange(10, dtype=np.int64)], [], {"to": 1}),
    ("Clip", [floats(*ROWS)], [number(0), number(6)], {}),
    ("Clip", [floats(*ROWS)], [number(-1), number(0.5)], {}),
    ("Clip", [floats(*ROWS)], [number(0.5)], {}),
    ("Concat", [floats(*MAP), floats(1, 2, 7, 6)], [], {"axis": 1}),
    ("Concat", [floats(*ROWS)], [floats(3, 5)], {"axis": 0}),
    ("Div", [floats(*MAP), positive(4, 1, 1)], [], {}),
    ("Div", [np.arange(10, dtype=np.int64)], [ints(3)], {}),
    ("Equal", [np.arange(10, dtype=np.int64)], [ints(3)], {}),
    ("Exp", [floats(*ROWS)], [], {}),
    ("Expand", [floats(2, 1)], [ints(3, 2, 4)], {}),
    ("Flatten", [floats(*MAP)], [], {}),
    ("Floor", [floats(*ROWS)], [], {}),
    ("Gather", [floats(*MAP)], [ints(2, 0, -1)], {"axis": 1}),
    ("Gather", [floats(6, 3), np.array([[1, 5], [0, 2]])], [], {}),
    ("Gather", [floats(6)], [np.arange(6).reshape(1, 6)], {}),
    ("Gemm", [floats(2, 5)], [floats(3, 5), floats(3)], {"transB": 1}),
    ("Gemm", [floats(2, 5)], [floats(5, 3)], {}),
    ("GlobalAveragePool", [floats(*MAP)], [], {}),
    ("Greater", [floats(*ROWS)], [number(0)], {}),
    ("GreaterOrEqual", [floats(*ROWS)], [floats(5)], {}),
    ("Identity", [floats(*ROWS)], [], {}),
    ("LeakyRelu", [floats(*ROWS)], [], {"alpha": 0.2}),
    ("Less", [floats(*ROWS), floats(2, 1)], [], {}),
    ("LessOrEqual", [floats(*ROWS)], [number(0)], {}),
    ("Log", [positive(*ROWS)], [], {}),
    ("LogSoftmax", [floats(*ROWS)], [], {"axis": 1}),
    ("MatMul", [floats(1, 2, 5), floats(1, 5, 3)], [], {}),
    ("MatMul", [floats(2, 5)], [floats(5, 3)], {}),
    ("Max", [floats(*ROWS), floats(1, 5), floats(2, 1)], [], {}),
    ("MaxPool", [floats(*MAP)], [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}),
    ("MaxPool", [floats(1, 4, 8, 8)], [], {"kernel_shape": [2, 2], "strides": [2, 2]}),
    ("Min", [floats(*ROWS)], [floats(5)], {}),
    ("Mod", [np.arange(-5, 5, dtype=np.int64)], [ints(3)], {}),
    ("Mul", [floats(*MAP), floats(*MAP)], [], {}),
    ("Neg", [floats(*ROWS)], [], {}),
    ("Not", [floats(*ROWS) > 0], [], {}),
    ("Or", [floats(*ROWS) > 0, floats(*ROWS) > 1], [], {}),
    ("Pad", [floats(*MAP)], [ints(0, 0, 1, 2, 0, 0, 0, 3)], {}),
    ("Pad", [floats(*ROWS)], [ints(1, 2), number(-3), ints(-1)], {}),
    ("ReduceL2", [floats(*ROWS)], [ints(1)], {}),
    ("ReduceMax", [floats(*MAP)], [ints(1)], {"keepdims": 0}),
    ("ReduceMean", [floats(*MAP)], [ints(-1, -2)], {}),
    ("ReduceMin", [floats(*ROWS)], [ints(0)], {"keepdims": 0}),
    ("ReduceSum", [floats(*MAP)], [ints(1, 3)], {"keepdims": 0}),
    ("Relu", [floats(*ROWS)], [], {}),
    ("Reshape", [floats(*MAP)], [ints(2, -1, 6)], {}),
    ("Sigmoid", [floats(*MAP)], [], {}),
    ("Slice", [floats(*MAP)], [ints(1, 0), ints(99, -1), ints(2, 3), ints(2, 1)], {}),
    ("Slice", [floats(*MAP)], [ints(-1), ints(-99), ints(1), ints(-1)], {}),
    ("Softmax", [floats(*MAP)], [], {"axis": 1}),
    ("Softmax", [floats(*ROWS)], [], {}),
    ("Split", [floats(*MAP)], [ints(1, 3)], {"axis": 1}),
    ("Sqrt", [positive(*ROWS)], [], {}),
    ("Squeeze", [floats(1, 5, 1)], [ints(0)], {}),
    ("Sub", [floats(*MAP)], [floats(1, 4, 1, 1)], {}),
    ("Tanh", [floats(*ROWS)], [], {}),
    ("TopK", [floats(2, 9)], [ints(4)], {}),
    ("Transpose", [floats(*MAP)], [], {"perm": [0, 3, 1, 2]}),
    ("Unsqueeze", [floats(*ROWS)], [ints(0, 2)], {}),
    ("Where", [floats(*ROWS) > 0, floats(*ROWS)], [number(7)], {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "read", "constants", "attributes", "channels_last"),
    [
        pytest.param(*case, last, id=f"{case[0]}{number}-{last}")
        for number, case in enumerate(CASES)
        for last in (False, True)
        if not last or case[1][0].shape == MAP
    ],
)
def test_the_same_numbers(
    tmp_path: Path,
    kind: str,
    read: list[Array],
    constants: list[Array],
    attributes: dict[str, Any],
    channels_last: bool,
) -> None:
    """Alone, and on maps that come and go with their channels last, as a network's do."""
    feeds = {f"in{k}": array for k, array in enumerate(read)}
    given = {f"constant{k}": array for k, array in enumerate(constants)}
    names = [*feeds, *given]
    if kind == "Clip" and len(constants) == 1:
        names.insert(1, "")
    nodes = []
    if channels_last:
        feeds["in0"] = np.ascontiguousarray(read[0].transpose(0, 2, 3, 1))
        nodes.append(helper.make_node("Transpose", ["in0"], ["first"], perm=[0, 3, 1, 2]))
        names[0] = "first"
    outputs = ["out", "more"] if kind in ("TopK", "Split") else ["out"]
    nodes.append(helper.make_node(kind, names, outputs, **attributes))
    model = small_model(nodes, feeds, given, outputs)
    source, target = converted(model, tmp_path)
    wanted, found = run_onnx(source, feeds), run_litert(target, feeds)
    assert wanted.keys() == found.keys()
    for name, array in wanted.items():
        assert found[name].shape == array.shape
        assert found[name].dtype == {"int64": "int32"}.get(array.dtype.name, array.dtype.name)
        np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-5)
    if channels_last and kind not in ("Flatten", "Reshape") and len(read) == 1:
        assert kinds_in(target).count("TRANSPOSE") <= 1, "only what the output's order asks for"


def test_every_operator_is_tried() -> None:
    elsewhere = {"Conv", "DequantizeLinear", "QuantizeLinear", ENTRY}
    assert {case[0] for case in CASES} == set(OPERATORS) - elsewhere


# Kernel, stride, padding (top, left, bottom, right), dilation, groups, side; LiteRT pads itself.
CONVOLUTIONS = [
    (3, 1, (1, 1, 1, 1), 1, 1, 7, True),
    (3, 2, (1, 1, 1, 1), 1, 1, 7, True),
    (3, 2, (1, 1, 1, 1), 1, 1, 8, False),
    (3, 2, (0, 0, 1, 1), 1, 1, 8, True),
    (3, 2, (0, 0, 1, 1), 1, 6, 8, True),
    (3, 2, (1, 1, 1, 1), 1, 6, 8, False),
    (3, 2, (0, 0, 0, 0), 1, 6, 9, True),
    (1, 1, (0, 0, 0, 0), 1, 1, 5, True),
    (5, 1, (2, 2, 2, 2), 1, 6, 9, True),
    (3, 1, (2, 2, 2, 2), 2, 1, 9, True),
]


@pytest.mark.parametrize(
    ("kernel", "stride", "pads", "dilation", "groups", "side", "itself"), CONVOLUTIONS
)
@pytest.mark.parametrize("after", ["", "Relu", "Clip"])
def test_convolutions(
    tmp_path: Path,
    kernel: int,
    stride: int,
    pads: tuple[int, ...],
    dilation: int,
    groups: int,
    side: int,
    itself: bool,
    after: str,
) -> None:
    feeds = {"x": floats(1, side, side + 2, 6)}
    constants = {
        "w": floats(12, 6 // groups, kernel, kernel) / 4,
        "b": floats(12),
        "low": number(0),
        "high": number(6),
    }
    told = {"strides": [stride] * 2, "dilations": [dilation] * 2, "group": groups}
    if side % 2 == 0:
        feeds["x"] = floats(1, side, side, 6)
    nodes = [
        helper.make_node("Transpose", ["x"], ["first"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["first", "w", "b"], ["y"], pads=pads, **told),
    ]
    inputs = {"": ["y"], "Relu": ["y"], "Clip": ["y", "low", "high"]}[after]
    nodes.append(helper.make_node(after or "Identity", inputs, ["z"]))
    nodes.append(helper.make_node("Transpose", ["z"], ["out"], perm=[0, 2, 3, 1]))
    model = small_model(nodes, feeds, constants, ["out"])
    source, target = converted(model, tmp_path)
    for plain in (False, True):
        found = run_litert(target, feeds, plain=plain)["out"]
        np.testing.assert_allclose(found, run_onnx(source, feeds)["out"], atol=2e-5)
    layer = "DEPTHWISE_CONV_2D" if groups > 1 else "CONV_2D"
    assert kinds_in(target) == ([layer] if itself else ["PAD", layer]), "nothing is moved"
