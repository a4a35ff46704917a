"""Computed costs beside those that the paper prints: counted on the meta device, rounded alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from functools import cache

import torch
from torch import nn

from backbone.cost import Cost, count_cost
from backbone.flavour import Flavour
from backbone.googlenet import GoogLeNet
from backbone.layers import ConvBNAct, SeparableBlock
from configs.paper import (
    CONVENTIONS,
    Block,
    ClassifierRow,
    Counted,
    DetectorRow,
    Figure,
    LayerType,
    Model,
    Row,
    Table,
    mobilenet,
)
from tasks.classification.model import Classifier
from tasks.detection.model import detector_cost

MULT_ADDS, PARAMS, LAYER = "mult-adds", "params", "layer"
_SCALE = {"M": 10**6, "B": 10**9, "%": 1}
_NORM = "batch norm"


@dataclass(frozen=True)
class Checked:
    """One figure as printed and as computed.

    Attributes:
        printed: Text of the paper; empty if it prints none here.
        ours: Computed figure, with more digits; empty if it cannot be counted.
        unit: M, B, percent, or nothing.
        match: Whether the computed figure rounds to the printed one; None if there is nothing to
            compare.
        convention: What was counted, if not the whole network.
        whole: Computed figure for the whole network, if ``convention`` counts less or more.
    """

    printed: str
    ours: str
    unit: str = ""
    match: bool | None = None
    convention: str = ""
    whole: str = ""


@dataclass(frozen=True)
class CheckedRow:
    """One row of a table.

    Attributes:
        label: Printed label.
        figures: Figures by name: ``layer``, ``mult-adds``, ``params``.
        row: Printed row; None for a layer of table 1.
        note: Why print and computation differ, or how the model was chosen.
    """

    label: str
    figures: dict[str, Checked]
    row: Row | None = None
    note: str = ""

    @property
    def match(self) -> bool | None:
        """Whether all figures match; None for a row without costs."""
        marks = [figure.match for figure in self.figures.values() if figure.match is not None]
        return all(marks) if marks else None

    @property
    def remark(self) -> str:
        """One sentence under the row: ``no: reason``, or what was counted, or nothing."""
        parts = [
            f"{name} {figure.convention} ({figure.whole} {figure.unit} as the suite counts)"
            for name, figure in self.figures.items()
            if figure.convention
        ]
        if self.match is False:
            wrong = [
                f"{figure.ours} {figure.unit} does not round to {figure.printed}"
                if figure.ours
                else f"{figure.printed} {figure.unit} cannot be counted"
                for figure in self.figures.values()
                if figure.match is False
            ]
            return "no: " + "; ".join([self.note or " and ".join(wrong), *parts])
        return "; ".join(filter(None, [*parts, self.note]))


def check_table(table: Table) -> list[CheckedRow]:
    """All rows of a table, each with the computed cost."""
    rows = _check_layers(table) if table.layers else []
    return rows + [_check_row(row) for row in table.rows]


def rounds_to(value: Decimal, text: str, step: str = "") -> bool:
    """Whether a value rounds to a printed text.

    Args:
        value: Value in the unit of the text.
        text: Printed text; its last digit determines the rounding.
        step: Unit that it was rounded to, if that is coarser.
    """
    printed = Decimal(text)
    unit = Decimal(step) if step else Decimal(1).scaleb(int(printed.as_tuple().exponent))
    return (value / unit).to_integral_value(ROUND_HALF_UP) * unit == printed


@cache
def cost_of(model: Model) -> Cost:
    """Cost of one image through a model; for a :class:`LayerType` that of its whole network."""
    if isinstance(model, DetectorRow):
        return detector_cost(model.spec, model.classes)
    with torch.device("meta"):
        if isinstance(model, LayerType):
            model = mobilenet(1, 224)
        if isinstance(model, Block):
            return _block_cost(model)
        shape = (1, 3, model.spec.size, model.spec.size)
        if model.true_5x5:
            body = GoogLeNet(true_5x5=True)
            parts = nn.ModuleList([body, body.make_classifier(model.outputs)])
            last = max(body.channels)
            return count_cost(parts, shape, lambda m, x: m[1](m[0](x)[last]))
        return count_cost(Classifier(model.spec, model.outputs), shape)


def _block_cost(block: Block) -> Cost:
    channels, flavour = block.channels, Flavour()
    layer: nn.Module
    if block.kind == "conv":
        layer = ConvBNAct(channels, channels, 3, flavour=flavour)
    else:
        layer = SeparableBlock(channels, channels, stride=1, flavour=flavour)
    return count_cost(layer, (1, channels, block.size, block.size))


def _check_row(row: Row) -> CheckedRow:
    figures = {}
    for name, figure in ((MULT_ADDS, row.mult_adds), (PARAMS, row.params)):
        if figure is not None:
            figures[name] = _check(figure, row.model, name)
    return CheckedRow(row.label, figures, row, row.note)


def _check(figure: Figure, model: Model | None, name: str) -> Checked:
    if model is None:
        return Checked(figure.text, "", figure.unit, match=False)
    value = _count(model, figure.counted, name) / _SCALE[figure.unit]
    checked = Checked(
        printed=figure.text,
        ours=_show(value, figure.unit),
        unit=figure.unit,
        match=rounds_to(value, figure.text, figure.step),
        convention=CONVENTIONS[figure.counted],
    )
    if not checked.convention:
        return checked
    whole = _count(model, "whole", name) / _SCALE[figure.unit]
    return replace(checked, whole=_show(whole, figure.unit))


def _show(value: Decimal, unit: str) -> str:
    """Three decimals under 10 and for billions, else two."""
    return f"{value:.3f}" if unit != "%" and (value < 10 or unit == "B") else f"{value:.2f}"


def _count(model: Model, counted: Counted, name: str) -> Decimal:
    """Mult-adds or parameters under a convention; percent for a layer type."""
    if counted == "imagenet_head":
        assert isinstance(model, ClassifierRow)
        model = replace(model, outputs=1000)
    cost = cost_of(model)
    if isinstance(model, LayerType):
        return _share(cost, model.kind, name)
    kinds = cost.by_kind()
    index, total = (0, cost.mult_adds) if name == MULT_ADDS else (1, cost.params)
    if counted == "no_classifier":
        total -= kinds.get("linear", (0, 0))[index]
    elif counted == "no_batch_norm":
        total -= kinds[_NORM][index]
    elif counted == "bias_adds":
        total += _bias_adds(cost)
    return Decimal(total)


def _share(cost: Cost, kind: str, name: str) -> Decimal:
    """Percent of a layer type in all weights, without biases and batch norm (table 2)."""
    totals: dict[str, int] = {}
    for layer in cost.layers:
        bias = layer.output[-1] if layer.kind == "linear" else 0
        amount = layer.mult_adds if name == MULT_ADDS else layer.params - bias
        if layer.kind != _NORM:
            totals[layer.kind] = totals.get(layer.kind, 0) + amount
    return Decimal(100 * totals[kind]) / sum(totals.values())


def _bias_adds(cost: Cost) -> int:
    """One addition per value that leaves a layer; as in VGG, every layer has a bias."""
    adds = 0
    for layer in cost.layers:
        columns = layer.output[-1] if layer.kind == "linear" else layer.output[0]
        per_column, rest = divmod(layer.params, columns)
        values, rest_of_adds = divmod(layer.mult_adds, per_column - 1)
        assert rest == rest_of_adds == 0, f"{layer.name} has no bias"
        adds += values
    return adds


def _check_layers(table: Table) -> list[CheckedRow]:
    """Table 1: filter, stride and input of every layer that has weights."""
    rows = []
    for printed, (text, adds, params) in zip(table.layers, _our_layers(), strict=True):
        figures = {
            LAYER: Checked(str(printed), text, match=text == str(printed)),
            MULT_ADDS: Checked("", _show(adds / _SCALE["M"], "M"), "M"),
            PARAMS: Checked("", _show(params / _SCALE["M"], "M"), "M"),
        }
        rows.append(CheckedRow(printed.label, figures, note=printed.note))
    return rows


def _our_layers() -> list[tuple[str, Decimal, Decimal]]:
    """Each layer as table 1 writes it, its mult-adds and its parameters with batch norm."""
    with torch.device("meta"):
        model = Classifier(mobilenet(1, 224).spec, 1000)
    rows: list[tuple[str, Decimal, Decimal]] = []
    height, width = 224, 224
    for layer in count_cost(model, (1, 3, 224, 224)).layers:
        module = model.get_submodule(layer.name)
        adds, params = Decimal(layer.mult_adds), Decimal(layer.params)
        if isinstance(module, nn.Conv2d):
            kernel = "x".join(map(str, module.kernel_size))
            inputs, outputs = module.in_channels, module.out_channels
            shape = f"{inputs} dw" if module.groups == inputs else f"{inputs}x{outputs}"
            text = f"{kernel}x{shape} s{module.stride[0]} on {height}x{width}x{inputs}"
            rows.append((text, adds, params))
            _, height, width = layer.output
        elif isinstance(module, nn.Linear):
            shape = f"{module.in_features}x{module.out_features}"
            rows.append((f"{shape} s1 on 1x1x{module.in_features}", adds, params))
        else:  # Batch norm belongs to the convolution before it.
            text, before, own = rows[-1]
            rows[-1] = (text, before, own + params)
    return rows
