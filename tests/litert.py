"""LiteRT files in tests: run in the runtime, beside the ONNX files that they are written from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from tasks.export.litert.writer import write_litert
from tasks.runtime.chip import keep_sums_right

Arrays = dict[str, NDArray[np.generic]]
OPSET = 18


def run_onnx(file: Path, feeds: Mapping[str, NDArray[np.generic]]) -> Arrays:
    """Outputs of an ONNX file by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    keep_sums_right(options)
    session = onnxruntime.InferenceSession(file, options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(feeds)), strict=True))


def open_litert(file: Path, *, plain: bool = False) -> Interpreter:
    """A file in the runtime; ``plain`` without XNNPACK, as chips compute that have none."""
    kind = OpResolverType.BUILTIN_REF if plain else OpResolverType.AUTO
    opened = Interpreter(str(file), num_threads=1, experimental_op_resolver_type=kind)
    opened.allocate_tensors()
    return opened


def run_litert(
    file: Path, feeds: Mapping[str, NDArray[np.generic]], *, plain: bool = False
) -> Arrays:
    """Outputs of a LiteRT file by the names of its signature."""
    given = {
        name: array.astype(np.int32) if array.dtype == np.int64 else array
        for name, array in feeds.items()
    }
    found: Arrays = open_litert(file, plain=plain).get_signature_runner()(**given)
    return found


def kinds_in(file: Path) -> list[str]:
    """LiteRT's names of a file's operators, in their order, without what the runtime adds."""
    rows = open_litert(file, plain=True)._get_ops_details()
    return [row["op_name"] for row in rows if row["op_name"] != "DELEGATE"]


def converted(model: onnx.ModelProto, folder: Path) -> tuple[Path, Path]:
    """A model as an ONNX file, and written for LiteRT."""
    source, target = folder / "model.onnx", folder / "model.tflite"
    onnx.save(model, str(source))
    write_litert(source, {}, target)
    return source, target


def small_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, NDArray[np.generic]],
    constants: Mapping[str, NDArray[np.generic]],
    outputs: Sequence[str],
) -> onnx.ModelProto:
    """A model of some nodes, whose inputs are like these arrays."""
    value, kinds = helper.make_tensor_value_info, helper.np_dtype_to_tensor_dtype
    graph = helper.make_graph(
        list(nodes),
        "small",
        [value(name, kinds(array.dtype), array.shape) for name, array in inputs.items()],
        [value(name, onnx.TensorProto.UNDEFINED, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    del inferred.graph.value_info[:]
    return inferred
