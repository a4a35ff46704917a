"""Bytes of an image straight into an 8-bit network: its normalisation expressed by a scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.export.litert.flatbuffer import Array, Quantisation
from tasks.export.litert.graph import Graph, Node, drop_unread, set_constant
from tasks.export.litert.lowering import Integers, told_quantisation

ENTRY = "Entry"
_LEVELS = 255


@dataclass(frozen=True)
class _Chain:
    """What happens between an image and where it is rounded.

    Attributes:
        source: Name of the input.
        scale: Factor by which pixels are multiplied.
        offset: Number that is added to the result.
        perm: Order of the axes that comes of it.
        flipped: The channels come in the opposite order.
    """

    source: str
    scale: float
    offset: float
    perm: tuple[int, ...]
    flipped: bool


def fold_entries(graph: Graph) -> None:
    """Replace what rounds normalised images by a node of its own (``ENTRY``), where that is exact.

    Such a node has the attributes ``quantisation``, of the image's bytes less 128, and ``perm``.
    """
    entered: dict[str, Quantisation] = {}
    for node in [one for one in graph.nodes if one.kind == "QuantizeLinear"]:
        chain = _follow(graph, node.inputs[0])
        read = graph.only_reader(node.outputs[0])
        layer = graph.only_reader(read.outputs[0]) if read is not None else None
        if chain is None or read is None or layer is None or layer.kind != "Conv":
            continue
        zero = round(-chain.offset / chain.scale)
        weight = _weight(graph, layer)
        if not 0 <= zero <= _LEVELS or chain.scale <= 0 or weight is None:
            continue
        told = Quantisation((float(np.float32(chain.scale)),), (zero - 128,))
        if entered.setdefault(chain.source, told) != told:
            continue
        _adapt(graph, layer, weight, chain, chain.offset + chain.scale * zero)
        node.kind, node.inputs = ENTRY, [chain.source]
        node.attributes = {"quantisation": told, "perm": chain.perm}
        node.outputs = list(read.outputs)
        graph.nodes.remove(read)
    drop_unread(graph)


def _follow(graph: Graph, name: str) -> _Chain | None:
    """The way back to an image, if it is one multiplication and addition for all pixels."""
    nodes: list[Node] = []
    while name not in graph.inputs:
        node = graph.maker(name)
        if node is None or not node.inputs:
            return None
        nodes.append(node)
        name = node.inputs[0]
    scale, offset, flipped = 1.0, 0.0, False
    perm: tuple[int, ...] = tuple(range(len(graph.shapes[name])))
    for node in reversed(nodes):
        number = _one_number(graph, node)
        if node.kind == "Transpose":
            perm = tuple(perm[axis] for axis in node.attributes["perm"])
        elif node.kind == "Slice" and _turns_channels(graph, node, perm):
            flipped = not flipped
        elif node.kind == "Cast" and graph.kinds[node.outputs[0]] == "float32":
            pass
        elif node.kind in ("Mul", "Div") and number:
            number = number if node.kind == "Mul" else 1 / number
            scale, offset = scale * number, offset * number
        elif node.kind in ("Add", "Sub") and number is not None:
            offset += number if node.kind == "Add" else -number
        else:
            return None
    usable = graph.kinds[name] == "uint8" and len(perm) == 4
    return _Chain(name, scale, offset, perm, flipped) if usable else None


def _one_number(graph: Graph, node: Node) -> float | None:
    """The constant that a node reads beside the image, if it is the same everywhere."""
    found = graph.constants.get(node.inputs[1]) if len(node.inputs) == 2 else None
    if found is None or not found.size or found.min() != found.max():
        return None
    return float(found.ravel()[0])


def _turns_channels(graph: Graph, node: Node, perm: tuple[int, ...]) -> bool:
    told = [graph.constants.get(name) for name in node.inputs[1:]]
    if len(told) != 4 or any(one is None or one.size != 1 for one in told):
        return False
    start, end, axis, step = (int(one.item()) for one in told if one is not None)
    shape = graph.shapes[node.inputs[0]]
    whole = range(*slice(start, end, step).indices(shape[axis])) == range(shape[axis])[::-1]
    return whole and perm[axis % len(perm)] == len(perm) - 1


def _weight(graph: Graph, layer: Node) -> Integers | None:
    """A layer's weights, if they are constants of 8 bits."""
    node = graph.maker(layer.inputs[1])
    if node is None or node.kind != "DequantizeLinear" or node.inputs[0] not in graph.constants:
        return None
    return Integers(graph.constants[node.inputs[0]], told_quantisation(graph, node))


def _adapt(graph: Graph, layer: Node, weight: Integers, chain: _Chain, shift: float) -> None:
    """Have a layer take bytes as they come, which mean ``shift`` less than what it was made for.

    Of the frame around the image that is not quite true: there 0 is added, as before, but by less
    than half a level of 255.
    """
    bias: Array = np.zeros(len(weight.values), np.float32)
    if len(layer.inputs) > 2:
        bias = _real(graph, layer.inputs[2])
    sums = weight.real.reshape(len(bias), -1).sum(axis=1, dtype=np.float64)
    name = f"{layer.name}/entry_bias"
    set_constant(graph, name, (bias + shift * sums).astype(np.float32))
    layer.inputs = [*layer.inputs[:2], name]
    if chain.flipped:
        node = graph.maker(layer.inputs[1])
        assert node is not None
        turned = f"{layer.name}/entry_weight"
        set_constant(graph, turned, weight.values[:, ::-1])
        made = Node(node.kind, turned, [turned, *node.inputs[1:]], [f"{turned}/real"],
                    node.attributes)  # fmt: skip
        graph.shapes[made.outputs[0]] = weight.values.shape
        graph.kinds[made.outputs[0]] = "float32"
        graph.nodes.insert(graph.nodes.index(node), made)
        layer.inputs[1] = made.outputs[0]


def _real(graph: Graph, name: str) -> Array:
    node = graph.maker(name)
    if node is None:
        return graph.constants[name]
    return Integers(graph.constants[node.inputs[0]], told_quantisation(graph, node)).real
