"""Opens a student's teacher, and stores its targets for a whole training."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from configs.training import PhotoTraining
from datasets.errors import InputError
from datasets.shards.tar import ShardedData
from datasets.types import ClassMap
from tasks.distillation.spec import DistillSpec
from tasks.distillation.target_source import TargetSource
from tasks.distillation.targets import BLOCK, Answers, TargetHeader, TargetStore, look_of
from tasks.distillation.teacher import Teacher
from tasks.fitting.engine import local_device, rank_and_world, use_bf16
from tools import cli
from tools.flows.photo_loaders import Data, Loader, view_loader

# Function of configuration, data, number of loader processes and batch size.
View = Callable[[Any, Any, int, int], Loader]
# Number of images that a storing teacher sees at once; a divisor of the store's blocks.
_BATCH = 128


def open_target_source(
    config: PhotoTraining,
    data: Data,
    device: str,
    *,
    find: Callable[[DistillSpec, ClassMap], Teacher],
    answers: Answers = "classes",
    view: View = view_loader,
    augment: str | None = None,
) -> TargetSource | None:
    """Source of teacher targets for the student of a configuration, if any.

    If targets are to be stored, all that the training needs are stored now.

    Args:
        config: Configuration of the student.
        data: Training data.
        device: Device of the teacher.
        find: Function that opens the teacher in a spec, for the classes of the data.
        answers: Kind of the teacher's answers.
        view: Function that loads the images as the student will see them, in the order of the
            data.
        augment: Description of the augmentation, if ``config.augment`` is not complete.

    Raises:
        InputError: If the teacher is not available or lacks the classes, or stored targets are of
            another teacher, other images or too few.
    """
    spec, size = config.distill, config.model.size
    if not spec.is_on:
        return None
    teacher = None
    if spec.teacher is not None:
        teacher = find(spec, data.classes).to(local_device(device))
        teacher.check(len(data.classes), size)
        if config.fit.compile:
            teacher.compile()
        if spec.targets is None:
            known = teacher.fingerprint(size, softmax=answers == "classes")
            return TargetSource(spec, teacher.name, known, teacher)
    assert spec.targets is not None
    store = TargetStore(
        spec.targets, _header(config, data, teacher, answers, view, augment or config.augment)
    )
    _fill(store, teacher, config, data, view)
    header = store.header
    assert header.teacher is not None
    assert header.fingerprint is not None
    return TargetSource(spec, header.teacher, header.fingerprint, store)


def _header(
    config: PhotoTraining,
    data: Data,
    teacher: Teacher | None,
    answers: Answers,
    view: View,
    augment: str,
) -> TargetHeader:
    size = config.model.size
    softmax = answers == "classes"
    with_look = view(config, data, 0, _BATCH)
    return TargetHeader(
        teacher=None if teacher is None else teacher.name,
        fingerprint=None if teacher is None else teacher.fingerprint(size, softmax=softmax),
        size=size,
        augment=augment,
        interpolation=config.interpolation,
        seed=config.common.seed,
        data=_digest(data),
        photos=len(data),
        classes=len(data.classes),
        top_k=config.distill.top_k,
        looks=look_of(next(iter(with_look))["images"]),
        answers=answers,
    )


def _digest(data: Data) -> str:
    """Digest of names, labels and classes, independent of where the data is."""
    if isinstance(data, ShardedData):
        rows = zip((shard.name for shard in data.shards), data.counts.tolist(), strict=True)
    else:
        names = (str(file).removeprefix(f"{data.root}/") for file in data.files)
        rows = zip(names, data.labels.tolist(), strict=True)
    digest = hashlib.sha256(repr(data.classes.names).encode())
    for name, number in rows:
        digest.update(f"\n{name} {number}".encode())
    return digest.hexdigest()[:16]


def _fill(
    store: TargetStore, teacher: Teacher | None, config: PhotoTraining, data: Data, view: View
) -> None:
    """Store the targets that a training needs and that are missing."""
    epochs = config.fit.epochs
    missing = store.missing(epochs)
    if not missing:
        cli.say(f"learning from {epochs} epochs of targets stored in {store.folder}")
        return
    if teacher is None:
        raise InputError(
            f"--targets {store.folder}: holds no targets of epoch {missing[0][0]} of {epochs}; "
            f"name the --teacher ({store.header.teacher}) to store them, or train fewer --epochs"
        )
    if rank_and_world()[1] > 1:
        raise InputError(
            f"--targets {store.folder}: targets are stored by one process: run the same command "
            "without torchrun first; it may be stopped when the training begins"
        )
    cli.say(f"storing targets of {epochs} epochs in {store.folder}")
    loader = view(config, data, cli.choose_workers(config.workers), _BATCH)
    device = torch.device(teacher.device).type
    bf16 = use_bf16(config.fit.precision, device)
    try:
        with (
            torch.autocast(device, torch.bfloat16, enabled=bf16),
            tqdm(total=epochs * len(data), desc="storing targets", unit="image") as bar,
        ):
            for epoch, blocks in itertools.groupby(missing, key=lambda key: key[0]):
                _store_epoch(store, teacher, loader, epoch, next(blocks)[1], bar)
    finally:
        loader.close()


def _store_epoch(
    store: TargetStore, teacher: Teacher, loader: Loader, epoch: int, first: int, bar: tqdm[Any]
) -> None:
    """Store an epoch's targets, beginning with a block."""
    loader.load_state_dict({"epoch": epoch, "batches": first * BLOCK // _BATCH})
    block, rows = first, store.empty(first)
    bar.update(epoch * store.header.photos + first * BLOCK - bar.n)
    for batch in loader:
        indices = np.array(batch["image_ids"])
        if indices[0] // BLOCK != block:
            store.write(epoch, block, rows)
            block = int(indices[0] // BLOCK)
            rows = store.empty(block)
        images = batch["images"].to(teacher.device)
        images = images.contiguous(memory_format=torch.channels_last)
        rows[indices - block * BLOCK] = store.rows(teacher(images))
        bar.update(len(indices))
    store.write(epoch, block, rows)
