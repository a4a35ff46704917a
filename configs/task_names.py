"""The names of applications that the flag ``--task`` of several tools takes."""

from __future__ import annotations

from typing import Literal

TaskName = Literal[
    "classification", "detection", "geolocation", "face_attributes", "face_embedding"
]
USUAL: TaskName = "classification"
