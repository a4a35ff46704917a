"""Cross-layer equalisation: strengthens weak channels before they share a tensor's 256 levels.

Multiplying a channel by g in the layer before and dividing by g in the layer after changes nothing
in exact arithmetic (Nagel et al., arXiv 1906.04721, section 4.1), because the ReLUs between
commute with a positive factor. ReLU6 does not: its ceiling of 6 becomes 6 g, a different one for
each channel, which the float network keeps. With g >= 1 and a tensor rounded up to 6 at most,
rounding cuts off below every ceiling, so the 8-bit network needs none of them.

Weights have a scale for each output channel, so the layer before loses nothing, nor does a
depthwise layer after. In the columns of any other layer after, a division by g costs levels; there
g is chosen so that the sum of the two errors is smallest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import Tensor, nn

from tasks.int8.network import Floats, Layer, readers_of, set_tensor, tensors_of
from tasks.int8.ranges import LEVELS, Measured

# Factor by which a channel may exceed its maximum on the calibration images.
_HEADROOM = 1.1
_MOST = 32.0
_LEAST = 1e-12
_POOLS = ("GlobalAveragePool", "ReduceMean")
_PASSING = ("MaxPool", "AveragePool", "Pad", *_POOLS)
_RESHAPES = ("Reshape", "Flatten", "Squeeze")


@dataclass(frozen=True)
class Link:
    """A layer and all layers that read its channels."""

    before: Layer  # the layer that writes them
    after: tuple[Layer, ...]  # the layers that read them, straight or through pools
    ceiling: float  # at which the activation between cuts off, or infinity


class Ceilings(nn.Module):
    """ReLU with a ceiling for each channel: (B, C, H, W) to the same."""

    ceilings: Tensor

    def __init__(self, ceilings: Floats) -> None:
        super().__init__()
        self.register_buffer("ceilings", torch.from_numpy(ceilings).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Cut off below 0 and above the ceilings."""
        return torch.minimum(x.relu(), self.ceilings)


def find_links(model: ModelProto, layers: Sequence[Layer], network: nn.Module) -> list[Link]:
    """Where channels can be rescaled: all that read them are layers, possibly through pools."""
    readers = readers_of(model)
    by_node = {layer.node: layer for layer in layers}
    given_out = {value.name for value in model.graph.output}
    constants = tensors_of(model)
    links = []
    for layer in layers:
        ceiling = _ceiling_of(model, layer)
        if ceiling is None:
            continue
        act = getattr(layer.block(network), "act", None)
        if np.isfinite(ceiling) and not isinstance(act, nn.ReLU6):
            continue
        channels = constants[layer.weight].dims[0]
        after = _following(layer.output, readers, by_node, given_out)
        if after and all(_takes(model, one, channels) for one in after):
            links.append(Link(layer, after, ceiling))
    return links


def _ceiling_of(model: ModelProto, layer: Layer) -> float | None:
    """Ceiling of an activation that commutes with a positive factor, None for others."""
    if layer.ceiling:
        return None
    if layer.kind != "Clip":
        return float("inf")
    node = next(one for one in model.graph.node if one.name == layer.activation)
    constants = tensors_of(model)
    if len(node.input) < 3 or not {node.input[1], node.input[2]} <= constants.keys():
        return None
    low, high = (float(numpy_helper.to_array(constants[name])) for name in node.input[1:3])
    return high if low == 0 else None


def _following(
    tensor: str,
    readers: Mapping[str, list[NodeProto]],
    by_node: Mapping[str, Layer],
    given_out: set[str],
    pooled: bool = False,
) -> tuple[Layer, ...]:
    """The layers that read a tensor; empty if anything else does."""
    if tensor in given_out or not readers.get(tensor):
        return ()
    found: list[Layer] = []
    for node in readers[tensor]:
        layer = by_node.get(node.name)
        if layer is not None and node.input[0] == tensor:
            found.append(layer)
            continue
        passes = node.op_type in _PASSING or (pooled and node.op_type in _RESHAPES)
        if not passes or node.input[0] != tensor:
            return ()
        beyond = pooled or node.op_type in _POOLS
        more = _following(node.output[0], readers, by_node, given_out, beyond)
        if not more:
            return ()
        found += more
    return tuple(found)


def _takes(model: ModelProto, layer: Layer, channels: int) -> bool:
    """Whether a layer has a column for each channel, or is depthwise."""
    dims = tensors_of(model)[layer.weight].dims
    return channels in (dims[1], dims[0] if dims[1] == 1 else None)


