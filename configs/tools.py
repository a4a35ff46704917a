"""Flags of the tools that evaluate, predict, check and convert data, and import weights."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from backbone.formats.partial import PartialFlavour
from configs.common import Common
from configs.special import SpecialFlags
from configs.task_names import TaskName
from datasets.errors import InputError
from datasets.spec import HINTS, BoxFormat, Option, Split
from tasks.detection.spec import (
    SHOWN_SCORE,
    DetectOptions,
    DetectorBackbone,
    Framework,
    KeepSpec,
    PostSpec,
    TileSpec,
    TrackSpec,
)
from tasks.face_embedding.spec import FaceSpec
from tasks.flag_values import flag_of, require_at_least, require_with_data
from tasks.geolocation.spec import DecodeSpec

ResultFormat = Literal["json", "jsonl", "csv", "yolo", "voc"]


class AnswerFlags(SpecialFlags):
    """Behaviour of the flags that evaluation and prediction share."""

    batch_size: int
    proposals: int | None
    post: PostSpec
    places: DecodeSpec

    def __post_init__(self) -> None:
        require_at_least(self, 1, "batch_size")

    @property
    def options(self) -> tuple[object, ...]:
        """Options for computing answers; each application picks its own."""
        return DetectOptions(self.proposals, self.post), self.places


@dataclass(frozen=True)
class Evaluate(AnswerFlags):
    """Compute a model's metrics on labelled data.

    The metrics are COCO's for detectors, top-1 for classifiers, distances in km for geolocators,
    mean AP for face attributes, and accuracy on pairs for face embeddings. Writes report.html and
    the model's answers to --out, by default evaluations/<weights>-<data>, or
    evaluations/<weights>-<data>-<split> with --split. For a detector the answers are results.json
    and ground_truth.json in COCO's formats, so that other programs can score them; for faces
    pairs.csv; for all other tasks predictions.csv.
    """

    FOR_ALL = ("weights", "head", "labels", "data", "split", "batch_size", "workers", "common")

    weights: Annotated[Path, tyro.conf.Positional]
    """Run folder, weights file or export; or a .tflite file made by TensorFlow, which runs in
    LiteRT."""
    head: str | None = None
    """For a run of train_multi.py or its export: name of the head to evaluate."""
    labels: Path | None = None
    """For a .tflite file made by TensorFlow: text file with its class names, one per line, in the
    form that import_weights.py takes."""
    data: Path | None = None
    """Labelled data in any format that the training tool reads; without it, built-in synthetic
    images are used."""
    format: BoxFormat | None = None
    """For detectors: format of the data, needed only if its files match several formats."""
    images: Path | None = None
    """For detectors: folder of the images, if they are not beside the annotations."""
    classes: Path | None = None
    """For classifiers: text file with the names or ids of the classes to use, one per line."""
    boxes: bool = False
    """For classifiers: crop images to their bounding boxes first, as train_dogs.py --boxes does.
    """
    split: Split | None = None
    """Part of the data to evaluate on. By default val, or test if there is no val; for face
    attributes test, or val if there is no test. Data without parts is used whole, unless the
    weights were trained on it: then only what the training held out is used. Faces are all used by
    default, except those that the weights were trained on."""
    scorer: Literal["faster", "pycocotools"] = "faster"
    """For detectors: library that computes the COCO metrics; pycocotools is slower and gives the
    same figures."""
    proposals: int | None = None
    """For Faster R-CNN: number of proposed regions that the second stage classifies, 1 to 1000; by
    default the same as in training."""
    batch_size: int = 16
    """Number of images per forward pass."""
    workers: int = -1
    """Number of processes that load data; -1 uses half the cores, at most 8; 0 loads in the main
    process."""
    post: PostSpec = field(default_factory=PostSpec)
    places: DecodeSpec = field(default_factory=DecodeSpec)
    faces: FaceSpec = field(default_factory=FaceSpec)
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        """Refuse impossible numbers, and flags about data without data. Raises InputError."""
        super().__post_init__()
        require_with_data(self)


@dataclass(frozen=True)
class Predict(AnswerFlags):
    """Run a model on images, videos and streams, and write and draw its answers.

    Writes every image with its boxes, its most likely classes, a map or the nearest faces, and
    the results in the chosen format to --out, by default predictions/. A video is written as a
    video. Results reach the disk as they come, so memory does not grow with their number, and
    --resume continues after an interruption. What cannot be read is listed in unreadable.jsonl.
    """

    FOR_ALL = (
        *("weights", "paths", "head", "labels", "format", "batch_size", "draw", "every", "frames"),
        *("part", "resume", "strict", "common"),
    )

    weights: Annotated[Path, tyro.conf.Positional]
    """Run folder, weights file or export; or a .tflite file made by TensorFlow, which runs in
    LiteRT."""
    paths: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Images and videos; folders, with all that is below them; quoted patterns such as
    "images/**/*.jpg"; text or CSV files that list a path per line, or - for such a list from
    standard input; shards and Parquet files of images; addresses of images and of RTSP or HTTP
    streams; a camera's number, such as 0."""
    head: str | None = None
    """For a run of train_multi.py or its export: name of the head to use."""
    labels: Path | None = None
    """For a .tflite file made by TensorFlow: text file with its class names, one per line, in the
    form that import_weights.py takes."""
    gallery: Path | None = None
    """For faces: folder of images in which to find the nearest faces; by default each image is
    compared with the other given images."""
    proposals: int | None = None
    """For Faster R-CNN: number of proposed regions that the second stage classifies, 1 to 1000; by
    default the same as in training."""
    format: ResultFormat = "json"
    """Format of the results. json: one file, for a detector in COCO's format. jsonl: a line of
    JSON per image. csv: a table. yolo and voc: for detectors, a label file per image, with which
    annotation tools begin."""
    batch_size: int = 8
    """Number of images per forward pass."""
    draw: bool = True
    """Write images with the answers drawn on them; --no-draw writes only the results."""
    crops: bool = False
    """For detectors: also write each object as an image of its own, in a folder per class."""
    every: int = 1
    """For videos and streams: use only every n-th frame."""
    frames: int = 0
    """For videos and streams: number of frames to use of each; 0 uses all."""
    part: str = "1/1"
    """Share of the files to process, such as 2/8 for the second of eight: consecutive files, so
    that the results of all shares can be joined in order."""
    resume: bool = False
    """Continue an interrupted prediction in --out with the same flags, to the same results; if
    there is none, begin."""
    strict: bool = False
    """Stop at the first image that cannot be read, with exit status 2."""
    post: PostSpec = field(default_factory=lambda: PostSpec(score_threshold=SHOWN_SCORE))
    keep: KeepSpec = field(default_factory=KeepSpec)
    tiling: TileSpec = field(default_factory=TileSpec)
    tracking: TrackSpec = field(default_factory=TrackSpec)
    places: DecodeSpec = field(default_factory=DecodeSpec)
    faces: FaceSpec = field(default_factory=FaceSpec)
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        """Refuse impossible numbers. Raises InputError naming the flag and its value."""
        super().__post_init__()
        require_at_least(self, 1, "every")
        require_at_least(self, 0, "frames")
        _ = self.share

    @property
    def options(self) -> tuple[object, ...]:
        """Options for computing answers; each application picks its own."""
        return DetectOptions(self.proposals, self.post, self.keep, self.tracking), self.places

    @property
    def share(self) -> tuple[int, int]:
        """Number of the part, from 1, and of all parts. Raises InputError if it is none."""
        number, _, count = self.part.partition("/")
        if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
            raise InputError(f"--part {self.part}: write K/N with K from 1 to N, such as 2/8")
        return int(number), int(count)


