"""Names of choices that concern data. Nothing heavy is imported here."""

from __future__ import annotations

from typing import Literal

Augmentation = Literal["ssd", "tf", "flip", "none"]
Split = Literal["train", "val", "all"]