def choose_gains(model: ModelProto, link: Link, measured: Mapping[str, Measured]) -> Floats:
    """Factors by which to multiply the channels of a link in a float export: (C,), 1 or more.

    The rounding of the tensor gives channel c an error of (step / g)^2 / 12 times the squared
    weights that read it; the rounding of these weights one of (step of their row)^2 / 12 times (g
    x)^2. The sum is smallest at the g returned, unless the channel would leave the range. Before a
    leaky activation the tensor is rounded too, and has a larger range, so there its error is the
    one that counts.
    """
    before = link.before
    seen = measured[before.raw if before.kind == "LeakyRelu" else before.output]
    low, high = min(seen.low, 0.0), max(seen.high, 0.0)
    lows, highs = np.minimum(seen.lows, -_LEAST), np.maximum(seen.highs, _LEAST)
    room = np.minimum(high / highs, low / lows if low < 0 else np.inf) / _HEADROOM
    room[(seen.lows >= 0) & (seen.highs <= 0)] = 1.0  # Never seen at work.
    gained, lost = np.zeros(len(room)), 0.0
    for layer in link.after:
        weight = numpy_helper.to_array(tensors_of(model)[layer.weight])
        if weight.ndim == 4 and weight.shape[1] == 1 and len(weight) > 1:
            continue  # Depthwise: each channel has a scale of its own.
        flat = weight.reshape(*weight.shape[:2], -1).astype(np.float64)
        gained += np.square(flat).sum(axis=(0, 2))
        steps = np.abs(flat).max(axis=(1, 2)) / (LEVELS // 2)
        lost += float(np.square(steps).sum()) * flat.shape[2]
    best = np.full(len(room), np.inf)
    if lost:
        power = np.maximum(measured[before.output].power, _LEAST)
        best = (((high - low) / LEVELS) ** 2 * gained / (lost * power)) ** 0.25
    gains: Floats = np.clip(np.minimum(best, room), 1.0, _MOST).astype(np.float32)
    return gains


def equalise(
    model: ModelProto, network: nn.Module, links: Sequence[Link], gains: Sequence[Floats]
) -> None:
    """Rescale channels in a float export and in the same network in PyTorch, in place.

    Batch norm is folded in the network. The gains (C,) of each link are above 0; with a ceiling at
    least 1.
    """
    for link, gain in zip(links, gains, strict=True):
        before = network.get_submodule(link.before.name)
        assert isinstance(before, nn.Conv2d | nn.Linear)
        factor = torch.from_numpy(gain)
        with torch.no_grad():
            before.weight.mul_(factor.view(-1, *[1] * (before.weight.ndim - 1)))
            if before.bias is not None:
                before.bias.mul_(factor)
            for layer in link.after:
                after = network.get_submodule(layer.name)
                assert isinstance(after, nn.Conv2d | nn.Linear)
                shape = [1] * after.weight.ndim
                shape[1 if after.weight.shape[1] == len(gain) else 0] = -1
                after.weight.div_(factor.view(shape))
        if np.isfinite(link.ceiling):
            ceilings = (gain * link.ceiling).astype(np.float32)
            link.before.block(network).act = Ceilings(ceilings)
            _split_clip(model, link.before, ceilings)
    touched = {one.name: one for link in links for one in (link.before, *link.after)}
    copy_weights(model, network, list(touched.values()))


def copy_weights(model: ModelProto, network: nn.Module, layers: Sequence[Layer]) -> None:
    """Copy the weights and biases of a PyTorch network into its float export."""
    for layer in layers:
        module = network.get_submodule(layer.name)
        assert isinstance(module, nn.Conv2d | nn.Linear)
        set_tensor(model, layer.weight, module.weight.detach().numpy())
        if layer.bias and module.bias is not None:
            set_tensor(model, layer.bias, module.bias.detach().numpy())


def _split_clip(model: ModelProto, layer: Layer, ceilings: Floats) -> None:
    """Replace a Clip by a ReLU and a minimum with a ceiling for each channel."""
    index, node = next(
        (index, one) for index, one in enumerate(model.graph.node) if one.name == layer.activation
    )
    middle, constant = f"{layer.output}_positive", f"{layer.output}_ceilings"
    relu = helper.make_node("Relu", [layer.raw], [middle], layer.activation)
    least = helper.make_node("Min", [middle, constant], [layer.output], f"{node.name}_ceiling")
    model.graph.node.remove(node)
    model.graph.node.insert(index, relu)
    model.graph.node.insert(index + 1, least)
    shaped = ceilings.reshape(1, -1, 1, 1)
    model.graph.initializer.append(numpy_helper.from_array(shaped, constant))
    known = next((one for one in model.graph.value_info if one.name == layer.output), None)
    if known is not None:
        value = model.graph.value_info.add()
        value.CopyFrom(known)
        value.name = middle
