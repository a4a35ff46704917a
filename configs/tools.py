"""Flags of the tools that do not train."""

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
    PostSpec,
)
from tasks.face_embedding.spec import FaceSpec
from tasks.flag_values import flag_of, require_at_least, require_with_data
from tasks.geolocation.spec import DecodeSpec


class AnswerFlags(SpecialFlags):
    """What is done with the flags of evaluations and predictions alike."""

    batch_size: int
    proposals: int | None
    post: PostSpec
    places: DecodeSpec

    def __post_init__(self) -> None:
        require_at_least(self, 1, "batch_size")

    @property
    def options(self) -> tuple[object, ...]:
        """How answers are asked for, of which each application takes its own."""
        return DetectOptions(self.proposals, self.post), self.places


@dataclass(frozen=True)
class Evaluate(AnswerFlags):
    """Measure a model on labelled data: COCO's numbers, top-1, km, mean AP, or pairs of faces.

    Writes report.html and what was answered to --out, by default evaluations/<weights>-<data>, or
    with --split evaluations/<weights>-<data>-<split>: for a detector results.json and
    ground_truth.json (COCO's formats: anyone can score them again), for faces pairs.csv, for the
    others predictions.csv.
    """

    FOR_ALL = ("weights", "head", "labels", "data", "split", "batch_size", "workers", "common")

    weights: Annotated[Path, tyro.conf.Positional]
    """Run folder, weights file or export; or TensorFlow's own .tflite file, run by LiteRT."""
    head: str | None = None
    """Head to measure, of a run of train_multi.py or its export."""
    labels: Path | None = None
    """TensorFlow's own .tflite file: text file with its classes, one per line, as
    import_weights.py takes it."""
    data: Path | None = None
    """Labelled data in a format that training reads; built-in pictures if left out."""
    format: BoxFormat | None = None
    """Detector: format of the data, where its files could be of several."""
    images: Path | None = None
    """Detector: folder of the data's pictures, where they lie elsewhere."""
    classes: Path | None = None
    """Classifier: text file with the names or ids of the data's classes to take."""
    boxes: bool = False
    """Classifier: cut photos to their boxes first, as train_dogs.py --boxes does."""
    split: Split | None = None
    """Part of the data; by default val (test where there is none), or all of a single file, of
    boxes in one part and of labelled photos without parts that the weights were not trained on; of
    boxes that they were trained on what was held out; of face attributes the part to test on; of a
    list of places with a column split, or that the weights were trained on, val; of faces all that
    there is, or what was left out of the training on them."""
    scorer: Literal["faster", "pycocotools"] = "faster"
    """Detector: faster-coco-eval computes the numbers, or pycocotools (slower, the same)."""
    proposals: int | None = None
    """Faster R-CNN: regions that its second stage looks at; by default as it was trained."""
    batch_size: int = 16
    """Images per pass."""
    workers: int = -1
    """Loader processes; -1 takes half the cores, at most 8."""
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
    """Find objects in photos, folders of photos, or a video; tell class, place, person.

    Writes each picture with its boxes, its most likely classes, a map or the nearest faces, and
    predictions.json (of a detector in COCO's structure, with scores), to --out, by default
    predictions/. A video becomes a video.
    """

    FOR_ALL = ("weights", "paths", "head", "labels", "batch_size", "draw", "common")

    weights: Annotated[Path, tyro.conf.Positional]
    """Run folder, weights file or export; or TensorFlow's own .tflite file, run by LiteRT."""
    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Photos, folders, videos, or the Parquet files or shards of a set."""
    head: str | None = None
    """Head to ask, of a run of train_multi.py or its export."""
    labels: Path | None = None
    """TensorFlow's own .tflite file: text file with its classes, one per line, as
    import_weights.py takes it."""
    gallery: Path | None = None
    """Faces: folder of photos to find each photo's nearest in; by default the other photos."""
    proposals: int | None = None
    """Faster R-CNN: regions that its second stage looks at; by default as it was trained."""
    batch_size: int = 8
    """Images per pass."""
    draw: bool = True
    """Write pictures; --no-draw writes only the JSON."""
    post: PostSpec = field(default_factory=lambda: PostSpec(score_threshold=SHOWN_SCORE))
    places: DecodeSpec = field(default_factory=DecodeSpec)
    faces: FaceSpec = field(default_factory=FaceSpec)
    common: Common = field(default_factory=Common)


@dataclass(frozen=True)
class CheckData(SpecialFlags):
    """Examine a data set before training: what is wrong, where, and what is safe.

    Boxes, labelled photos, face attributes, faces by identity, or photos with positions, which is
    told by what lies in its folder. Exit status 2 if training would refuse it. With --out the
    findings go to a JSON file.
    """

    FOR_ALL = ("data", "task", "split", "decode", "lines", "common")

    data: Annotated[Path, tyro.conf.Positional]
    """Any data that a training tool takes: COCO, Pascal VOC, YOLO and other formats of boxes;
    folders of photos, CSV lists, shards; CelebA, LFWA; LFW, .rec and .bin archives of faces; lists
    with LAT and LON, photos with GPS tags."""
    task: TaskName | Literal["auto"] = "auto"
    """What to examine it for; auto takes the most particular: detection where there are boxes, as
    in Oxford-IIIT Pets, which can be read for classification too. Folders of photos are taken for
    classes: say face_embedding if they are people, and geolocation if the photos have GPS tags."""
    split: Split | None = None
    """Part of the data; by default train, or all of a set that is not parted. Another part is
    looked at for copies, people and authors that stand in both."""
    format: BoxFormat | None = None
    """Detection: format of the data, where its files could be of several."""
    images: Path | None = None
    """Detection: folder of the data's pictures, where they lie elsewhere."""
    classes: Path | None = None
    """Classification: text file with the names or ids of the classes to take."""
    framework: Framework = "ssd300"
    """Detection: detector whose anchors the boxes are compared with."""
    backbone: DetectorBackbone = "mobilenet_v1"
    """Detection: its body."""
    size: int = 0
    """Detection: its input size in pixels; 0 is the framework's own, 300 or 600."""
    keep_aspect: bool = False
    """Detection: compare as for a detector that keeps a photo's shape instead of warping it to a
    square."""
    decode: bool = False
    """Decode every picture to its end instead of reading its header."""
    lines: int = 20
    """Findings to name one by one."""
    common: Common = field(default_factory=Common)

    def __post_init__(self) -> None:
        if self.size and self.size < 32:
            raise InputError(f"--size {self.size} is too small: 32 pixels or more")
        if self.common.out is not None and self.common.out == self.data:
            raise InputError(f"--out {self.common.out}: would overwrite the data")

    @property
    def said(self) -> tuple[Option, ...]:
        """What the user says of how the set is to be read."""
        return _said(self)

    def reason(self, task: str) -> str:
        """Why a flag is refused."""
        return f"{self.data} is examined for {task}"


