"""The data of the face tool: from a path to examined faces of people to train and evaluate on."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from configs.face_embedding import TrainEmbed
from datasets.errors import InputError
from datasets.identities.augmentation import FaceTransform
from datasets.identities.opening import (
    find_face_parts,
    open_faces,
    place_faces,
    shares_people,
    tell_faces,
    without_people,
)
from datasets.identities.sampler import IdentitySampler
from datasets.identities.structure import FaceData, keep_identities
from datasets.labels.checking import examine_labels
from datasets.labels.torch_set import LabelledSet, collate_labels, finish_labels
from datasets.loader import EpochSampler, ResumableLoader
from datasets.spec import Split
from datasets.splitting import lowest, name_shares
from datasets.types import LabelBatch
from tasks.face_embedding.evaluator import FaceEvaluator
from tasks.face_embedding.load import TrainedOn, digest_of
from tasks.face_embedding.spec import FaceSpec
from tasks.fitting.engine import rank_and_world
from tasks.weights.card import Card
from tools import cli
from tools.flows import photo_loaders
from tools.flows.photo_loaders import augmentation, exam_loader
from tools.flows.recipe import Loading, Ready

_FOLD = 10
_ALIGNED = 112


def open_both(config: TrainEmbed, path: Path) -> tuple[FaceData, FaceData]:
    """Open the training and the evaluation data of a configuration; they share no people.

    Args:
        config: The configuration.
        path: Path of the training data.

    Raises:
        InputError: If the data cannot be used, or their faces are aligned differently.
    """
    faces, size = config.faces, config.model.size
    if config.val is None:
        fold = left_out_fold(config, path)
        train = open_faces(path, "train", fold=fold)
        val = open_faces(path, "val", fold=fold)
    else:
        val = open_faces(config.val, "val", whole=True)
        everyone = open_faces(path, "train", whole=True)
        train = everyone if val.format == "bin" else without_people(everyone, val)
        left = len(everyone.classes) - len(train.classes)
        if val.format == "bin":
            cli.say(f"note: {config.val} does not state who its people are; some may be in {path}")
        elif left:
            cli.say(f"left out of {path}: {left} people of {config.val}")
    train = _examine("train", _place(train, faces, size))
    val = _examine("val", _place(val, faces, size), train)
    if train.alignment != val.alignment:
        raise InputError(
            f"{train.root}: faces stand as {train.alignment!r}, but those of {val.root} as "
            f"{val.alignment!r}: a network cannot learn one from the other. Align both, or say "
            "--alignment if they do stand alike"
        )
    return train, val


def left_out_fold(config: TrainEmbed, path: Path) -> int | None:
    """Fold of the pairs of ``--data`` that is tested: the given one, or the last for LFW."""
    if config.val is not None:
        return None
    return config.faces.fold or (_FOLD if shares_people(path) else None)


def open_part(
    path: Path, split: Split | None, faces: FaceSpec, size: int, told: TrainedOn | None
) -> tuple[FaceData, str]:
    """Open and examine the data on which a model is to be evaluated.

    Without a split it is everything; for the data that the model was trained on, it is the part or
    fold that was left out.

    Args:
        path: Path of the data.
        split: Requested part.
        faces: Alignment and fold.
        size: Side of the model's input in pixels.
        told: What the model was trained on; None if unknown.

    Returns:
        The data; and a warning, empty unless it contains people that the model was trained on.

    Raises:
        InputError: If it cannot be used.
    """
    if split == "train" and faces.fold is not None:
        raise InputError(f"--fold {faces.fold}: of pairs to test on; --split train has none")
    if told is None:
        cli.say("note: the weights do not state whom they were trained on; some may be measured")
    trained, left_out = _trained_people(path, told)
    fold = faces.fold
    if told is not None and left_out and fold is None and split != "all":
        fold = told.left_out_fold
        which = "the part" if fold is None else f"fold {fold}"
        if split not in ("train", "test"):
            cli.say(f"the weights were trained on {path}: measuring {which} that was left out")
    data = open_faces(path, split or "val", fold=fold, whole=split is None and not left_out)
    measured = {data.classes.names[label] for label in set(data.labels.tolist())}
    known = len(measured & trained)
    warning = (
        f"{known} of the {len(measured)} people are in the data that the weights were trained on, "
        "so the figures are not those of strangers: measure "
        + ("without --split and --fold, or " if left_out else "")
        + "other people"
    )
    return _examine(split or "val", _place(data, faces, size)), warning if known else ""


def tell_measured(path: Path, split: Split | None, data: FaceData) -> str:
    """Description of what was opened of a path; empty if it was already printed."""
    parts = find_face_parts(path, named=True) or ()
    if split is None and len(parts) < 2:
        return "" if data.pairs is None else f"the pairs of {path}"
    return tell_faces(path, split or "val", parts, hint=split is None)


def _trained_people(path: Path, told: TrainedOn | None) -> tuple[set[str], bool]:
    """People in some data that a model was trained on, and whether others were left out."""
    names: set[str] = set()
    if told is None:
        return names, False
    for whole in (False, True):
        try:
            fold = None if whole else told.left_out_fold
            names = set(open_faces(path, "train", fold=fold, whole=whole).classes.names)
        except ValueError:  # Not laid out as the training data: pairs alone, no such fold.
            continue
        if digest_of(names) == told.people:
            return names, not whole
    # With people of --val left out. Older cards contain a path.
    same = told.trained_on.endswith(f" {digest_of(names)}")
    same = same or Path(told.trained_on).resolve() == path.resolve()
    return (names if same else set()), False


def name_of_all(path: Path) -> str:
    """Last component of the data's path, for a public card, and the digest of all its people."""
    try:
        people = open_faces(path, "train", whole=True).classes.names
    except ValueError:  # Pairs that cannot be had as a whole.
        return path.resolve().name
    return f"{path.resolve().name} {digest_of(people)}"


