"""Presets of the face embeddings. Each docstring is its lab note: table, command, result."""

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
    """The teacher, and how much it counts: squared difference of embeddings of length one."""

    teacher: str | None = None
    """Learn from a teacher: a run folder or weights file of this tool; or MODULE:FUNCTION, Python
    that turns pictures (B, 3, S, S) of 0..255 into embeddings (B, --dim). It sees pictures as the
    student does."""
    teacher_weights: tyro.conf.Suppress[Path | None] = None
    """Of classifiers alone."""
    temperature: tyro.conf.Suppress[float] = 4.0
    """Of classes alone."""
    distill_weight: float = 1.0
    """Share of the teacher's loss, the rest being the identities'; at 1, as in the paper, nobody
    needs to know who is in the photos."""
    top_k: tyro.conf.Suppress[int] = 50
    """Of classes alone."""


@dataclass(frozen=True)
class TrainEmbed(TaughtTraining):
    """Train and evaluate a network of face embeddings, from identities or from a teacher.

    Without --data it trains on built-in faces. It is measured on people that it has not been
    trained on. Everything it needs is in the run folder afterwards: weights with their card,
    report.html, pairs.csv, checkpoint, metrics, configuration. It is --out, by default
    runs/<preset>/<time>. With --grid it is a folder of runs with one table.
    """

    preset: EmbedPreset = "auto"
    """Recipe: auto is demo without --data, distill with --teacher, finetune with --weights, else
    labels."""
    data: Path | None = None
    """Folder with a folder of photos per identity, as it is or in train/ and val/; LFW's (the
    same with pairs.txt); or RecordIO: a .rec file with its .idx, or their folder."""
    val: Path | None = None
    """Data to evaluate on: any of these, or a .bin file of pairs; all of --data is then trained
    on, but for people of the same name. By default --data's own pairs, or all pairs of a fifth of
    its people."""
    weights: Path | None = None
    """Run folder or weights file to start from, of any task with the same body."""
    grid: tuple[str, ...] = ()
    """Train one run for each combination, as alpha=1,.75 size=160,128; a + begins another group.
    They are compared by accuracy on pairs, or by AUC where all photos are compared. Keys: the
    flags of the network (alpha, size, dim and the others) and of the fit (lr, epochs and the
    others), and seed."""
    model: EmbedderSpec = field(default_factory=EmbedderSpec)
    loss: EmbedLossSpec = field(default_factory=EmbedLossSpec)
    distill: EmbeddingDistillSpec = field(default_factory=EmbeddingDistillSpec)
    faces: FaceSpec = field(default_factory=FaceSpec)
    augment: FaceAugmentation = "face"
    """face: shifts, turns and scales by little, light, and the flip; flip; none."""
    crop: float = 1.0
    """Share of a photo's short side that is cut out of its centre, in training and after it: .45
    for LFW's photos of 250 pixels, whose middle 112 are the face."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.distill.refuse_unused(self.loss)
        if self.faces.fold is not None and self.val is not None:
            raise InputError(f"--fold {self.faces.fold}: of --data's own pairs; leave out --val")

    @property
    def uses_labels(self) -> bool:
        """Whether it is learnt who is in the photos."""
        return not self.distill.is_on or self.distill.distill_weight < 1


PAPER_EMBED = TrainEmbed(
    preset="paper",
    model=EmbedderSpec(size=160),
    fit=replace(PAPER_CLS.fit, epochs=60, eval_every=10),
)
"""Table 14: 79.4 % at a FAR of 1e-4 at full width and 160 pixels; FaceNet, its teacher, 83.

``tools/train_embed.py --preset paper --data FACES --teacher TEACHER``, and ``--alpha .75``,
``--size 128``. The paper's section 4.7: the student minimises the squared difference to FaceNet's
embeddings. Faces and teacher are Google's own. The row that is printed .75 and 128 has the cost
of .75 and 160. Optimiser and schedule are those of its section 3.2; the length is not in it. Not
run to its end here: it takes days of a GPU.
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
"""From a teacher alone, in the paper's way with a faster optimiser.

``tools/train_embed.py --data FACES --teacher TEACHER``.
"""

FINETUNE_EMBED = replace(
    LABELS_EMBED,
    preset="finetune",
    fit=replace(LABELS_EMBED.fit, epochs=15, lr=5e-4, frozen_epochs=1, ema_decay=0.99),
)
"""From existing weights: of faces, or of ImageNet."""

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
