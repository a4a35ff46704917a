"""All applications. To add one, write its folder and name its record here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from datasets.errors import InputError
from tasks.application import Application, PhotoApplication
from tasks.classification.application import BODY, CLASSIFICATION
from tasks.dcgan.application import DCGAN
from tasks.detection.application import DETECTION
from tasks.face_attributes.application import FACE_ATTRIBUTES
from tasks.face_embedding.application import FACE_EMBEDDING
from tasks.geolocation.application import GEOLOCATION
from tasks.multitask.application import MULTITASK
from tasks.runtime.open import is_export

APPLICATIONS: tuple[Application, ...] = (
    CLASSIFICATION,
    DETECTION,
    GEOLOCATION,
    FACE_ATTRIBUTES,
    FACE_EMBEDDING,
    MULTITASK,
    DCGAN,
    BODY,
)


def application_named(name: str, path: Path | str) -> Application:
    """The application of a given name. Raises InputError if there is none."""
    for application in APPLICATIONS:
        if application.name == name:
            return application
    known = ", ".join(one.name for one in APPLICATIONS)
    raise InputError(f"{path}: is for {name!r}, which is none of the applications here: {known}")


def original_application(path: Path) -> PhotoApplication[Any] | None:
    """The application that runs a file of another format directly; None if none does.

    An export of this suite is not such a file, whatever its suffix.

    Args:
        path: The file.

    Raises:
        InputError: If there is no such file, or it is damaged.
    """
    if is_export(path):
        return None
    for application in APPLICATIONS:
        if isinstance(application, PhotoApplication):
            original = application.originals.get(path.suffix)
            if original is not None and original.claims(path):
                return application
    return None


def photo_application(name: str, path: Path | str) -> PhotoApplication[Any]:
    """The application of a given name. Raises InputError if there is none or it has no answers."""
    application = application_named(name, path)
    if not isinstance(application, PhotoApplication):
        raise InputError(f"{path}: weights for {name} answer no images")
    return application