def _place(data: FaceData, faces: FaceSpec, size: int) -> FaceData:
    return place_faces(
        data,
        alignment=None if faces.alignment == "auto" else faces.alignment,
        points=faces.points,
        detector=faces.detector,
        side=max(size, _ALIGNED),
    )


def _examine(part: str, data: FaceData, other: FaceData | None = None) -> FaceData:
    """Let the data doctor examine a part, and report its contents and its problems."""
    people = f"{int((data.counts > 0).sum())} people"
    what = people if data.pairs is None else f"{len(data.pairs)} pairs"
    cli.say(f"{part} data: {len(data)} faces, {what}, {data.format}, alignment {data.alignment}")
    if data.pairs is None and (len(data.classes) < 2 or data.counts.max(initial=0) < 2):
        raise InputError(
            f"{part} data: {data.root}: {people}; two or more are needed, and two images of one"
        )
    if data.archive is not None:  # A damaged image is told when it is met.
        return data
    checkup = examine_labels(data, other)
    checkup.raise_if_refused(f"{part} data")
    told = [finding for finding in checkup.findings if "classes" not in finding.kind]
    for finding in told[:5]:
        cli.say(f"  {finding}")
    if len(told) > 5:
        cli.say(f"  ... and {len(told) - 5} more")
    mended = checkup.data
    assert isinstance(mended, FaceData)
    return mended


def some_people(data: FaceData, share: float) -> tuple[FaceData, FaceData]:
    """The faces of the other people, and of some people with about a share of all images.

    Raises:
        InputError: If one side would have fewer than two people.
    """
    names = np.array(data.classes.names)
    mine = lowest(name_shares(names[data.labels].tolist()), share)
    some = set(names[data.labels[mine]].tolist())
    others = set(names[data.labels].tolist()) - some
    if min(len(some), len(others)) < 2:
        raise InputError(
            f"{data.root}: {len(some | others)} people to train on; some of them cannot be held "
            "out, because two or more are needed on each side"
        )
    return keep_identities(data, others), keep_identities(data, some)


def make_measured(data: FaceData, card: Card, loading: Loading) -> Ready[FaceData, FaceEvaluator]:
    """Loader and evaluator of faces, aligned as a model needs them."""
    loader = exam_loader(data, card, loading, FaceTransform)
    return Ready(data, loader, FaceEvaluator(data.labels, data.pairs))


def training_loader(
    config: TrainEmbed, data: FaceData, workers: int
) -> ResumableLoader[LabelBatch]:
    """This process's share of the augmented faces of each epoch, in complete batches."""
    seed, (rank, world) = config.common.seed, rank_and_world()
    draws = EpochSampler(len(data), shuffle=True, seed=seed, rank=rank, world=world)
    together = config.loss.per_identity
    if config.uses_labels and config.loss.objective == "triplet" and together > 1:
        draws = IdentitySampler(data.labels, together, seed=seed, rank=rank, world=world)
    faces = LabelledSet(data, augmentation(config, FaceTransform), seed, cache=config.cache)
    size = config.fit.batch_size
    return ResumableLoader(faces, draws, collate_labels, finish_labels, size, workers)


view_loader = partial(photo_loaders.view_loader, transform=FaceTransform)
"""The faces of :func:`training_loader`, in the order of the data, all on each process."""
