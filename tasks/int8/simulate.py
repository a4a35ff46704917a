"""The 8-bit network in PyTorch: simulates its rounding, so that biases and weights can adapt."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from tasks.int8.network import MERGED, Floats, Layer
from tasks.int8.ranges import LEVELS, Range, Ranges

_TOP = 127
_BATCH = 16
STEPS = 60
_RATE = 1e-4


class RoundedWeight(nn.Module):
    """Weights rounded to signed 8 bits with a scale for each output channel.

    Gradients pass as if nothing had been rounded (Jacob et al., arXiv 1712.05877).
    """

    def forward(self, weight: Tensor) -> Tensor:
        """Round (C', ...)."""
        axes = tuple(range(1, weight.ndim))
        scale = weight.detach().abs().amax(axes).clamp_min(1e-20) / _TOP
        zeros = torch.zeros(len(scale), dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -_TOP, _TOP)


def round_activation(x: Tensor, range_: Range) -> Tensor:
    """Values rounded to unsigned 8 bits over a range; those outside are cut off."""
    low, high = min(range_[0], 0.0), max(range_[1], 0.0)
    if high <= low:
        return x
    scale = (high - low) / LEVELS
    return torch.fake_quantize_per_tensor_affine(x, scale, round(-low / scale), 0, LEVELS)


@contextlib.contextmanager
def simulated(
    network: nn.Module, layers: Sequence[Layer], ranges: Ranges, floats: Collection[str]
) -> Iterator[None]:
    """Make layers of a network, batch norm folded, compute as in 8 bits within the context.

    Those named in ``floats`` are left in float.
    """
    read = {layer.input for layer in layers}
    with contextlib.ExitStack() as undo:
        for layer in layers:
            if layer.name in floats:
                continue
            module = network.get_submodule(layer.name)
            parametrize.register_parametrization(module, "weight", RoundedWeight())
            undo.callback(
                parametrize.remove_parametrizations, module, "weight", leave_parametrized=False
            )
            entering = partial(_round_input, ranges[layer.input])
            undo.enter_context(module.register_forward_pre_hook(entering))
            if layer.kind not in MERGED and isinstance(module, nn.Conv2d):
                leaving = partial(_round_output, ranges[layer.raw])
                undo.enter_context(module.register_forward_hook(leaving))
            act = getattr(layer.block(network), "act", None)
            if layer.activation and isinstance(act, nn.Module) and layer.output not in read:
                leaving = partial(_round_output, ranges[layer.output])
                undo.enter_context(act.register_forward_hook(leaving))
        yield


def _round_input(range_: Range, _module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    return round_activation(inputs[0], range_)


def _round_output(range_: Range, _module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
    return round_activation(output, range_)


@contextlib.contextmanager
def _hooked(network: nn.Module, names: Iterable[str], hook: Callable[..., Any]) -> Iterator[None]:
    """Call ``hook(name, module, inputs, output)`` whenever one of some modules has run."""
    with contextlib.ExitStack() as hooks:
        for name in names:
            module = network.get_submodule(name)
            hooks.enter_context(module.register_forward_hook(partial(hook, name)))
        yield


@contextlib.contextmanager
def _watched(network: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Yield a dict with the last output of each of some modules."""
    found: dict[str, Tensor] = {}

    def keep(name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        found[name] = output.clone()  # An activation may write into it afterwards.

    with _hooked(network, names, keep):
        yield found


def _run(network: nn.Module, pictures: Tensor) -> None:
    """The network's own layers, on normalised images."""
    network.raw(pictures)  # type: ignore[operator]


def _stack(pictures: Sequence[Floats]) -> Tensor:
    return torch.cat([torch.from_numpy(picture) for picture in pictures])


def lone_errors(
    network: nn.Module, layers: Sequence[Layer], ranges: Ranges, pictures: Sequence[Floats]
) -> dict[str, float]:
    """Effect of each layer's own rounding, with float layers before it: signal over error, dB.

    This is the rounding of its input and weights, and before a leaky activation of its output. It
    is infinite where rounding changes nothing.

    Args:
        network: The network, batch norm folded.
        layers: Its layers.
        ranges: Ranges of the tensors between layers.
        pictures: Normalised images, (1, 3, S, S).

    Returns:
        Ratios by layer name.
    """
    by_name = {layer.name: layer for layer in layers}
    sums = {name: [0.0, 0.0] for name in by_name}

    def compare(name: str, module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        assert isinstance(module, nn.Conv2d | nn.Linear)
        layer = by_name[name]
        rounded = _apply(module, round_activation(inputs[0], ranges[layer.input]))
        if layer.kind in MERGED:  # What lies outside of the activation's range never gets out.
            true, ours = out.clamp(*ranges[layer.output]), rounded.clamp(*ranges[layer.output])
        else:
            ours = round_activation(rounded, ranges[layer.raw]) if out.ndim == 4 else rounded
            true, ours = (functional.leaky_relu(one, layer.slope) for one in (out, ours))
        sums[name][0] += float(true.square().sum())
        sums[name][1] += float((true - ours).square().sum())

    with torch.no_grad(), _hooked(network, by_name, compare):
        for picture in pictures:
            _run(network, torch.from_numpy(picture))
    return {name: decibels(signal, error) for name, (signal, error) in sums.items()}


def _apply(module: nn.Conv2d | nn.Linear, x: Tensor) -> Tensor:
    weight = RoundedWeight()(module.weight)
    if isinstance(module, nn.Linear):
        return functional.linear(x, weight, module.bias)
    return functional.conv2d(
        x, weight, module.bias, module.stride, module.padding, module.dilation, module.groups
    )


def decibels(signal: float, error: float) -> float:
    """10 log10(signal / error), both sums of squares; infinite without error."""
    if error <= 0:
        return float("inf")
    return 10 * float(torch.tensor(max(signal, 1e-30) / error, dtype=torch.float64).log10())


def correct_biases(
    network: nn.Module,
    layers: Sequence[Layer],
    ranges: Ranges,
    floats: Collection[str],
    pictures: Sequence[Floats],
) -> None:
    """Shift every bias so that each channel's mean equals that in float, in place.

    Rounded weights have another sum than the true ones, which shifts a channel's mean (arXiv
    1906.04721, section 4.2). Layers are corrected one after the other in one pass, so that each
    sees the output of the corrected ones before it.

    Args:
        network: The network, batch norm folded.
        layers: Its layers.
        ranges: Ranges of the tensors between layers.
        floats: Names of layers that stay in float.
        pictures: Normalised images, (1, 3, S, S).
    """
    stacked = _stack(pictures)
    names = [layer.name for layer in layers]
    with torch.no_grad(), _watched(network, names) as seen:
        _run(network, stacked)
        true = {name: _means(value) for name, value in seen.items()}

    def shift(name: str, module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        assert isinstance(module, nn.Conv2d | nn.Linear)
        assert module.bias is not None
        change = true[name] - _means(output)
        module.bias += change
        return output + change.view(1, -1, *[1] * (output.ndim - 2))

    biased = [name for name in names if network.get_submodule(name).bias is not None]
    with (
        torch.no_grad(),
        _hooked(network, biased, shift),
        simulated(network, layers, ranges, floats),
    ):
        _run(network, stacked)


def _means(value: Tensor) -> Tensor:
    return value.mean(dim=(0, *range(2, value.ndim)))


def fine_tune(
    network: nn.Module,
    teacher: nn.Module,
    layers: Sequence[Layer],
    ranges: Ranges,
    *,
    floats: Collection[str],
    finals: Sequence[str],
    pictures: Sequence[Floats],
    steps: int = STEPS,
    seed: int = 0,
) -> None:
    """Train a network, in place, to give in 8 bits the answers of a float network.

    The teacher's answers need no labels, so calibration images are enough; half of them are
    mirrored at each step.

    Args:
        network: Student; rounded as in 8 bits while it learns.
        teacher: The network in float.
        layers: Layers of both networks.
        ranges: Ranges of the tensors between layers.
        floats: Names of layers that stay in float.
        finals: Names of the layers with the network's raw outputs.
        pictures: Normalised images, (1, 3, S, S).
        steps: Number of steps of 16 images each.
        seed: Seed of their order.
    """
    draw = torch.Generator().manual_seed(seed)
    with simulated(network, layers, ranges, floats):
        learning = list(network.parameters())
        optimiser = torch.optim.Adam(learning, lr=_RATE)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(steps):
            chosen = torch.randint(len(pictures), (min(_BATCH, len(pictures)),), generator=draw)
            batch = _stack([pictures[index] for index in chosen.tolist()])
            if torch.rand(1, generator=draw) < 0.5:
                batch = batch.flip(-1)
            with torch.no_grad(), _watched(teacher, finals) as told:
                _run(teacher, batch)
            with _watched(network, finals) as said:
                _run(network, batch)
            loss = distance(said, told)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()


def distance(said: Mapping[str, Tensor], told: Mapping[str, Tensor]) -> Tensor:
    """Mean over outputs of the squared error relative to the output's variance."""
    errors = [
        functional.mse_loss(said[name], told[name]) / told[name].var().clamp_min(1e-12)
        for name in told
    ]
    return torch.stack(errors).mean()
