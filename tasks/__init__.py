"""The library above the body: one folder per application, and what they share.

::

    from tasks import load

    model = load("runs/mine")
    answer = model("image.jpg")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.loading import load

__all__ = ["load"]

# Set before ONNX Runtime is imported anywhere below: its telemetry would report to its makers that
# it is used, and store a file in the home directory.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def __getattr__(name: str) -> Any:
    """Import ``load`` when it is asked for, so that importing the package stays cheap."""
    if name == "load":
        from tasks.loading import load

        return load
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
