"""Presets of the face embeddings. The docstring of each gives its table, command and result."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import tyro

from configs.classification import MODERN, PAPER_CLS
from configs.presets import Presets
from configs.training import TaughtTraining
from datasets.errors import InputError
from datasets.spec import FaceAugmentation
from tasks.distillation.spec import DistillSpec
from tasks.face_embedding.spec import EmbedderSpec, EmbedLossSpec, FaceSpec

EmbedPreset = Literal["auto", "demo", "paper", "labels", "distill", "finetune"]


@dataclass(frozen=True)
class EmbeddingDistillSpec(DistillSpec):
    """The teacher, and the weight of its loss: squared difference of embeddings of length one."""

    teacher: str | None = None
    """Teacher to learn from: a run folder or weights file of this tool; or MODULE:FUNCTION, a
    Python function that turns images (B, 3, S, S) with values in 0..255 into embeddings (B,
    --dim). The teacher sees the same augmented images as the student."""
    teacher_weights: tyro.conf.Suppress[Path | None] = None
    """Only for classifiers."""
    temperature: tyro.conf.Suppress[float] = 4.0
    """Only for classifiers."""
    distill_weight: float = 1.0
    """Weight of the teacher's loss, above 0 and up to 1; the loss of the identities gets the rest.
    At 1, as in the paper, identities are not used."""
    top_k: tyro.conf.Suppress[int] = 50
    """Only for classifiers."""


@dataclass(frozen=True)
class TrainEmbed(TaughtTraining):
    """Train and evaluate a network of face embeddings, from identities or from a teacher.

    Without --data it trains on built-in synthetic faces. It is evaluated on people that were not
    in the training set. The run folder is --out, by default runs/<preset>/<time>. It contains
    everything that was produced: weights with their card, report.html, pairs.csv, checkpoint,
    metrics and configuration. With --grid it holds one folder per run and a table that compares
    them.
    """

    preset: EmbedPreset = "auto"
    """Set of default values. auto means demo without --data, distill with --teacher, finetune with
    --weights, and labels otherwise."""
    data: Path | None = None
    """Folder with one folder of images per person, directly or in train/ and val/; LFW (the same
    with pairs.txt); or RecordIO: a .rec file with its .idx, or the folder of both."""
    val: Path | None = None
    """Data to evaluate on: any of these formats, or a .bin file of pairs. All of --data is then
    used for training, except people of the same name. By default the pairs that come with --data,
    or all pairs of a fifth of its people."""
    weights: Path | None = None
    """Run folder or weights file to start from, of any task with the same body."""
    grid: tuple[str, ...] = ()
    """Train one run for each combination of values, as in alpha=1,.75 size=160,128. A + begins
    another group. The runs are compared by accuracy on pairs, or by AUC if all images are compared
    with each other. Keys are the flags of the network (alpha, size, dim and others) and of the
    training (lr, epochs and others), and seed."""
    model: EmbedderSpec = field(default_factory=EmbedderSpec)
    loss: EmbedLossSpec = field(default_factory=EmbedLossSpec)
    distill: EmbeddingDistillSpec = field(default_factory=EmbeddingDistillSpec)
    faces: FaceSpec = field(default_factory=FaceSpec)
    augment: FaceAugmentation = "face"
    """Augmentation of training images. face: small shifts, rotations and changes of scale and
    light, and flips. flip: flips only. none: no augmentation."""
    crop: float = 1.0
    """Share of the short side of an image that is cut out of its centre, in training and in
    evaluation, above 0 and up to 1: use .45 for LFW's images of 250 pixels, in which the face
    fills the central 112."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.distill.refuse_unused(self.loss)
        if self.faces.fold is not None and self.val is not None:
            raise InputError(f"--fold {self.faces.fold}: of --data's own pairs; leave out --val")

    @property
    def uses_labels(self) -> bool:
        """Whether identities are used for training."""
        return not self.distill.is_on or self.distill.distill_weight < 1


PAPER_EMBED = TrainEmbed(
    preset="paper",
    model=EmbedderSpec(size=160),
    fit=replace(PAPER_CLS.fit, epochs=60, eval_every=10),
)
"""Table 14: 79.4 % at a FAR of 1e-4 at full width and 160 pixels; its teacher FaceNet 83.

``tools/train_embed.py --preset paper --data FACES --teacher TEACHER``, and ``--alpha .75``,
``--size 128``. Follows the paper's section 4.7: the student minimises the squared difference to
FaceNet's embeddings. The paper's faces and teacher are Google's own. The row that is printed as
.75 and 128 has the cost of .75 and 160. Optimiser and schedule are those of its section 3.2; the
paper does not state the length. It has not been run to the end here: that takes days on a GPU.
"""

LABELS_EMBED = TrainEmbed(
    preset="labels",
    fit=replace(MODERN.fit, epochs=40, batch_size=64, lr=2e-3, ema_decay=0.995, eval_every=5),
)
"""From identities, from scratch.

``tools/train_embed.py --data FACES``, and ``--objective triplet``.
"""

DISTILL_EMBED = replace(
    LABELS_EMBED, preset="distill", fit=replace(LABELS_EMBED.fit, weight_decay=0.0)
)
"""From a teacher alone, as in the paper but with a faster optimiser.

``tools/train_embed.py --data FACES --teacher TEACHER``.
"""

FINETUNE_EMBED = replace(
    LABELS_EMBED,
    preset="finetune",
    fit=replace(LABELS_EMBED.fit, epochs=15, lr=5e-4, frozen_epochs=1, ema_decay=0.99),
)
"""From existing weights: those of faces, or of ImageNet."""

DEMO_EMBED = replace(
    LABELS_EMBED,
    preset="demo",
    model=EmbedderSpec(alpha=0.25, size=64, stem_stride=1, dim=64),
    fit=replace(LABELS_EMBED.fit, epochs=20, lr=4e-3, ema_decay=0.98, eval_every=10),
)
"""Built-in faces, sized for two CPU cores: ``tools/train_embed.py``."""

EMBED_PRESETS = Presets(
    (PAPER_EMBED, LABELS_EMBED, DISTILL_EMBED, FINETUNE_EMBED, DEMO_EMBED),
    with_data="labels",
    with_teacher="distill",
)
