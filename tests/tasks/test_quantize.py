"""INT8: the float network keeps its answers, the remedies hold what naive rounding ruins."""

import copy
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper
from torch import nn

from backbone.layers import ConvBNAct
from tasks.classification.model import Classifier
from tasks.int8.equalise import Ceilings, choose_gains, equalise, find_links
from tasks.int8.layer_report import describe_layers, layer_errors
from tasks.int8.network import Floats, Runner, cut_network, final_outputs, find_layers
from tasks.int8.quantize import rounded_name
from tasks.int8.ranges import Measured, Method, choose_ranges
from tasks.int8.remedies import Pictures, Search, State
from tasks.int8.simulate import correct_biases, decibels, fine_tune, lone_errors, simulated
from tests.tasks.onnx_net import classifier, network_of, pictures, to_onnx


def begin(model: Classifier, onnx_model: ModelProto | None = None) -> Search:
    seen = Pictures(pictures(24), pictures(8, seed=1))
    return Search.begin(onnx_model or to_onnx(model), network_of(model), seen, lambda _: None)


def logits(state: State, inputs: list[Floats], *, rounded: bool = False) -> Floats:
    network = cut_network(state.model, state.layers)
    (name,) = final_outputs(state.model, state.layers)
    if rounded:
        network = state.quantised(network)
        name = rounded_name(network, name)
    return np.concatenate([found[name] for found in Runner(network, [name])(inputs)])


def torch_logits(network: nn.Module, inputs: list[Floats]) -> Floats:
    with torch.no_grad():
        found: Floats = network.raw(torch.from_numpy(np.concatenate(inputs))).numpy()
    return found


def distance(ours: Floats, theirs: Floats) -> float:
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def spread(model: Classifier, most: float, seed: int = 0) -> Classifier:
    """The same function, channels multiplied by up to ``most`` or a part of it, and back."""
    rng = np.random.default_rng(seed)
    wide = copy.deepcopy(model)
    blocks = [one for one in wide.modules() if isinstance(one, ConvBNAct)]
    with torch.no_grad():
        for block, after in zip(blocks, [*blocks[1:], None], strict=True):
            gains = most ** rng.uniform(-1, 1, block.conv.out_channels)
            factor = torch.from_numpy(gains.astype(np.float32))
            block.bn.weight.mul_(factor)
            block.bn.bias.mul_(factor)
            last = wide.get_submodule("head.2")
            weight = last.weight if after is None else after.conv.weight
            assert isinstance(weight, torch.Tensor)
            by_column = weight.shape[1] == len(factor)
            shape = [1] * weight.ndim
            shape[1 if by_column else 0] = -1
            weight.div_(factor.view(shape))
    return wide


@pytest.mark.slow
def test_the_network_is_found_in_its_file() -> None:
    model = classifier()
    state = begin(model).original
    names = [name for name, one in model.named_modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    assert [layer.name for layer in state.layers] == names
    assert {layer.kind for layer in state.layers[:-1]} == {"Clip"}
    assert state.layers[0].input == "normalised"
    assert final_outputs(state.model, state.layers) == ("logits",)
    inputs = pictures(3)
    assert distance(logits(state, inputs), torch_logits(state.network, inputs)) < 1e-5


def test_a_file_of_other_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"does not hold the weights of body\.layers\.0\.conv"):
        find_layers(to_onnx(classifier(seed=1)), network_of(classifier()))


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu6", "relu", "leaky_relu:0.1"])
def test_equalisation_keeps_the_answers(activation: str) -> None:
    state = begin(classifier(activation)).state.altered()
    # Four times as strong as what was measured, so that ReLU6 cuts off.
    strong = [4 * picture for picture in pictures(6, seed=2)]
    before = logits(state, strong)
    links = find_links(state.model, state.layers, state.network)
    assert len(links) == len(state.layers) - 1, "every layer but the last one"
    gains = [choose_gains(state.model, one, state.measured) for one in links]
    assert min(gain.min() for gain in gains) >= 1
    assert max(gain.max() for gain in gains) > 2
    equalise(state.model, state.network, links, gains)
    layers = find_layers(state.model, state.network)
    assert distance(torch_logits(state.network, strong), before) < 1e-5
    assert distance(logits(replace(state, layers=layers), strong), before) < 1e-5
    ceilings = [one for one in state.network.modules() if isinstance(one, Ceilings)]
    assert len(ceilings) == (len(links) if activation == "relu6" else 0)
    if ceilings:  # One ceiling for all, as the file had, would have changed them.
        for one in ceilings:
            one.ceilings.fill_(6)
        assert distance(torch_logits(state.network, strong), before) > 1e-3


