"""Searches for an 8-bit network with the float network's answers: naive first, then corrections.

Each correction is kept if the answers on images that nothing was measured on come closer to the
float network's. Labelled images, if there are any, evaluate the result, and may select the naive
one instead.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from onnx import ModelProto
from torch import nn

from tasks.int8.equalise import choose_gains, copy_weights, equalise, find_links
from tasks.int8.network import Floats, Layer, Runner, cut_network, final_outputs, find_layers
from tasks.int8.quantize import quantise, rounded_name
from tasks.int8.ranges import Measured, Method, Ranges, choose_ranges, measure
from tasks.int8.simulate import correct_biases, decibels, fine_tune, lone_errors

METHODS: tuple[Method, ...] = ("min-max", "percentile", "mse")
# Smallest improvement, in dB, for which a correction is kept.
_WORTH = 0.2
# Number of images on which biases are corrected, all in one pass.
_BIAS_PHOTOS = 32
# Largest share of the layers that may stay in float.
_FLOAT_SHARE = 8
Say = Callable[[str], None]


@dataclass(frozen=True)
class Pictures:
    """The network's inputs from the user's images: normalised, (1, 3, S, S) each."""

    fit: Sequence[Floats]  # to measure ranges on, correct and learn from
    held: Sequence[Floats]  # to compare the answers on


@dataclass(frozen=True)
class State:
    """A network on its way to 8 bits."""

    model: ModelProto  # float export, with the weights as the remedies left them
    network: nn.Module  # the same in PyTorch
    layers: tuple[Layer, ...]
    measured: dict[str, Measured]  # by tensor
    method: Method = "min-max"  # how ranges follow from that
    per_channel: bool = True  # a scale for each output channel of the weights
    floats: tuple[str, ...] = ()  # names of layers that stay in float

    @cached_property
    def ranges(self) -> Ranges:
        """Ranges of every tensor between layers."""
        return choose_ranges(self.measured, self.layers, self.method)

    def quantised(self, model: ModelProto | None = None) -> ModelProto:
        """The whole file in 8 bits, or another one with the same layers."""
        return quantise(
            model or self.model,
            self.layers,
            self.ranges,
            per_channel=self.per_channel,
            floats=self.floats,
        )

    def altered(self) -> State:
        """A copy whose weights may be changed."""
        model = ModelProto()
        model.CopyFrom(self.model)
        return replace(self, model=model, network=copy.deepcopy(self.network))


@dataclass(frozen=True)
class Step:
    """A correction that was tried."""

    name: str
    sqnr: float  # float answers over their difference from the 8-bit ones on held images, in dB
    # Percent of held images whose largest answer is the same; None where that says nothing.
    agreement: float | None
    kept: bool  # whether it stays


@dataclass
class Search:
    """Tries corrections one after another."""

    pictures: Pictures
    original: State  # the float network
    say: Say  # told what was tried
    state: State  # the best so far, its biases uncorrected
    chosen: State  # the best so far
    truth: State  # in float, answers as the original does, with the channels of ``chosen``
    correct: bool = False  # the biases
    best: float = -float("inf")  # SQNR of the best so far, in dB
    steps: list[Step] = field(default_factory=list)  # what was tried

    @classmethod
    def begin(cls, model: ModelProto, network: nn.Module, pictures: Pictures, say: Say) -> Search:
        """Measure the float network.

        Args:
            model: Float export.
            network: The same network in PyTorch, batch norm folded; its ``raw`` takes normalised
                images.
            pictures: Images to measure and compare on.
            say: Function that is called with a description of each trial.

        Raises:
            InputError: If the two are not the same network.
        """
        layers = find_layers(model, network)
        measured = measure(cut_network(model, layers), layers, pictures.fit)
        state = State(model, network, layers, measured)
        return cls(pictures, state, say, state, state, state)

    def naive(self) -> tuple[State, State]:
        """Try the usual methods first: (a scale per tensor, a scale per channel)."""
        tensor = replace(self.state, per_channel=False)
        self._judge("naive: a scale per tensor, min-max ranges", tensor, always=True)
        channel = replace(tensor, per_channel=True)
        self._judge("naive: a scale per channel, min-max ranges", channel, always=True)
        return tensor, channel

    def cheap(self) -> None:
        """Try the corrections that cost the file nothing: biases, ranges, equalisation.

        Shifted means hide all other errors, so they are corrected first, and again with each of
        the others.
        """
        self.correct = True
        self.correct = self._judge("bias correction", self.state)
        for method in METHODS[1:]:
            self._judge(f"{method} ranges", replace(self.state, method=method))
        equal = self._equalised()
        if equal is None:
            return
        for method in METHODS:
            name = f"cross-layer equalisation, {method} ranges"
            if self._judge(name, replace(equal, method=method)):
                self.truth = equal

    def take_naive(self, channel: State) -> None:
        """Return to a scale per channel without corrections, from :meth:`naive`."""
        self.state = self.chosen = channel
        self.truth, self.correct = self.original, False
        self.steps = [replace(step, kept=False) for step in self.steps]
        self.best = next(step.sqnr for step in self.steps if "scale per channel" in step.name)

    def leave_in_float(self) -> bool:
        """Leave some of the most affected layers in float, if that helps."""
        state, helped = self.state, False
        errors = lone_errors(state.network, state.layers, state.ranges, self.pictures.held)
        worst = sorted(errors, key=lambda name: errors[name])
        most = max(1, len(worst) // _FLOAT_SHARE)
        for name in worst[: 2 * most]:
            if len(self.state.floats) < most:
                floats = (*self.state.floats, name)
                better = replace(self.state, floats=floats)
                helped |= self._judge(f"in float: {', '.join(floats)}", better)
        return helped

    def tune(self, seed: int) -> bool:
        """Fine-tune the rounded weights towards the float network's answers, if it helps."""
        state = self.chosen.altered()
        names = final_outputs(state.model, state.layers)
        fine_tune(
            state.network,
            self.original.network,
            state.layers,
            state.ranges,
            floats=state.floats,
            finals=[layer.name for layer in state.layers if layer.output in names],
            pictures=self.pictures.fit,
            seed=seed,
        )
        copy_weights(state.model, state.network, state.layers)
        # Its float means are no longer the teacher's, so they cannot be corrected towards.
        self.correct = False
        return self._judge("quantisation-aware fine-tuning on the calibration images", state)

    def _equalised(self) -> State | None:
        """The state with weak channels strengthened; None if no channel can be."""
        state = self.state.altered()
        links = find_links(state.model, state.layers, state.network)
        if not links:
            return None
        gains = [choose_gains(state.model, link, state.measured) for link in links]
        equalise(state.model, state.network, links, gains)
        layers = find_layers(state.model, state.network)
        measured = measure(cut_network(state.model, layers), layers, self.pictures.fit)
        return replace(state, layers=layers, measured=measured)

    def _judge(self, name: str, state: State, *, always: bool = False) -> bool:
        """Keep a state if it is better than the best so far, or in any case with ``always``."""
        ready = state
        if self.correct:
            ready = state.altered()
            pictures = self.pictures.fit[:_BIAS_PHOTOS]
            correct_biases(ready.network, ready.layers, ready.ranges, ready.floats, pictures)
            copy_weights(ready.model, ready.network, ready.layers)
        sqnr, agreement = self._compare(ready)
        kept = always or sqnr > self.best + _WORTH
        self.steps.append(Step(name, sqnr, agreement, kept))
        told = ", kept" if kept and not always else ""
        agreed = "" if agreement is None else f", {agreement:.1f} % the same first answer"
        self.say(f"{name}: {sqnr:.1f} dB{agreed}{told}")
        if kept:
            self.state, self.chosen, self.best = state, ready, sqnr
        return kept

    @cached_property
    def _answered(self) -> list[list[Floats]]:
        state = self.original
        network = cut_network(state.model, state.layers)
        return self._answers(network, final_outputs(state.model, state.layers))

    def _answers(self, network: ModelProto, names: Sequence[str]) -> list[list[Floats]]:
        """For each held image, each of the outputs."""
        found = Runner(network, names)(self.pictures.held)
        return [[outputs[name] for name in names] for outputs in found]

    def _compare(self, state: State) -> tuple[float, float | None]:
        """SQNR in dB over all outputs, each with equal weight, and agreement in percent."""
        rounded = state.quantised(cut_network(state.model, state.layers))
        finals = final_outputs(state.model, state.layers)
        ours = self._answers(rounded, [rounded_name(rounded, name) for name in finals])
        errors = []
        for index in range(len(finals)):
            pairs = [(a[index], b[index]) for a, b in zip(self._answered, ours, strict=True)]
            signal = sum(float(np.square(a).sum()) for a, _ in pairs)
            error = sum(float(np.square(a - b).sum()) for a, b in pairs)
            errors.append(error / max(signal, 1e-30))
        sqnr = decibels(1.0, sum(errors) / len(errors))
        first = self._answered[0][0]
        if len(finals) > 1 or first.ndim != 2 or first.shape[1] < 2:
            return sqnr, None
        same = [a[0].argmax() == b[0].argmax() for a, b in zip(self._answered, ours, strict=True)]
        return sqnr, 100 * float(np.mean(same))
