"""Names of the bodies. Nothing heavy is imported: command-line help is built from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields, replace
from typing import Any, ClassVar, Literal, Self

BackboneName = Literal[
    "mobilenet_v1",
    "vgg16",
    "inception_v2",
    "inception_v3",
    "googlenet",
    "squeezenet",
    "alexnet",
    "resnet50",
    "resnet50_separable",
    "resnet50_separable_params",
]
Variant = Literal[
    "standard",
    "shallow",
    "full_conv",
    "conv_head",
    "act_after_pointwise",
    "act_after_depthwise",
    "bn_act_after_pointwise",
    "bn_act_after_depthwise",
]
MOBILENET: BackboneName = "mobilenet_v1"


class OnBody:
    """An architecture on a body: a dataclass, some of whose fields only MobileNet takes.

    Attributes:
        OF_MOBILENET: Names of these fields.
    """

    OF_MOBILENET: ClassVar[tuple[str, ...]]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def varied(self, values: Mapping[str, Any]) -> Self:
        """The same with other values; on another body MobileNet's fields go to their defaults.

        Args:
            values: By field.

        Raises:
            InputError: If it cannot be built so.
        """
        if values.get("backbone", getattr(self, "backbone", None)) != MOBILENET:
            own = [one for one in fields(self) if one.name in self.OF_MOBILENET]
            values = {**{one.name: one.default for one in own}, **values}
        return replace(self, **values)