@pytest.mark.slow
def test_weights_have_a_scale_per_channel_and_the_rest_stays_float() -> None:
    state = begin(classifier()).state
    model = state.quantised()
    onnx.checker.check_model(model)
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    made_by = {node.output[0]: node for node in model.graph.node}
    count = 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        weight, scale, zero = (constants[name] for name in made_by[node.input[1]].input)
        assert weight.dtype == np.int8
        assert scale.shape == (len(weight),)
        assert not zero.any()
        tops = np.abs(weight.astype(int)).reshape(len(weight), -1).max(axis=1)
        assert (tops == 127).all(), "every channel uses all of its levels, and -128 is not one"
        assert made_by[made_by[node.input[0]].input[0]].op_type == "QuantizeLinear"
        count += 1
    assert count == len(state.layers)
    kinds = Counter(node.op_type for node in model.graph.node)
    assert kinds["Clip"] == 0, "rounding cuts off as the activation did"
    assert kinds["Sub"] == kinds["Div"] == kinds["Softmax"] == 1
    per_tensor = replace(state, per_channel=False).quantised()
    scales = [one for one in per_tensor.graph.initializer if one.name.endswith(".w_scale")]
    assert all(not one.dims for one in scales)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu6", "leaky_relu:0.1"])
def test_the_simulation_rounds_as_the_runtime_does(activation: str) -> None:
    state = replace(begin(classifier(activation)).state, method="percentile")
    inputs = pictures(6, seed=3)
    true = logits(state, inputs, rounded=True)
    network, ranges = copy.deepcopy(state.network), state.ranges
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    with simulated(network, state.layers, ranges, ()):
        ours = torch_logits(network, inputs)
    plain = torch_logits(network, inputs)
    error = np.square(true - plain).sum()
    assert np.square(true - ours).sum() < 0.5 * error, "most of the rounding error is foreseen"
    assert network.state_dict().keys() == weights.keys()
    assert all(torch.equal(weights[name], value) for name, value in network.state_dict().items())


@pytest.mark.slow
def test_ranges_bear_outliers(rng: np.random.Generator) -> None:
    values = np.abs(rng.normal(size=1_000_000))
    values[7] = 40
    state = begin(classifier("relu")).state
    seen = dict.fromkeys(state.measured, _measured(values))

    def chosen(method: Method, tensor: str) -> tuple[float, float]:
        return choose_ranges(seen, state.layers, method)[tensor]

    tensor = state.layers[4].output
    assert chosen("min-max", tensor) == (0, 40)
    low, high = chosen("percentile", tensor)
    assert low == 0
    assert high == pytest.approx(np.percentile(values, 99.995), abs=40 / 2048)
    low, best = chosen("mse", tensor)
    assert low == 0
    tops = (best, 0.8 * best, 1.25 * best, high, 40)
    errors = [rounding_error(values, top) for top in tops]
    assert errors[0] == min(errors)
    assert errors[0] < 0.9 * errors[-1]
    assert chosen("mse", state.layers[0].input) == (0, 40), "images stay whole"


@pytest.mark.slow
def test_a_leaky_activation_lets_the_negative_side_be_cut(rng: np.random.Generator) -> None:
    values = rng.normal(size=100_000) * np.where(rng.random(100_000) < 0.5, 1, 4) - 2
    state = begin(classifier("leaky_relu:0.1")).state
    seen = dict.fromkeys(state.measured, _measured(values))
    layer = state.layers[4]
    low, high = choose_ranges(seen, state.layers, "mse")[layer.raw]
    straight = [replace(one, slope=1.0) for one in state.layers]
    plain, top = choose_ranges(seen, straight, "mse")[layer.raw]
    assert plain < low < 0, "errors below zero are shrunk to a tenth afterwards"
    assert high == pytest.approx(top, rel=0.05)


def _measured(values: NDArray[np.float64]) -> Measured:
    low, high = float(values.min()), float(values.max())
    low = 0.0 if low > 0 else low
    counts = np.histogram(values, 2048, (low, high))[0].astype(np.float64)
    ones = np.ones(1, np.float32)
    return Measured(low, high, ones, ones, np.ones(1), counts)


