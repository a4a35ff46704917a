"""The structure of a printed table of the MobileNets paper (arXiv 1704.04861).

A figure keeps the printed text, so that the computed value can be rounded to its last digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from backbone.spec import BackboneName, Variant
from tasks.body_spec import ClassifierSpec
from tasks.detection.spec import DetectorBackbone, DetectorSpec, Framework

Unit = Literal["M", "B", "%"]
Counted = Literal["whole", "no_classifier", "no_batch_norm", "imagenet_head", "bias_adds"]
NO_FC: Counted = "no_classifier"
# How a convention is explained to the reader.
CONVENTIONS: dict[Counted, str] = {
    "whole": "",
    "no_classifier": "without the fully connected layers",
    "no_batch_norm": "without batch norm",
    "imagenet_head": "with the 1000 outputs of ImageNet",
    "bias_adds": "with one addition per bias",
}


@dataclass(frozen=True)
class Figure:
    """A printed cost.

    Attributes:
        text: Printed text, without unit.
        unit: M (10^6), B (10^9) or percent of the network.
        step: Unit that it was rounded to, if coarser than its last digit ("100" for 15300).
        counted: What is counted; the suite's own convention (``backbone/cost.py``) is ``whole``.
    """

    text: str
    unit: Unit = "M"
    step: str = ""
    counted: Counted = "whole"


@dataclass(frozen=True)
class ClassifierRow:
    """A body with one linear layer of ``outputs`` columns.

    Attributes:
        spec: Body and input size.
        outputs: Number of classes, attributes or cells, or length of an embedding.
        true_5x5: Whether GoogLeNet has the 5x5 convolutions of its paper; torchvision's has 3x3.
    """

    spec: ClassifierSpec
    outputs: int = 1000
    true_5x5: bool = False


@dataclass(frozen=True)
class DetectorRow:
    """A detector of table 13, with COCO's 90 classes and background."""

    spec: DetectorSpec
    classes: int = 90


@dataclass(frozen=True)
class Block:
    """One layer inside MobileNet, for table 3: its channels, and the side of its map in pixels."""

    kind: Literal["conv", "separable"]
    channels: int
    size: int


@dataclass(frozen=True)
class LayerType:
    """All layers of one type in 1.0 MobileNet-224, for table 2; ``kind`` is that of LayerCost."""

    kind: str


Model = ClassifierRow | DetectorRow | Block | LayerType


@dataclass(frozen=True)
class Row:
    """One printed row.

    Attributes:
        label: Printed label.
        accuracy: Printed percentages, in the order of the table's metrics.
        mult_adds: Printed multiply-accumulates.
        params: Printed parameters.
        model: Corresponding model of this suite; None if the paper does not say how it is built.
        note: Why print and computation differ, or how the model was chosen.
    """

    label: str
    accuracy: tuple[str, ...] = ()
    mult_adds: Figure | None = None
    params: Figure | None = None
    model: Model | None = None
    note: str = ""


@dataclass(frozen=True)
class Layer:
    """One row of table 1; filter and input (H x W x C) are as printed, with x for the sign."""

    label: str
    stride: int
    filter: str
    input: str
    note: str = ""

    def __str__(self) -> str:
        """Filter, stride and input in one text, to compare with a computed layer."""
        return f"{self.filter} s{self.stride} on {self.input}"


@dataclass(frozen=True)
class Table:
    """One table of the paper.

    Attributes:
        number: Number of the table, 1 to 14.
        title: Title in the paper's words, shortened.
        rows: Rows in printed order.
        layers: Rows of table 1, which come before ``rows``.
        task: Task of the runs that fill its measured column; empty for tables without accuracies.
        classes: Number of classes of these runs; 0 for any number.
        metrics: Names of the metrics in a run's card, in 0..1.
        metric: Name of the printed accuracies, in percent.
        note: Text that holds for all its rows.
    """

    number: int
    title: str
    rows: tuple[Row, ...]
    layers: tuple[Layer, ...] = ()
    task: str = ""
    classes: int = 0
    metrics: tuple[str, ...] = ()
    metric: str = ""
    note: str = ""


def row(
    label: str,
    accuracy: str,
    mult_adds: str | Figure,
    params: str | Figure,
    model: Model | None,
    note: str = "",
) -> Row:
    """A row; accuracies are separated by spaces, and a cost given as mere text is in millions."""
    adds, own = (Figure(f) if isinstance(f, str) else f for f in (mult_adds, params))
    return Row(label, tuple(accuracy.split()), adds, own, model, note)


def named(
    label: str,
    accuracy: str,
    mult_adds: str | Figure,
    params: str | Figure,
    outputs: int = 1000,
    note: str = "",
) -> Row:
    """The row of a MobileNet of the width and resolution in its label: ``0.75 MobileNet-192``."""
    alpha, size = label.split(" MobileNet-")
    model = mobilenet(float(alpha), int(size), outputs)
    return row(label, accuracy, mult_adds, params, model, note)


def billions(text: str, counted: Counted = "whole") -> Figure:
    """A cost printed in billions."""
    return Figure(text, "B", counted=counted)


def percent(text: str) -> Figure:
    """A share printed in percent."""
    return Figure(text, "%")


def mobilenet(
    alpha: float, size: int, outputs: int = 1000, *, variant: Variant = "standard"
) -> ClassifierRow:
    """MobileNet v1 on ``size`` pixels."""
    return ClassifierRow(ClassifierSpec(alpha=alpha, size=size, variant=variant), outputs)


def peer(
    backbone: BackboneName, size: int, outputs: int = 1000, *, true_5x5: bool = False
) -> ClassifierRow:
    """A network that MobileNet is compared with, on ``size`` pixels."""
    return ClassifierRow(ClassifierSpec(backbone=backbone, size=size), outputs, true_5x5)


def detector(framework: Framework, backbone: DetectorBackbone) -> DetectorRow:
    """A detector with the framework's own input size."""
    return DetectorRow(DetectorSpec(framework=framework, backbone=backbone))