@dataclass(frozen=True)
class CheckData(SpecialFlags):
    """Check a data set before training: report what is wrong, and where.

    Checks bounding boxes, labelled images, face attributes, faces by identity, or images with
    positions; the kind is recognised by the files in the folder. The exit status is 2 if training
    would refuse the data. With --out FILE the findings are also written as JSON.
    """

    FOR_ALL = ("data", "task", "split", "decode", "lines", "common")

    data: Annotated[Path, tyro.conf.Positional]
    """Any data that a training tool accepts: COCO, Pascal VOC, YOLO and other formats of boxes;
    folders of labelled images, CSV lists, shards; CelebA, LFWA; LFW, .rec and .bin archives of
    faces; CSV lists with LAT and LON, images with GPS tags."""
    task: TaskName | Literal["auto"] = "auto"
    """Task to check the data for. auto chooses the most specific one that the files allow:
    detection if there are boxes, as in Oxford-IIIT Pets, which can also be read for
    classification. Folders of images are read as classes: choose face_embedding if the folders are
    people, and geolocation if the images have GPS tags."""
    split: Split | None = None
    """Part of the data to check; by default train, or all of the data if it has no parts. The
    other parts are searched for duplicates, people and authors that also appear in this one."""
    format: BoxFormat | None = None
    """For detection: format of the data, needed only if its files match several formats."""
    images: Path | None = None
    """For detection: folder of the images, if they are not beside the annotations."""
    classes: Path | None = None
    """For classification: text file with the names or ids of the classes to use, one per line."""
    framework: Framework = "ssd300"
    """For detection: detector whose anchors the boxes are compared with."""
    backbone: DetectorBackbone = "mobilenet_v1"
    """For detection: body of that detector."""
    size: int = 0
    """For detection: input size of that detector in pixels; 0 means the framework's own, 300 or
    600."""
    keep_aspect: bool = False
    """For detection: compare boxes with anchors as for a detector that preserves the aspect ratio
    of images instead of stretching them to a square."""
    decode: bool = False
    """Decode every image completely instead of reading only its header; slower, but finds damaged
    files."""
    lines: int = 20
    """Number of findings to list individually."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        if self.size and self.size < 32:
            raise InputError(f"--size {self.size} is too small: 32 pixels or more")
        if self.common.out is not None and self.common.out == self.data:
            raise InputError(f"--out {self.common.out}: would overwrite the data")

    @property
    def said(self) -> tuple[Option, ...]:
        """Options that the user has given about how to read the data."""
        return _said(self)

    def reason(self, task: str) -> str:
        """Reason why a flag is refused."""
        return f"{self.data} is examined for {task}"


@dataclass(frozen=True)
class Convert(SpecialFlags):
    """Convert a data set, with its images, to another format.

    Boxes are written as COCO, Pascal VOC, YOLO or shards; labelled images as a folder per class or
    as shards. Whatever the new format cannot hold is listed and counted. Outlines and keypoints
    are not read, so they are not written either. The converted data set is read back and compared
    before it gets its final name. --out is by default converted/NAME-FORMAT.
    """

    FOR_ALL = ("data", "to", "task", "link", "common")

    data: Annotated[Path, tyro.conf.Positional]
    """Any boxes or labelled images that a training tool accepts; docs/data.md lists the formats.
    """
    to: Literal["coco", "voc", "yolo", "shards", "folders"]
    """Format to write."""
    task: TaskName | Literal["auto"] = "auto"
    """Task to read the data for, if its files suit several; auto chooses as check_data.py does."""
    format: BoxFormat | None = None
    """For boxes: format of the data, needed only if its files match several formats."""
    images: Path | None = None
    """For boxes: folder of the images, if they are not beside the annotations."""
    link: bool = False
    """Create hard links to the images instead of copies: they take no space, but a change to one
    changes the other. Both must be on the same disk. Shards always hold copies."""
    common: Common = field(default_factory=Common)

    @property
    def said(self) -> tuple[Option, ...]:
        """Options that the user has given about how to read the data."""
        return _said(self)

    def reason(self, task: str) -> str:
        """Reason why a flag is refused."""
        return f"{self.data} is read for {task}"

    def target(self) -> Path:
        """Folder to write to. Raises InputError if it is inside the data."""
        name = self.data.resolve().name.partition(".")[0] or "data"
        out = self.common.out or Path("converted") / f"{name}-{self.to}"
        if out.resolve().is_relative_to(self.data.resolve()):
            raise InputError(f"--out {out}: lies in the data; choose another place")
        return out


@dataclass(frozen=True)
class ImportWeights:
    """Import weights from another framework, together with the preprocessing that they need.

    Reads MobileNet v1 classifiers from TensorFlow Lite, TensorFlow (TF-slim's checkpoints, frozen
    graphs), Keras, TF.js, ONNX, Caffe, timm and PyTorch, and TensorFlow's SSD MobileNet v1
    (.tflite, checkpoint, .pb, .onnx). The format is recognised by the content. Every tensor is
    checked. Conventions such as padding are never guessed: if the file does not state one, a
    message asks for the flag. A classifier without a head, or with a head that this suite does not
    have, is imported as a body from which any training can start. The original file is run on the
    same images to compare the results if its runtime is installed; otherwise a plain network built
    from its tensors is compared. --out is by default the name of the source with .safetensors, in
    the current folder.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """File, checkpoint prefix or folder to read; with --hub, name of a model on the Hugging Face
    Hub."""
    labels: Path | None = None
    """Text file with one class name per line, in the order of the model's outputs. A first line
    ??? or background stands for the background class. By default COCO's names for a detector of 91
    outputs, ImageNet's ids for 1000 or 1001 outputs, and otherwise numbers."""
    head: Path | None = None
    """TensorFlow Lite file with the last layers of a model that is stored without them."""
    key_map: Path | None = None
    """For PyTorch weights of an unknown layout: JSON file that maps the suite's tensor names to
    the names in the source. Tensors that it does not list are left out. --list-keys prints a
    draft."""
    list_keys: bool = False
    """Print a draft for --key-map and stop: names are filled in where order and shape identify a
    tensor, and left empty elsewhere."""
    hub: bool = False
    """Download the source, written as hf-hub:OWNER/NAME, from the Hugging Face Hub or take it from
    the local cache."""
    flavour: PartialFlavour = field(default_factory=PartialFlavour)
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        for given in (self.source, self.labels, self.head, self.key_map):
            if given is not None and given == self.common.out:
                raise InputError(f"--out {given}: would overwrite the source")
        if self.hub != str(self.source).startswith("hf-hub:"):
            fix = "names start with hf-hub:" if self.hub else "give --hub to fetch it"
            raise InputError(f"{self.source}: {fix}")
        if self.list_keys:
            self._refuse(
                "--list-keys only prints a draft", out=self.common.out, labels=self.labels
            )

    def target(self) -> Path:
        """File to write. Raises InputError if the default would overwrite the source."""
        out = self.common.out or Path(self.source.name).with_suffix(".safetensors")
        if out.resolve() == self.source.resolve():
            raise InputError(f"{self.source}: would be overwritten; give a name with --out")
        return out

    def refuse_for_detector(self) -> None:
        """Refuse flags that have no meaning for a detector, whose file states all conventions.

        Raises:
            InputError: If one was given; the message names the flag.
        """
        self._refuse(f"{self.source} is a detector")

    def _refuse(self, why: str, **more: object) -> None:
        given = {**more, "head": self.head, "key_map": self.key_map, **self.flavour.values()}
        for name, value in given.items():
            if value is not None:
                raise InputError(f"--{flag_of(name)} {value}: {why}")


def _said(flags: CheckData | Convert) -> tuple[Option, ...]:
    """Those options about how to read data that were given."""
    return tuple(name for name in HINTS if getattr(flags, name) is not None)
