"""Images made by a generator; this application takes no images."""

from __future__ import annotations

from tasks.application import Application
from tasks.dcgan.spec import TASK

DCGAN = Application(
    name=TASK,
    title="Generated images",
    train_tool="train_gan",
    starts=("train_cls", "train_det"),
)
