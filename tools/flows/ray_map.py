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
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from configs.predict_ray import PredictRay
from datasets.errors import InputError
from datasets.images import Image
from datasets.locks import holding, unfinished
from datasets.names import shown, shown_in
from tasks.find_model import file_of_head
from tasks.predictor import Predictor
from tasks.runtime.open import is_export
from tasks.weights.atomic_write import replace_folder
from tools import cli
from tools.flows.opening import open_to_answer
from tools.flows.pictures import batches
from tools.flows.predicted import LISTED, NONE
from tools.flows.signals import held, stoppable
from tools.flows.sources import Entry, Sources, open_sources

_INSTALL = "predict_ray.py needs Ray: pip install 'mobilenet-suite[ray]'"
# Most batches in a block, which Ray sends as one, and computes again if it is lost; and the least
# number of blocks for each process, so that none is idle.
_BATCHES, _BLOCKS = 8, 4
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
    _require_free(out)
    application = open_to_answer(args).application
    if application.compares:
        raise InputError(
            f"{args.weights}: {application.name} compares images with each other, which needs "
            "all of them at once: use predict.py"
        )
    if application.use_note:
        cli.say(application.use_note)
    with stoppable(), holding(out.with_name(f".{out.name}.lock"), str(out)):
        _require_free(out)
        cli.tidy(out)
        with open_sources(args.paths, out) as sources:
            if sources.films:
                raise InputError("videos and streams are for predict.py; name images")
            beside = out.with_name(unfinished(out.name))
            beside.mkdir(parents=True)
            try:
                with _ray(args) as ray, _errors_of(ray, out):
                    _map(ray, args, sources, beside)
                errors = _checked(beside, sources.count)
                if len(errors) == sources.count:
                    raise InputError(f"{NONE}; the first: {errors[0]}")
                replace_folder(beside, out)
            finally:
                with held():
                    shutil.rmtree(beside, ignore_errors=True)
    for error in errors[:LISTED]:
        cli.say(f"warning: {error}")
    if len(errors) > LISTED:
        cli.say(f"warning: ... and {len(errors) - LISTED} more, in the column error")
    counts = {"images": sources.count - len(errors), "unreadable": len(errors)}
    text = f"{counts['images']} images, {counts['unreadable']} unreadable: {out}"
    return {"folder": out, "counts": counts}, text


def _require_free(out: Path) -> None:
    """Check that nothing is there, not even a link. Raises InputError."""
    if os.path.lexists(out):
        raise InputError(f"--out {out}: is there already; delete it, or name another")


@contextmanager
def _ray(args: PredictRay) -> Iterator[Any]:
    """Ray, on this machine or on a cluster; it is left at the end. Raises InputError."""
    # Before it is imported. It would otherwise send reports about its use.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    # Its C++ parts otherwise print warnings that mean nothing to a user; errors are raised.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if not args.address:
        # On every system: without clusters Ray listens at the loopback address only.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        # Ray crashes if its start is interrupted, and its imports swallow exceptions.
        with held():
            ray = _start(args)
            if _on_gpu(args):
                _require_gpus(ray, args)
        yield ray
    except SystemExit:  # Its start replaces the handler of SIGTERM.
        raise KeyboardInterrupt from None
    finally:
        if started := sys.modules.get("ray"):
            with held():
                started.shutdown()


def _start(args: PredictRay) -> Any:
    """Start Ray, or connect to a cluster. Raises InputError if that is not possible."""
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
        flag = f"--address {args.address}: no Ray cluster there" if args.address else "no Ray"
        raise InputError(f"{flag} ({error})") from error
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # Errors are raised.
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = sys.stderr.isatty()
    context.raise_original_map_exception = True
    return ray


@contextmanager
def _errors_of(ray: Any, out: Path) -> Iterator[None]:
    """Raise what failed in another process as it was raised there: InputError or OSError."""
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, InputError):
            # Ray adds a line on its own settings.
            raise InputError(str(cause).partition("\nFailed to ")[0]) from None
        if isinstance(cause, OSError) and cause.errno:
            raise OSError(cause.errno, cause.strerror, str(out)) from None
        raise


def _require_gpus(ray: Any, args: PredictRay) -> None:
    """Check that each process can have a GPU: Ray would wait for ever. Raises InputError."""
    gpus = int(ray.cluster_resources().get("GPU", 0))
    if gpus < args.workers:
        raise InputError(
            f"--workers {args.workers}: each needs a GPU with --device {args.common.device}, and "
            f"Ray has {gpus}; give --workers {gpus}"
            if gpus
            else f"--device {args.common.device}: Ray has no GPU; take --device cpu"
        )


def _on_gpu(args: PredictRay) -> bool:
    """Whether each process takes a GPU: exports run on the CPU."""
    return args.common.device.startswith("cuda") and not is_export(args.weights)


def _map(ray: Any, args: PredictRay, sources: Sources, folder: Path) -> None:
    """Answer for all images, and write the rows below a folder."""
    given = replace(args, common=replace(args.common, out=None, threads=args.threads))
    blocks = list(_blocks(ray, args, sources))
    answered = ray.data.from_arrow_refs(blocks).map_batches(
        AnswerBatches,
        fn_constructor_args=(given, str(Path.cwd())),
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=min(args.workers, len(blocks))),
        num_cpus=args.threads,
        num_gpus=1 if _on_gpu(args) else 0,
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
        self._args, self._folder = args, folder

    @cached_property
    def _predictor(self) -> Predictor:
        """The model; opened with the first batch, whose errors Ray passes on as they are."""
        os.chdir(self._folder)
        args = self._args
        device = cli.prepare_export() if is_export(args.weights) else cli.prepare(args.common)
        return open_to_answer(args).predictor(device)

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
        predictor = self._predictor
        for number, entry in batch:
            assert entry.read is not None
            try:
                images.append(entry.read())
            except ValueError as error:
                yield {"number": number, "file": shown(entry.name), "error": shown(str(error))}
            else:
                read.append((number, entry))
        answers = predictor(images) if images else []
        for (number, entry), image, answer in zip(read, images, answers, strict=True):
            told = shown_in(predictor.answers.to_json(answer))
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
