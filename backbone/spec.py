"""Names of the bodies. It imports nothing slow: command-line help is built from it."""

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
    """An architecture on a body: a dataclass, some of whose fields only MobileNet has.

    Attributes:
        OF_MOBILENET: Names of the fields that only MobileNet has.
    """

    OF_MOBILENET: ClassVar[tuple[str, ...]]
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def varied(self, values: Mapping[str, Any]) -> Self:
        """A copy with other values; on another body MobileNet's fields get their defaults.

        Args:
            values: New values, by field.

        Raises:
            InputError: If such an architecture cannot be built.
        """
        if values.get("backbone", getattr(self, "backbone", None)) != MOBILENET:
            own = [one for one in fields(self) if one.name in self.OF_MOBILENET]
            values = {**{one.name: one.default for one in own}, **values}
        return replace(self, **values)
