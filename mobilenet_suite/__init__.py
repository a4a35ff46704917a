"""The suite in one import, under the same name in a checkout and as installed from a wheel.

::

    from mobilenet_suite import load

    model = load("runs/mine")
    answer = model("image.jpg")

``train``, ``evaluate`` and ``export`` are those of :mod:`tools.library`. Each is imported when it
is asked for, so that importing the package stays cheap, and an export answers without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backbone import __version__

if TYPE_CHECKING:
    from tasks.loading import load
    from tools.library import evaluate, export, train

__all__ = ["__version__", "evaluate", "export", "load", "train"]


def __getattr__(name: str) -> Any:
    """Import a function when it is asked for."""
    if name == "load":
        from tasks.loading import load

        return load
    if name in __all__:
        from tools import library

        return getattr(library, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
