"""Flags of the page. Nothing heavy is imported: help is built from it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from configs.common import Common
from configs.special import SpecialFlags
from datasets.errors import InputError
from tasks.detection.spec import SHOWN_SCORE, DetectOptions, PostSpec
from tasks.face_embedding.spec import Standing
from tasks.flag_values import require_above_0, require_at_least
from tasks.geolocation.spec import DecodeSpec

LOOPBACK = "127.0.0.1"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


@dataclass(frozen=True)
class LimitSpec:
    """What one visitor may ask for, so that nobody can fill the memory or hold it for long."""

    megabytes: float = 20.0
    """Largest request, in millions of bytes; a comparison of two photos is one request."""
    megapixels: float = 50.0
    """Largest photo, told from its header before anything is decoded."""
    concurrent: int = 2
    """Answers that are computed at once."""
    queue: int = 8
    """Requests that may wait for one; those beyond are told to come again (503)."""
    connections: int = 1024
    """Connections of one address that may be open; of more, those that have sent no request for
    some seconds are ended, or new ones refused (429)."""
    head_seconds: float = 5.0
    """Longest time for a request's headers to arrive (408)."""
    read_seconds: float = 60.0
    """Longest time for a request to arrive (408), or an answer to be taken."""
    kilobytes_per_second: float = 16.0
    """Slowest rate at which a photo may arrive (408), or an answer be taken."""

    def __post_init__(self) -> None:
        require_above_0(self, "megabytes", "megapixels", "head_seconds", "read_seconds")
        require_above_0(self, "kilobytes_per_second")
        require_at_least(self, 1, "concurrent", "connections")
        require_at_least(self, 0, "queue")

    @property
    def bytes(self) -> int:
        """Of the largest request."""
        return int(self.megabytes * 1e6)

    @property
    def pixels(self) -> int:
        """Of the largest photo."""
        return int(self.megapixels * 1e6)


@dataclass(frozen=True)
class Demo(SpecialFlags):
    """Serve one page on this machine: drop a photo, see the drawn answer, numbers, milliseconds.

    Open the address that is printed; Ctrl-C ends it. Photos are held in memory while they are
    looked at, and neither stored nor logged. The page loads nothing from anywhere else.
    """

    FOR_ALL = ("models", "host", "port", "public_name", "limits", "common")

    models: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders, folders of runs, weights files or exports; by default all below runs/."""
    host: str = LOOPBACK
    """Address to listen at. Beyond the default anyone who reaches this machine may use the page:
    it has no password and no encryption."""
    port: int = 8000
    """Port to listen at; 0 takes a free one."""
    public_name: str | None = None
    """Host name under which a proxy offers the page, as demo.example. Only addresses, localhost,
    --host and this name are answered."""
    gallery: Path | None = None
    """Faces: folder of photos to find the nearest in; by default two photos are compared."""
    alignment: Standing = "auto"
    """Faces: how they stand in the photos: none (anyhow), funneled, or five_points (aligned
    already); a network that was trained on others refuses them. auto is none."""
    detector: Path | None = None
    """Faces: find and align them by OpenCV's YuNet: its file,
    face_detection_yunet_2023mar.onnx."""
    limits: LimitSpec = field(default_factory=LimitSpec)
    post: PostSpec = field(default_factory=lambda: PostSpec(score_threshold=SHOWN_SCORE))
    places: DecodeSpec = field(default_factory=DecodeSpec)
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        if not 0 <= self.port < 2**16:
            raise InputError(f"--port {self.port} is not in 0..65535")
        if self.public_name is not None and not _NAME.fullmatch(self.public_name):
            raise InputError(
                f"--public-name {self.public_name}: give the host name alone, as demo.example"
            )
        if self.common.out is not None:
            raise InputError(f"--out {self.common.out}: the page writes nothing; leave it out")
        if self.gallery is not None and not self.gallery.is_dir():
            raise InputError(f"--gallery {self.gallery}: no such folder")
        if self.detector is not None and self.alignment not in ("auto", "five_points"):
            raise InputError(f"--alignment {self.alignment}: --detector aligns by five points")

    @property
    def options(self) -> tuple[object, ...]:
        """How answers are asked for, of which each application takes its own."""
        return DetectOptions(post=self.post), self.places

    @property
    def standing(self) -> str:
        """How faces stand when the network sees them."""
        if self.detector is not None:
            return "five_points"
        return "none" if self.alignment == "auto" else self.alignment
