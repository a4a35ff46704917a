"""The heads that a trunk can have, and how they share it. It imports nothing slow."""

from __future__ import annotations

from typing import Literal, get_args

TASK = "multitask"
HeadName = Literal["classes", "breeds", "attributes", "places", "embedding", "boxes"]
HEADS: tuple[str, ...] = get_args(HeadName)
BatchNorm = Literal["shared", "per-task", "frozen-trunk"]
BalanceBy = Literal["first", "uncertainty"]
