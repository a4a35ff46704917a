"""The names of applications that flags take, in one place: ``--task`` of several tools."""

from __future__ import annotations

from typing import Literal

TaskName = Literal[
    "classification", "detection", "geolocation", "face_attributes", "face_embedding"
]
USUAL: TaskName = "classification"
