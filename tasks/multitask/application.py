"""Several heads on one trunk: one pass answers for all of them."""

from __future__ import annotations

from tasks.application import Application
from tasks.multitask.spec import TASK

MULTITASK = Application(
    name=TASK,
    title="Several heads",
    train_tool="train_multi",
    starts=("train_cls", "train_det"),
)
