"""Names of choices that concern data. Nothing heavy is imported here."""

from __future__ import annotations

from typing import Literal

Augmentation = Literal["ssd", "tf", "flip", "none"]
LabelAugmentation = Literal["none", "tf_slim", "mild", "modern", "small"]
Interpolation = Literal["bilinear", "bicubic"]
Split = Literal["train", "val", "all"]
