"""Presets of one trunk with several heads. The docstring of each is its lab note."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from configs.classification import FINETUNE_CLS, MODERN, TrainCls
from configs.detection import TrainDet
from configs.face_attributes import TrainAttr
from configs.face_embedding import TrainEmbed
from configs.fine_grained import TrainDogs
from configs.geolocation import TrainGeo
from configs.presets import Presets
from configs.training import FitTraining, SquareTraining
from datasets.errors import InputError
from datasets.spec import Augmentation, FaceAugmentation, LabelAugmentation
from tasks.body_spec import ClassifierSpec
from tasks.classification.spec import ClassLossSpec
from tasks.detection.spec import DetectorSpec, LossSpec
from tasks.face_embedding.spec import EmbedderSpec, FaceSpec
from tasks.fitting.spec import FitSpec
from tasks.flag_values import require_at_least
from tasks.geolocation.spec import GeoLossSpec, PartitionSpec
from tasks.multitask.spec import HEADS, BalanceBy, BatchNorm

MultiPreset = Literal["auto", "demo", "modern", "finetune"]
# Heads that are trained on built-in data if none is named: all that share one input.
DEMO_HEADS = HEADS[:-1]
_BY_CLASS = ("classes", "breeds")


@dataclass(frozen=True)
class TrainMulti(SquareTraining):
    """Train and evaluate one trunk with heads for several tasks.

    Each task has its own data, labelled for this task only. Without --tasks it trains five heads
    on built-in synthetic images. The run folder is --out, by default runs/<preset>/<time>. It
    contains everything that was produced: the weights of all heads with their cards,
    heads/NAME.safetensors for each, reports, checkpoint, metrics and configuration.
    """

    preset: MultiPreset = "auto"
    """Set of default values. auto means demo if no data is named, finetune with --weights, and
    modern otherwise."""
    tasks: tuple[str, ...] = ()
    """Heads to train, each as NAME=DATA, or NAME alone for built-in images: classes=IMAGES
    attributes=CELEBA boxes=COCO. Names: classes, breeds, attributes, places, embedding, boxes;
    data in any format that the tool of the task reads. By default all but boxes, on built-in
    images. Named heads that --weights contains continue from there."""
    add: tuple[str, ...] = ()
    """Heads to add to those of --weights, as NAME=DATA or NAME; or as NAME=FILE, the file of a
    head that was trained on this very trunk, which is attached unchanged."""
    drop: tuple[str, ...] = ()
    """Names of heads in --weights to leave out."""
    only: tuple[str, ...] = ()
    """Text files with the names or ids of the classes to use, as classes=FILE breeds=FILE; by
    default all classes."""
    weights: Path | None = None
    """Run folder or weights file to start from: of this tool, or of any other, whose body is used.
    With --add, a network of a single task serves as a trunk with one head, which stays unchanged.
    """
    bn: BatchNorm = "shared"
    """Batch norm of the trunk. shared: one for all tasks. per-task: each task has its own on
    shared convolutions, and needs a separate pass. frozen-trunk: the trunk of --weights stays
    exactly as it is, so that the heads cannot influence each other."""
    heads_per_step: int = 0
    """Number of tasks that get a batch in each step; 0 means all. Otherwise they are sampled in
    proportion to the square root of the sizes of their data sets."""
    balance: BalanceBy = "first"
    """How the losses of the tasks are balanced. first: each is divided by its first value.
    uncertainty: weights are learnt in addition (Kendall et al.)."""
    task_weights: tuple[str, ...] = ()
    """Fixed weights of the losses of some tasks, as boxes=2 classes=.5; the others have weight 1.
    """
    compare: bool = False
    """Also train each head on a trunk of its own, from the same start and for the same number of
    steps, and compare both in a table."""
    box_size: int = 0
    """Side of the input for boxes, in pixels; 0 means SSD's own, 300. The other heads use --size.
    """
    dim: int = 128
    """Length of the embedding, 2 or more."""
    partition: PartitionSpec = field(default_factory=PartitionSpec)
    faces: FaceSpec = field(default_factory=FaceSpec)
    label_smoothing: float = 0.0
    """For classes and breeds: share of the target probability that is spread evenly over all
    classes, from 0 to below 1."""
    augment: LabelAugmentation = "mild"
    """Augmentation for classes, breeds and places: tf_slim, mild (the paper's), modern, small (for
    images of about the input's size) or none. Attributes always use small, which suits aligned
    faces."""
    face_augment: FaceAugmentation = "face"
    """Augmentation for the embedding: face, flip or none."""
    box_augment: Augmentation = "ssd"
    """Augmentation for boxes: ssd, tf, flip or none."""
    crop: float = 1.0
    """Evaluation crops the centre of the resized image: share of its short side to keep, above 0
    and up to 1, for all heads but boxes, which see whole images. Aligned faces need 1."""
    cache: bool = True
    """Keep the decoded images of each data set in memory if they take less than two fifths of what
    is free."""
    workers: int = -1
    """Number of processes that load data for each task; -1 shares half the cores among the tasks;
    0 loads in the training process itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        named = [*self.parse("tasks"), *self.parse("add"), *self.drop]
        for name in named:
            if named.count(name) > 1:
                raise InputError(f"{name}: named twice by --tasks, --add or --drop")
        for flag in ("add", "drop"):
            if getattr(self, flag) and self.weights is None:
                raise InputError(f"--{flag} {' '.join(getattr(self, flag))}: goes with --weights")
        odd = [name for name in self.parse("only") if name not in _BY_CLASS]
        if odd:
            raise InputError(f"--only {odd[0]}: for {' and '.join(_BY_CLASS)}")
        if self.bn == "frozen-trunk" and self.weights is None:
            raise InputError("--bn frozen-trunk: a trunk that nobody trained: give --weights")
        require_at_least(self, 0, "heads_per_step")
        if self.fit.compile:
            raise InputError("--compile: not for several heads on one trunk")
        if "boxes" in named and (self.model.stem_stride, self.model.variant) != (2, "standard"):
            raise InputError(
                f"--stem-stride {self.model.stem_stride}, --variant {self.model.variant}: boxes "
                "need 2 and standard"
            )
        self.loss_weights(HEADS)

    def parse(self, flag: Literal["tasks", "add", "only"]) -> dict[str, Path | None]:
        """Names and paths in a flag of the form NAME=PATH; None for a name alone.

        Raises:
            InputError: If there is no head of a name, or a name appears twice.
        """
        found: dict[str, Path | None] = {}
        for word in getattr(self, flag):
            name, given, path = word.partition("=")
            if name not in HEADS or (given and not path) or (flag == "only" and not given):
                raise InputError(
                    f"--{flag} {word}: write NAME=PATH, NAME being one of {', '.join(HEADS)}"
                )
            if name in found:
                raise InputError(f"--{flag} {word}: {name} is named twice")
            found[name] = Path(path) if path else None
        return found

    def loss_weights(self, names: tuple[str, ...]) -> dict[str, float]:
        """Loss weights by task. Raises InputError for an unknown task or a weight not above 0."""
        weights = dict.fromkeys(names, 1.0)
        for word in self.task_weights:
            name, _, value = word.partition("=")
            try:
                weight = float(value)
            except ValueError:
                weight = -1.0
            if name not in HEADS or not 0 < weight < float("inf"):
                raise InputError(f"--task-weights {word}: write NAME=WEIGHT, above 0")
            if name in weights:
                weights[name] = weight
        return weights

    @property
    def schedule(self) -> FitSpec:
        """Training settings; with a frozen trunk the body stays fixed in every epoch."""
        held = self.fit.epochs if self.bn == "frozen-trunk" else self.fit.frozen_epochs
        return replace(self.fit, frozen_epochs=held)

    def single(self, name: str, path: Path | None) -> FitTraining:
        """Configuration of a head's own tool. Raises InputError if this body cannot have it."""
        config: FitTraining = getattr(self, f"_{name}")(path)
        return config

    def size_flag(self, name: str) -> str:
        """Flag that sets the side of a head's input."""
        return "--box-size" if name == "boxes" else "--size"

    def _shared(self, path: Path | None) -> dict[str, Any]:
        """Fields that the tool of a head on square images takes over."""
        names = {one.name for one in fields(SquareTraining)} - {"preset", "resume"}
        return {"data": path, "augment": self.augment} | {
            name: getattr(self, name) for name in names
        }

    def _classes(self, path: Path | None) -> TrainCls:
        loss, only = ClassLossSpec(label_smoothing=self.label_smoothing), self.parse("only")
        return TrainCls(**self._shared(path), classes=only.get("classes"), loss=loss)

    def _breeds(self, path: Path | None) -> TrainDogs:
        # In one stage; built-in ones have boxes.
        whole = {one.name: getattr(self._classes(path), one.name) for one in fields(TrainCls)}
        only = self.parse("only").get("breeds")
        return TrainDogs(**{**whole, "classes": only, "boxes": path is None, "web_epochs": 0})

    def _attributes(self, path: Path | None) -> TrainAttr:
        return TrainAttr(**{**self._shared(path), "augment": "small"})

    def _places(self, path: Path | None) -> TrainGeo:
        loss = GeoLossSpec(labels="soft")
        return TrainGeo(**self._shared(path), partition=self.partition, loss=loss)

    def _embedding(self, path: Path | None) -> TrainEmbed:
        model = EmbedderSpec(**self.model.to_json(), dim=self.dim)
        own = {"model": model, "faces": self.faces, "augment": self.face_augment}
        return TrainEmbed(**{**self._shared(path), **own})

    def _boxes(self, path: Path | None) -> TrainDet:
        if self.model.backbone not in ("mobilenet_v1", "inception_v2", "vgg16"):
            raise InputError(f"--backbone {self.model.backbone}: has no boxes")
        return TrainDet(
            data=path,
            weights=self.weights,
            command=self.command,
            model=DetectorSpec(
                backbone=self.model.backbone, alpha=self.model.alpha, size=self.box_size
            ),
            loss=LossSpec(min_negatives=8),
            fit=self.fit,
            augment=self.box_augment,
            workers=self.workers,
            common=self.common,
        )


MODERN_MULTI = TrainMulti(
    preset="modern",
    model=ClassifierSpec(size=128),
    fit=replace(MODERN.fit, epochs=60, batch_size=32, ema_decay=0.998, eval_every=10),
    label_smoothing=0.1,
)
"""Own data from scratch."""

FINETUNE_MULTI = replace(
    MODERN_MULTI, preset="finetune", fit=replace(FINETUNE_CLS.fit, epochs=15, eval_every=5)
)
"""Own data, starting from existing weights."""

DEMO_MULTI = replace(
    MODERN_MULTI,
    preset="demo",
    model=ClassifierSpec(alpha=0.25, size=64),
    dim=64,
    partition=PartitionSpec(split_above=(60,), drop_below=8),
    label_smoothing=0.0,
    fit=replace(MODERN.fit, epochs=20, batch_size=64, lr=4e-3, ema_decay=0.99, eval_every=10),
    augment="small",
)
"""Built-in images, five heads, sized for two CPU cores: ``tools/train_multi.py``."""

MULTI_PRESETS = Presets((MODERN_MULTI, FINETUNE_MULTI, DEMO_MULTI), with_data="modern")
