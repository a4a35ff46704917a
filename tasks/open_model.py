"""Opens a run folder, weights file or export of any application.

::

    model = open_model(Path("runs/mine"))
    predictor = model.predictor("cpu")
    for answer in predictor([image]):  # (H, W, 3) uint8 RGB
        print(predictor.answers.line(answer))
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from datasets.errors import InputError
from tasks.applications import original_application, photo_application
from tasks.predictor import Model, load_network
from tasks.runtime.open import is_export, open_export, read_card


def open_model(
    path: Path,
    given: Iterable[object] = (),
    *,
    threads: int | None = None,
    head: str | None = None,
) -> Model:
    """Open a model of any application.

    Args:
        path: Run folder, weights file or export.
        given: Options of any applications; the model's picks its own.
        threads: CPU threads of an export; None means one per core.
        head: For an export of several heads, name of the head that answers.

    Raises:
        InputError: If it is missing, damaged or inconsistent, or takes no images.
    """
    if is_export(path):
        export = open_export(path, threads, head)
        application = photo_application(export.task, path)
        return Model(application, export.card, path, application.pick(given), export=export)
    application = photo_application(read_card(path).task, path)
    options = application.pick(given)
    network, card = load_network(path, application, options)
    return Model(application, card, path, options, network=network)


def open_any(
    path: Path,
    given: Iterable[object] = (),
    *,
    threads: int | None = None,
    head: str | None = None,
    labels: Path | None = None,
) -> Model:
    """Open a model of this suite, or a file of another format that an application runs as it is.

    Arguments are those of :func:`open_model` and :func:`open_original`.

    Raises:
        InputError: For the same reasons as there, or if ``labels`` are given to a model that names
            its own classes.
    """
    model = open_original(path, given, labels)
    if model is None:
        if labels is not None:
            raise InputError(f"--labels {labels}: {path} names its own classes")
        model = open_model(path, given, threads=threads, head=head)
    return model


def open_original(
    path: Path, given: Iterable[object] = (), labels: Path | None = None
) -> Model | None:
    """Open a file of another format that an application runs directly; None if none does.

    The application is chosen by the suffix.

    Args:
        path: The file.
        given: Options of any applications; the application picks its own.
        labels: Text file with its classes, one per line; by default those that import_weights.py
            uses.

    Raises:
        InputError: If it cannot be run, or there are too few or too many classes.
    """
    application = original_application(path)
    if application is None:
        return None
    options = application.pick(given)
    network, card = application.originals[path.suffix].open(path, options, labels)
    return Model(application, card, path, options, network=network.eval(), original=True)
