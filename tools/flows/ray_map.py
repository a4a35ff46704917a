"""Prediction by Ray Data, which divides the images among processes and replaces those it loses.

Images are listed here, as predict.py does it, and read where they are answered for. A row of the
data set is a batch of images, so that each batch is the one that predict.py computes too.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from configs.predict_ray import PredictRay
from datasets.errors import InputError
from datasets.images import Image
from datasets.locks import unfinished
from datasets.names import shown, shown_in
from tasks.find_model import file_of_head
from tasks.runtime.open import is_export
from tasks.weights.atomic_write import replace_folder
from tools import cli
from tools.flows.opening import open_to_answer
from tools.flows.pictures import batches
from tools.flows.sources import Entry, Sources, open_sources

_INSTALL = "predict_ray.py needs Ray: pip install 'mobilenet-suite[ray]'"
# Most batches in a block, which Ray sends as one, and computes again if it is lost; and the least
# number of blocks for each process, so that none is idle.
_BATCHES, _BLOCKS = 8, 4
# Number of unreadable files that are listed in the terminal.
_LISTED = 20
Numbered = tuple[int, Entry]


def predict_by_ray(args: PredictRay) -> tuple[dict[str, Any], str]:
    """Answer for all images, and write a row for each.

    Args:
        args: Flags.

    Returns:
        The result as data and as text.

    Raises:
        InputError: If flags, model or files do not fit, or Ray is not installed.
    """
    weights, _ = file_of_head(args.weights, args.head)
    args = replace(args, weights=weights.absolute())
    out = args.common.out or Path("predictions.parquet")
    if out.exists():
        raise InputError(f"--out {out}: is there already; delete it, or name another")
    application = open_to_answer(args).application
    if application.compares:
        raise InputError(
            f"{args.weights}: {application.name} compares images with each other, which needs "
            "all of them at once: use predict.py"
        )
    if args.common.out is not None:
        cli.tidy(out)
    with open_sources(args.paths, out) as sources:
        if sources.films:
            raise InputError("videos and streams are for predict.py; name images")
        if application.use_note:
            cli.say(application.use_note)
        beside = out.with_name(unfinished(out.name))
        try:
            with _ray(args) as ray:
                beside.mkdir(parents=True)
                _map(ray, args, sources, beside)
            errors = _checked(beside, sources.count)
            replace_folder(beside, out)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    for error in errors[:_LISTED]:
        cli.say(f"warning: {error}")
    counts = {"images": sources.count - len(errors), "unreadable": len(errors)}
    text = f"{counts['images']} images, {counts['unreadable']} unreadable: {out}"
    return {"folder": out, "counts": counts}, text


@contextmanager
def _ray(args: PredictRay) -> Iterator[Any]:
    """Ray, on this machine or on a cluster; it is left at the end. Raises InputError."""
    # Before it is imported. It would otherwise send reports about its use.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if not args.address:
        # On every system: without clusters Ray listens at the loopback address only.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import pyarrow  # noqa: F401
        import ray
        import ray.data
    except ImportError as error:
        raise InputError(f"{_INSTALL} ({error})") from error
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    try:
        if args.address:
            ray.init(address=args.address, **quiet)
        else:
            # Two more than the models need, for the tasks that write: without them Ray waits for
            # ever.
            cpus = args.workers * args.threads + 2
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **quiet)
    except (ConnectionError, ValueError) as error:
        raise InputError(f"--address {args.address}: no Ray cluster there ({error})") from error
    try:
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        ray.data.DataContext.get_current().enable_progress_bars = sys.stderr.isatty()
        yield ray
    finally:
        ray.shutdown()


def _map(ray: Any, args: PredictRay, sources: Sources, folder: Path) -> None:
    """Answer for all images, and write the rows below a folder."""
    on_gpu = args.common.device == "cuda"
    given = replace(args, common=replace(args.common, out=None, threads=args.threads))
    answered = ray.data.from_arrow_refs(list(_blocks(ray, args, sources))).map_batches(
        AnswerBatches,
        fn_constructor_args=(given, str(Path.cwd())),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=args.workers),
        num_cpus=args.threads,
        num_gpus=1 if on_gpu else 0,
    )
    answered.write_parquet(str(folder.absolute()))


def _blocks(ray: Any, args: PredictRay, sources: Sources) -> Iterator[Any]:
    """References to tables of batches, each pickled as Ray pickles everything that it sends."""
    import pyarrow

    size = sources.count // (args.batch_size * args.workers * _BLOCKS)
    size = min(max(size, 1), _BATCHES)
    for block in batches(batches(enumerate(sources), args.batch_size), size):
        yield ray.put(pyarrow.table({"batch": [pickle.dumps(batch) for batch in block]}))


class AnswerBatches:
    """A process with a model, which answers for batches of images.

    Args:
        args: Flags.
        folder: Working folder, to which paths are relative.
    """

    def __init__(self, args: PredictRay, folder: str) -> None:
        os.chdir(folder)
        device = cli.prepare_export() if is_export(args.weights) else cli.prepare(args.common)
        self._predictor = open_to_answer(args).predictor(device)

    def __call__(self, table: Any) -> Any:
        """A table of batches to one with a row per image."""
        import pyarrow

        rows: list[dict[str, Any]] = []
        for batch in table["batch"].to_pylist():
            rows += self._rows(pickle.loads(batch))
        text, number = pyarrow.string(), pyarrow.int64()
        columns = {"number": number, "file": text, "width": number, "height": number}
        schema = pyarrow.schema({**columns, "answer": text, "error": text})
        return pyarrow.Table.from_pylist(rows, schema)

    def _rows(self, batch: list[Numbered]) -> Iterator[dict[str, Any]]:
        images: list[Image] = []
        read: list[Numbered] = []
        for number, entry in batch:
            assert entry.read is not None
            try:
                images.append(entry.read())
            except ValueError as error:
                yield {"number": number, "file": shown(entry.name), "error": shown(str(error))}
            else:
                read.append((number, entry))
        answers = self._predictor(images) if images else []
        for (number, entry), image, answer in zip(read, images, answers, strict=True):
            told = shown_in(self._predictor.answers.to_json(answer))
            row = {"number": number, "file": shown(entry.name), "answer": json.dumps(told)}
            yield row | {"width": image.shape[1], "height": image.shape[0]}


def _checked(folder: Path, count: int) -> list[str]:
    """Check that every image has one row; returns why images could not be read, in order."""
    from pyarrow import dataset

    seen = np.zeros(count, np.int64)
    errors: list[tuple[int, str]] = []
    for part in dataset.dataset(folder, format="parquet").to_batches(columns=["number", "error"]):
        numbers = part["number"].to_numpy()
        np.add.at(seen, numbers, 1)
        texts = zip(numbers.tolist(), part["error"].to_pylist(), strict=True)
        errors += [(number, text) for number, text in texts if text is not None]
    if (seen != 1).any():
        lost, doubled = int((seen == 0).sum()), int((seen > 1).sum())
        raise RuntimeError(f"Ray lost {lost} rows and doubled {doubled}: nothing is written")
    return [text for _, text in sorted(errors)]
