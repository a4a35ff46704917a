"""Classifiers as ONNX files, written node by node: no exporter, which takes long."""

import json
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from onnx import ModelProto, NodeProto, helper, numpy_helper
from torch import nn

from backbone.flavour import Flavour, InputSpec, parse_activation
from backbone.layers import ConvBNAct, fold_batchnorm, same_padding
from datasets.types import ClassMap
from tasks.body_spec import ClassifierSpec
from tasks.classification.model import Classifier
from tasks.int8.network import Floats
from tasks.runtime.session import CARD_KEY, FACTS_KEY, FORMAT
from tasks.weights.card import Card

SIZE = 32
CLASSES = ClassMap(tuple(range(5)), ("ant", "bee", "cow", "dog", "emu"))


def classifier(activation: str = "relu6", seed: int = 0) -> Classifier:
    """A narrow MobileNet whose activations neither vanish nor grow."""
    torch.manual_seed(seed)
    flavour = Flavour(activation=activation, input=InputSpec(size=SIZE))
    spec = ClassifierSpec(alpha=0.1, size=SIZE, variant="shallow")
    model = Classifier(spec, len(CLASSES), flavour).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.bias, -0.3, 1)
    return model


def card_of(model: Classifier) -> Card:
    return Card("classification", model.spec.to_json(), model.body.flavour, CLASSES)


def network_of(model: Classifier) -> Classifier:
    """Batch norm folded, taking normalised pictures."""
    network = fold_batchnorm(model)
    network.register_module("normalize", nn.Identity())
    return network


def pictures(count: int, seed: int = 0) -> list[Floats]:
    """Smooth ones, normalised, (1, 3, S, S)."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.uniform(-1, 1, (count, 3, 4, 4)).astype(np.float32))
    fine = nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bilinear")
    return [one[None].numpy() for one in fine]


def to_onnx(model: Classifier) -> ModelProto:
    """Photos of the network's size, (N, S, S, 3) uint8, to probabilities."""
    network, nodes, constants = fold_batchnorm(model), list[NodeProto](), dict[str, np.ndarray]()
    spec = model.body.flavour.input

    def add(kind: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], f"node_{output}", **attributes))
        return output

    for name, values in (("mean", spec.mean), ("std", spec.std)):
        constants[name] = np.array(values, np.float32).reshape(1, 3, 1, 1) * 255
    constants |= {"low": np.array(0, np.float32), "high": np.array(6, np.float32)}
    here = add("Transpose", ["images"], "planes", perm=[0, 3, 1, 2])
    here = add("Cast", [here], "floats", to=onnx.TensorProto.FLOAT)
    here = add("Div", [add("Sub", [here, "mean"], "centred"), "std"], "normalised")
    kind, slope = parse_activation(model.body.flavour.activation)
    size = SIZE
    for name, block in network.named_modules():
        if not isinstance(block, ConvBNAct):
            continue
        conv = block.conv
        before, after = same_padding(size, conv.kernel_size[0], conv.stride[0])
        size = -(-size // conv.stride[0])
        constants[f"{name}.w"] = conv.weight.detach().numpy()
        constants[f"{name}.b"] = conv.bias.detach().numpy()
        here = add(
            "Conv",
            [here, f"{name}.w", f"{name}.b"],
            f"{name}.raw",
            pads=[before, before, after, after],
            strides=list(conv.stride),
            group=conv.groups,
        )
        if kind == "relu6":
            here = add("Clip", [here, "low", "high"], name)
        elif kind == "relu":
            here = add("Relu", [here], name)
        else:
            here = add("LeakyRelu", [here], name, alpha=slope)
    head = network.get_submodule("head.2")
    constants |= {"w": head.weight.detach().numpy(), "b": head.bias.detach().numpy()}
    here = add("Flatten", [add("GlobalAveragePool", [here], "pooled")], "flat")
    here = add("Gemm", [here, "w", "b"], "logits", transB=1)
    add("Softmax", [here], "probabilities")
    return _finish(nodes, constants, card_of(model))


def _finish(nodes: list[NodeProto], constants: dict[str, np.ndarray], card: Card) -> ModelProto:
    photos = helper.make_tensor_value_info("images", onnx.TensorProto.UINT8, ["n", SIZE, SIZE, 3])
    answer = helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["n", 5])
    graph = helper.make_graph(
        nodes,
        "classifier",
        [photos],
        [answer],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    facts = {"format": FORMAT, "precision": "float32"}
    notes = {CARD_KEY: json.dumps(card.to_json()), FACTS_KEY: json.dumps(facts)}
    helper.set_model_props(model, notes)
    return onnx.shape_inference.infer_shapes(model)