@dataclass(frozen=True)
class Convert(SpecialFlags):
    """Write a data set in another format, pictures and all.

    Boxes become COCO, Pascal VOC, YOLO or shards; labelled photos a folder per class or shards.
    What the format cannot hold is named and counted; outlines and keypoints are not read, so they
    are not written either. The set is read back before it gets its name. --out is by default
    converted/NAME-FORMAT.
    """

    FOR_ALL = ("data", "to", "task", "link", "common")

    data: Annotated[Path, tyro.conf.Positional]
    """Any boxes or labelled photos that a training tool takes; docs/data.md lists the formats."""
    to: Literal["coco", "voc", "yolo", "shards", "folders"]
    """Format to write."""
    task: TaskName | Literal["auto"] = "auto"
    """What to read the data for, where it can be read for several; auto as check_data.py."""
    format: BoxFormat | None = None
    """Boxes: format of the data, where its files could be of several."""
    images: Path | None = None
    """Boxes: folder of the data's pictures, where they lie elsewhere."""
    link: bool = False
    """Link pictures instead of copying them: no room is taken, and a change of one shows in the
    other. Both must be on one disk. Shards hold copies."""
    common: Common = field(default_factory=Common)

    @property
    def said(self) -> tuple[Option, ...]:
        """What the user says of how the set is to be read."""
        return _said(self)

    def reason(self, task: str) -> str:
        """Why a flag is refused."""
        return f"{self.data} is read for {task}"

    def target(self) -> Path:
        """The folder to write. Raises InputError if it lies in the data."""
        name = self.data.resolve().name.partition(".")[0] or "data"
        out = self.common.out or Path("converted") / f"{name}-{self.to}"
        if out.resolve().is_relative_to(self.data.resolve()):
            raise InputError(f"--out {out}: lies in the data; choose another place")
        return out


@dataclass(frozen=True)
class ImportWeights:
    """Bring weights of another framework into the suite, with the flavour that they need.

    Reads MobileNet v1 classifiers of TensorFlow Lite, TensorFlow (TF-slim's checkpoints, frozen
    graphs), Keras, TF.js, ONNX, Caffe, timm and PyTorch, and TensorFlow's SSD MobileNet v1
    (.tflite, checkpoint, .pb, .onnx); the kind is told by the content. Every tensor is checked,
    and conventions are never guessed: what the file does not tell is asked for. A classifier
    without its head, or with one that ours cannot be, becomes a body that any model can start
    from. The file itself is run and compared on the same pictures where its runtime is installed,
    and else a plain network of its tensors. --out is by default the source's name with
    .safetensors, in the current folder.
    """

    source: Annotated[Path, tyro.conf.Positional]
    """File, checkpoint prefix or folder to read; with --hub a model's name on Hugging Face."""
    labels: Path | None = None
    """Text file with one class name per line, in the order of the model's columns. In the first
    line ??? or background stands for the background column. By default COCO's names for a
    detector of 91 columns, ImageNet's ids for 1000 or 1001 columns, else numbers."""
    head: Path | None = None
    """TensorFlow Lite file with the last layers of a headless one."""
    key_map: Path | None = None
    """JSON object that names each tensor of PyTorch weights of an unknown layout: our key ->
    their key. What it does not name is left out; --list-keys drafts one."""
    list_keys: bool = False
    """Print the object that --key-map takes, with their keys where order and shape tell them and
    empty texts where not, and read no more."""
    hub: bool = False
    """Fetch the source, hf-hub:OWNER/NAME, from Hugging Face's hub or its cache."""
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
        """The file to write. Raises InputError if by default that would be the source."""
        out = self.common.out or Path(self.source.name).with_suffix(".safetensors")
        if out.resolve() == self.source.resolve():
            raise InputError(f"{self.source}: would be overwritten; give a name with --out")
        return out

    def refuse_for_detector(self) -> None:
        """Refuse flags that mean nothing for a detector, whose file tells everything.

        Raises:
            InputError: Naming the flag.
        """
        self._refuse(f"{self.source} is a detector")

    def _refuse(self, why: str, **more: object) -> None:
        given = {**more, "head": self.head, "key_map": self.key_map, **self.flavour.values()}
        for name, value in given.items():
            if value is not None:
                raise InputError(f"--{flag_of(name)} {value}: {why}")


def _said(flags: CheckData | Convert) -> tuple[Option, ...]:
    """Those of the flags which say how data are to be read that were given."""
    return tuple(name for name in HINTS if getattr(flags, name) is not None)
