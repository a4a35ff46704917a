"""Tables 1 to 9 of the MobileNets paper (arXiv 1704.04861) as printed, and what reproduces them.

Data only. Where print and computation differ, the note gives the reason; no network here is
adjusted to match a misprint.
"""

from __future__ import annotations

from configs.paper import (
    NO_FC,
    Block,
    Figure,
    Layer,
    LayerType,
    Row,
    Table,
    mobilenet,
    named,
    peer,
    percent,
    row,
)

_LAST_STRIDE = (
    "printed with stride 2, but the row below takes 7x7x1024 in; 569 M mult-adds need stride 1"
)
# Printed stride and outputs of the separable blocks.
_BLOCKS = (
    (1, 64), (2, 128), (1, 128), (2, 256), (1, 256), (2, 512), *((1, 512),) * 5, (2, 1024),
    (2, 1024),
)  # fmt: skip


def _layers() -> tuple[Layer, ...]:
    """Rows of table 1; depthwise and pointwise convolutions apart."""
    rows = [Layer("Conv", 2, "3x3x3x32", "224x224x3")]
    side, width = 112, 32
    for index, (stride, out) in enumerate(_BLOCKS, start=1):
        last = index == len(_BLOCKS)
        note = _LAST_STRIDE if last else ""
        rows.append(Layer("Conv dw", stride, f"3x3x{width} dw", f"{side}x{side}x{width}", note))
        side //= 1 if last else stride  # As the next row prints its input.
        rows.append(Layer("Conv", 1, f"1x1x{width}x{out}", f"{side}x{side}x{width}"))
        width = out
    return (*rows, Layer("FC", 1, "1024x1000", "1x1x1024"))


def _imagenet(number: int, title: str, *rows: Row) -> Table:
    return Table(
        number, title, rows, task="classification", metrics=("top1",), metric="ImageNet top-1 %"
    )


_FULL = named("1.0 MobileNet-224", "70.6", "569", "4.2")
_TOTAL = row("total", "", "569", "4.2", mobilenet(1, 224))

_STRUCTURE = (
    Table(
        1,
        "MobileNet body architecture",
        (_TOTAL,),
        layers=_layers(),
        note="Five equal blocks are printed once with 5x. Layers without weights are left out. "
        "The total is printed in table 4.",
    ),
    Table(
        2,
        "Resource per layer type",
        (
            row("Conv 1x1", "", percent("94.86"), percent("74.59"), LayerType("conv 1x1")),
            row("Conv DW 3x3", "", percent("3.06"), percent("1.06"), LayerType("depthwise 3x3")),
            row(
                "Conv 3x3",
                "",
                percent("1.19"),
                percent("0.02"),
                LayerType("conv 3x3"),
                "transposed digits: it must read 1.91, with which the column adds up to 100",
            ),
            row("Fully Connected", "", percent("0.18"), percent("24.33"), LayerType("linear")),
        ),
        note="Parameters are weights alone, without biases and batch norm.",
    ),
    Table(
        3,
        "Modifications to standard convolution (3x3, 512 to 512 channels, 14x14)",
        (
            row("Convolution", "", "462", "2.36", Block("conv", 512, 14)),
            row("Depthwise Separable Conv", "", "52.3", "0.27", Block("separable", 512, 14)),
            row("alpha=0.75", "", "29.6", "0.15", Block("separable", 384, 14)),
            row("rho=0.714", "", "15.1", "0.15", Block("separable", 384, 10)),
        ),
        note="Each row adds to the one above.",
    ),
)
_SHRINKING = (
    _imagenet(
        4,
        "Depthwise separable vs full convolution MobileNet",
        row(
            "Conv MobileNet",
            "71.7",
            Figure("4866", counted=NO_FC),
            "29.3",
            mobilenet(1, 224, variant="full_conv"),
        ),
        row("MobileNet", "70.6", "569", "4.2", mobilenet(1, 224)),
    ),
    _imagenet(
        5,
        "Narrow vs shallow MobileNet",
        row("0.75 MobileNet", "68.4", "325", "2.6", mobilenet(0.75, 224)),
        row("Shallow MobileNet", "65.3", "307", "2.9", mobilenet(1, 224, variant="shallow")),
    ),
    _imagenet(
        6,
        "MobileNet width multiplier",
        _FULL,
        named("0.75 MobileNet-224", "68.4", "325", "2.6"),
        named("0.5 MobileNet-224", "63.7", "149", "1.3"),
        named("0.25 MobileNet-224", "50.6", "41", "0.5"),
    ),
    _imagenet(
        7,
        "MobileNet resolution",
        _FULL,
        named("1.0 MobileNet-192", "69.1", "418", "4.2"),
        named(
            "1.0 MobileNet-160",
            "67.2",
            Figure("290", counted=NO_FC),
            "4.2",
            note="the other rows of this table count the classifier, this one does not",
        ),
        named("1.0 MobileNet-128", "64.4", "186", "4.2"),
    ),
)
_PEERS = (
    _imagenet(
        8,
        "MobileNet beside popular models",
        _FULL,
        row(
            "GoogleNet",
            "69.8",
            Figure("1550", step="10"),
            "6.8",
            peer("googlenet", 224, true_5x5=True),
            "counted for the GoogLeNet of its paper, with 5x5 convolutions, without side heads; "
            "torchvision's, with 3x3 in their place, has 1498 M and 6.62 M, no match either",
        ),
        row(
            "VGG 16", "71.5", Figure("15300", step="100", counted=NO_FC), "138", peer("vgg16", 224)
        ),
    ),
    _imagenet(
        9,
        "Smaller MobileNet beside popular models",
        named(
            "0.50 MobileNet-160",
            "60.2",
            Figure("76", counted=NO_FC),
            Figure("1.32", counted="no_batch_norm"),
        ),
        row(
            "Squeezenet",
            "57.5",
            Figure("1700", step="100"),
            "1.25",
            peer("squeezenet", 224),
            "1700 counts floating-point operations, two for each mult-add",
        ),
        row(
            "AlexNet",
            "57.2",
            Figure("720", step="10"),
            Figure("60", step="10"),
            peer("alexnet", 227),
            "the network of its paper (groups of 2) on 227 pixels; both prints are round figures",
        ),
    ),
)

TABLES_1_TO_9 = (*_STRUCTURE, *_SHRINKING, *_PEERS)