def rounding_error(values: NDArray[np.float64], top: float) -> float:
    step = top / 255
    return float(np.square(values - np.clip(np.round(values / step), 0, 255) * step).mean())


@pytest.mark.slow
def test_biases_make_up_for_shifted_means() -> None:
    state = begin(classifier()).state.altered()
    inputs = pictures(24)
    # As coarse as 4 bits, so that rounding shifts the means.
    ranges = {name: (16 * low, 16 * high) for name, (low, high) in state.ranges.items()}
    true = torch_logits(state.network, inputs).mean(axis=0)

    def rounded() -> Floats:
        with simulated(state.network, state.layers, ranges, ()):
            found: Floats = torch_logits(state.network, inputs).mean(axis=0)
        return found

    before = distance(rounded(), true)
    correct_biases(state.network, state.layers, ranges, (), inputs)
    assert before > 0.02
    assert distance(rounded(), true) < 1e-4


@pytest.mark.slow
def test_remedies_hold_what_naive_rounding_ruins() -> None:
    model = spread(classifier("relu"), most=30.0)
    plain = torch_logits(network_of(classifier("relu")), pictures(4))
    assert distance(torch_logits(network_of(model), pictures(4)), plain) < 1e-3, "same function"
    search = begin(model)
    search.naive()
    search.cheap()
    tensor, channel = (step.sqnr for step in search.steps[:2])
    assert tensor < 5, "a scale per tensor is ruined"
    assert search.best > channel + 10, "weak channels had no levels left"
    assert search.best > 18
    assert any("equalisation" in step.name for step in search.steps if step.kept)
    inputs = pictures(8, seed=1)
    ours, theirs = logits(search.chosen, inputs, rounded=True), logits(search.original, inputs)
    error = np.square(ours - theirs).sum()
    assert decibels(float(np.square(theirs).sum()), float(error)) == pytest.approx(
        search.best, abs=0.5
    )


@pytest.mark.slow
def test_layers_stay_in_float_when_asked() -> None:
    search = begin(classifier())
    search.naive()
    worst = next(iter(sorted(_alone(search), key=_alone(search).__getitem__)))
    helped = search.leave_in_float()
    assert helped == bool(search.chosen.floats)
    state = replace(search.state, floats=(worst,))
    model = state.quantised()
    floats = {one.name for one in model.graph.initializer if one.data_type == 1 and one.dims}
    layer = next(one for one in state.layers if one.name == worst)
    assert layer.weight in floats
    assert sum(one.data_type == 3 and len(one.dims) > 1 for one in model.graph.initializer) == (
        len(state.layers) - 1
    )


def _alone(search: Search) -> dict[str, float]:
    state = search.state
    return lone_errors(state.network, state.layers, state.ranges, search.pictures.held)


@pytest.mark.slow
def test_fine_tuning_brings_the_answers_closer() -> None:
    state = begin(classifier()).state.altered()
    teacher = copy.deepcopy(state.network)
    ranges, inputs = state.ranges, pictures(16)

    def error() -> float:
        with simulated(state.network, state.layers, ranges, ()):
            ours = torch_logits(state.network, inputs)
        return float(np.square(ours - torch_logits(teacher, inputs)).sum())

    before = error()
    fine_tune(
        state.network,
        teacher,
        state.layers,
        ranges,
        floats=(),
        finals=["head.2"],
        pictures=inputs,
        steps=20,
    )
    assert error() < 0.8 * before


@pytest.mark.slow
def test_the_report_names_the_worst_layer_first() -> None:
    search = begin(classifier())
    layer = search.state.layers[6]
    coarse = replace(search.state.measured[layer.input], high=300.0)
    state = replace(search.state, measured={**search.state.measured, layer.input: coarse})
    rows = layer_errors(search.truth, state, search.pictures.held)
    assert [row.alone for row in rows] == sorted(row.alone for row in rows)
    assert rows[0].name == layer.name
    assert rows[0].alone < rows[1].alone - 10
    assert rows[0].kind == "pointwise"
    assert {row.kind for row in rows} == {"convolution", "depthwise", "pointwise", "linear"}
    assert len(rows) == len(state.layers)
    assert describe_layers(rows).splitlines()[1].split()[0] == layer.name
    json.dumps([row.to_json() for row in rows], allow_nan=False)
