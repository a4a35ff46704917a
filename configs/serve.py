"""Flags of the service. It imports nothing slow, because --help is built from it."""

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
    """What one visitor may request, so that nobody can exhaust memory or occupy the server."""

    megabytes: float = 20.0
    """Largest permitted request, in millions of bytes; a comparison of two images is one request.
    """
    megapixels: float = 50.0
    """Largest permitted image, in millions of pixels, read from its header before decoding."""
    concurrent: int = 2
    """Number of answers that are computed at the same time."""
    queue: int = 64
    """Number of requests that may wait; further requests are refused with status 503."""
    connections: int = 1024
    """Number of open connections permitted per address. Beyond it, connections that have sent no
    request for some seconds are closed, or new ones refused with status 429."""
    head_seconds: float = 5.0
    """Longest permitted time in seconds for the headers of a request to arrive, else status 408.
    """
    read_seconds: float = 60.0
    """Longest permitted time in seconds for a request to arrive, else status 408, or for an answer
    to be received."""
    kilobytes_per_second: float = 16.0
    """Lowest permitted rate, in thousands of bytes per second, at which an image arrives, else
    status 408, or an answer is received."""

    def __post_init__(self) -> None:
        require_above_0(self, "megabytes", "megapixels", "head_seconds", "read_seconds")
        require_above_0(self, "kilobytes_per_second")
        require_at_least(self, 1, "concurrent", "connections")
        require_at_least(self, 0, "queue")

    @property
    def bytes(self) -> int:
        """Largest request, in bytes."""
        return int(self.megabytes * 1e6)

    @property
    def pixels(self) -> int:
        """Largest image, in pixels."""
        return int(self.megapixels * 1e6)


@dataclass(frozen=True)
class BatchSpec:
    """How images of several requests are computed together, by models that can do so."""

    batch: int = 4
    """Largest number of images that are computed together; 1 computes each separately. On a CPU,
    more take more time each in a detector; a GPU may gain from more."""
    batch_milliseconds: float = 5.0
    """Longest time in milliseconds for which an image waits for others that are still being
    decoded; it never waits if no other request is in progress."""

    def __post_init__(self) -> None:
        require_at_least(self, 1, "batch")
        require_at_least(self, 0, "batch_milliseconds")


@dataclass(frozen=True)
class Serve(SpecialFlags):
    """Serve models on this machine: an HTTP interface for programs, and a web page to try them.

    Open the address that is printed, or send images to /v1/predict; /openapi.json describes it.
    Ctrl-C stops the server. Images are kept in memory while they are processed, and neither stored
    nor logged. The page loads nothing from other servers.
    """

    FOR_ALL = (
        "models", "host", "port", "public_name", "token_file", "limits", "batching", "common"
    )  # fmt: skip

    models: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders, folders of runs, weights files or exports; by default everything below runs/.
    """
    host: str = LOOPBACK
    """Address to listen on. With any other than the default, everyone who can reach this machine
    can use the models, unless a token is required; there is no encryption."""
    port: int = 8000
    """Port to listen on; 0 takes any free port."""
    public_name: str | None = None
    """Host name under which a proxy or another container reaches the service, such as
    demo.example. Only requests to IP addresses, localhost, --host and this name are answered."""
    token_file: Path | None = None
    """File that contains a token, which every request for answers must then carry as
    "Authorization: Bearer TOKEN". By default the environment variable MOBILENETS_TOKEN, if set."""
    gallery: Path | None = None
    """For faces: folder of images in which to find the nearest faces; by default the page compares
    two images."""
    alignment: Standing = "auto"
    """For faces: how the images are aligned. none: not at all. funneled: as LFW's funneled images.
    five_points: with eyes, nose and mouth in fixed places. A network that was trained on another
    alignment refuses them. auto means none."""
    detector: Path | None = None
    """For faces: file face_detection_yunet_2023mar.onnx, with which OpenCV's YuNet finds and
    aligns the faces."""
    limits: LimitSpec = field(default_factory=LimitSpec)
    batching: BatchSpec = field(default_factory=BatchSpec)
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
            raise InputError(f"--out {self.common.out}: the service writes nothing; leave it out")
        if self.gallery is not None and not self.gallery.is_dir():
            raise InputError(f"--gallery {self.gallery}: no such folder")
        if self.detector is not None and self.alignment not in ("auto", "five_points"):
            raise InputError(f"--alignment {self.alignment}: --detector aligns by five points")

    @property
    def options(self) -> tuple[object, ...]:
        """Options for computing answers; each application picks its own."""
        return DetectOptions(post=self.post), self.places

    @property
    def standing(self) -> str:
        """Alignment of the faces that the network sees."""
        if self.detector is not None:
            return "five_points"
        return "none" if self.alignment == "auto" else self.alignment
