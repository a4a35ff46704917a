"""Finds the network inside an exported ONNX file: its layers, apart from the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper
from onnx.utils import Extractor
from torch import nn

from datasets.errors import InputError
from tasks.runtime.chip import keep_sums_right

Floats = NDArray[np.float32]
_WEIGHTED = ("Conv", "Gemm")
# Operations that the quantiser merges into the rounding of a layer's output.
MERGED = ("Relu", "Clip")


@dataclass(frozen=True)
class Layer:
    """A convolution or fully connected layer with what follows it."""

    name: str  # of the PyTorch module with the same weights
    node: str  # in the ONNX file
    weight: str  # of the initialiser (C', C / groups, h, w) or (C', C)
    bias: str  # of the initialiser (C',), or "" where there is none
    input: str  # tensor that it reads
    raw: str  # tensor that it writes
    output: str  # the same after its activation and ceiling, where it has them, else ``raw``
    activation: str = ""  # node of the activation, or ""
    kind: str = ""  # operation of that node: Relu, Clip, LeakyRelu or ""
    slope: float = 1.0  # what a LeakyRelu multiplies negative values by, else 1
    ceiling: str = ""  # node of the channels' ceilings (see :mod:`tasks.int8.equalise`), or ""

    def block(self, network: nn.Module) -> nn.Module:
        """The module that contains the layer's module, and its activation as ``act`` if any."""
        return network.get_submodule(self.name.rpartition(".")[0])


def tensors_of(model: ModelProto) -> dict[str, onnx.TensorProto]:
    """The constants of a file by name."""
    return {tensor.name: tensor for tensor in model.graph.initializer}


def readers_of(model: ModelProto) -> dict[str, list[NodeProto]]:
    """The nodes that read each tensor."""
    readers: dict[str, list[NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def set_tensor(model: ModelProto, name: str, value: Floats) -> None:
    """Replace a constant."""
    tensors_of(model)[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(value), name))


def find_layers(model: ModelProto, network: nn.Module) -> tuple[Layer, ...]:
    """The layers of a file whose weights are those of a network's modules, batch norm folded.

    What surrounds the network (resizing, decoding) may multiply matrices too, but has none of the
    network's weights.

    Args:
        model: Float export.
        network: The same network in PyTorch.

    Raises:
        InputError: If a module's weights are not in the file.
    """
    constants, readers = tensors_of(model), readers_of(model)
    left = {
        name: module.weight.detach().numpy()
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    }
    layers = []
    for node in model.graph.node:
        if node.op_type not in _WEIGHTED or node.input[1] not in constants:
            continue
        weight = numpy_helper.to_array(constants[node.input[1]])
        for name, own in left.items():
            if own.shape == weight.shape and np.array_equal(own, weight):
                del left[name]
                layers.append(_layer(name, node, readers, constants))
                break
    if left:
        raise InputError(
            f"the float export does not hold the weights of {next(iter(left))} as they are in the "
            "model, so it cannot be brought to 8 bits layer by layer"
        )
    return tuple(layers)


def _layer(
    name: str,
    node: NodeProto,
    readers: dict[str, list[NodeProto]],
    constants: dict[str, onnx.TensorProto],
) -> Layer:
    output, activation, kind, slope, ceiling = node.output[0], "", "", 1.0, ""
    following = readers.get(output, [])
    if len(following) == 1 and following[0].op_type in (*MERGED, "LeakyRelu"):
        after = following[0]
        output, activation, kind = after.output[0], after.name, after.op_type
        if kind == "LeakyRelu":
            slope = next((a.f for a in after.attribute if a.name == "alpha"), 0.01)
        following = readers.get(output, [])
        least = following[0] if len(following) == 1 else NodeProto()
        if least.op_type == "Min" and len(least.input) == 2 and least.input[1] in constants:
            output, ceiling = least.output[0], least.name
    return Layer(
        name=name,
        node=node.name,
        weight=node.input[1],
        bias=node.input[2] if len(node.input) > 2 else "",
        input=node.input[0],
        raw=node.output[0],
        output=output,
        activation=activation,
        kind=kind,
        slope=slope,
        ceiling=ceiling,
    )


def final_outputs(model: ModelProto, layers: Sequence[Layer]) -> tuple[str, ...]:
    """Outputs of the layers that no other layer follows: the network's raw outputs."""
    inputs = {layer.input for layer in layers}
    readers, finals = readers_of(model), []
    for layer in layers:
        seen, waiting = {layer.output}, [layer.output]
        while waiting and not seen & inputs:
            tensor = waiting.pop()
            for node in readers.get(tensor, []):
                fresh = set(node.output) - seen
                seen |= fresh
                waiting += fresh
        if not seen & inputs:
            finals.append(layer.output)
    return tuple(finals)


def cut_network(model: ModelProto, layers: Sequence[Layer]) -> ModelProto:
    """The network alone: from the first layer's input to the last layers' outputs.

    The images remain an input too if their number is needed.
    """
    return _cut(model, [layers[0].input], final_outputs(model, layers))


def cut_preparation(model: ModelProto, layers: Sequence[Layer]) -> ModelProto:
    """The part before the network: from images to the first layer's input."""
    return _cut(model, [], [layers[0].input])


def _cut(model: ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> ModelProto:
    photos = [value.name for value in model.graph.input]
    cut: ModelProto = Extractor(model).extract_model([*inputs, *photos], list(outputs))
    readers = readers_of(cut)
    for value in [one for one in cut.graph.input if one.name not in readers]:
        cut.graph.input.remove(value)
    return cut


class Runner:
    """Runs a network alone, made by :func:`cut_network` or quantised from that.

    Args:
        model: The network.
        outputs: Names of the tensors to return.
        threads: Number of threads of the runtime; 0 lets it choose.
    """

    def __init__(self, model: ModelProto, outputs: Sequence[str], threads: int = 1) -> None:
        opened = ModelProto()
        opened.CopyFrom(model)
        del opened.graph.output[:]
        for name in outputs:
            opened.graph.output.append(
                onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        keep_sums_right(options)
        self.outputs, self.source = tuple(outputs), opened.graph.input[0].name
        self._others = {
            value.name: np.zeros(
                [one.dim_value or 1 for one in value.type.tensor_type.shape.dim], np.uint8
            )
            for value in opened.graph.input[1:]
        }
        self._session = onnxruntime.InferenceSession(
            opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, pictures: Iterable[NDArray[Any]]) -> Iterator[dict[str, Floats]]:
        """Yield the outputs for each normalised image (1, 3, S, S), or other input."""
        for picture in pictures:
            feeds = {**self._others, self.source: picture}
            values = self._session.run(list(self.outputs), feeds)
            yield dict(zip(self.outputs, values, strict=True))
