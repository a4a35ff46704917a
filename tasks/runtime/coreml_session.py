"""Core ML packages, computed by an interpreter of our own: Apple's runtime is on macOS alone."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from tasks.runtime.mil.program import MilProgram
from tasks.runtime.session import CARD_KEY, FACTS_KEY, Image

# The note that tells of each output the feature that it is in Core ML, and its kind of number:
# {"present": ["present", "bool"]}.
OUTPUTS = "outputs"


class CoreMlSession:
    """A package's program, computed by NumPy as Core ML defines its operators.

    Args:
        path: The folder.
        threads: Left to NumPy's own settings.

    Raises:
        InputError: If coremltools is not installed, or the folder is no package that can be
            computed here.
    """

    single = True

    def __init__(self, path: Path, threads: int | None = None) -> None:
        model = read_model(path)
        told = model.description.metadata.userDefined
        self.notes = {name: told[name] for name in (CARD_KEY, FACTS_KEY) if name in told}
        self._inputs = [one.name for one in model.description.input]
        try:
            self._features: dict[str, list[str]] = json.loads(told.get(OUTPUTS, "{}"))
            self._program = MilProgram(model.mlProgram, _weights_file(path))
        except Exception as error:  # Of damaged parts of a program nearly anything is raised.
            raise InputError(f"{path}: not a Core ML program that runs here ({error})") from error
        self.outputs = list(self._features)

    def run(self, *images: Image) -> list[NDArray[Any]]:
        """Outputs for images (1, S, S, 3): for each of its inputs, in their order."""
        pictures = [image.transpose(0, 3, 1, 2).astype(np.float32) for image in images]
        found = self._program.run(dict(zip(self._inputs, pictures, strict=True)))
        return [found[name].astype(kind) for name, kind in self._features.values()]


def import_coreml(path: Path) -> Any:
    """The package, which need not be installed. Raises InputError if it is not installed."""
    # It tells of every library that it was not tried with, and that Apple's runtime is not here.
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import coremltools
    except ImportError as error:
        raise InputError(f"{path}: needs coremltools: pip install coremltools") from error
    finally:
        logging.disable(before)
    return coremltools


def model_file(path: Path) -> Path:
    """The description and program of a package."""
    return path / "Data" / "com.apple.CoreML" / "model.mlmodel"


def read_model(path: Path) -> Any:
    """The message ``Model`` of a package.

    Raises:
        InputError: If coremltools is not installed, or the folder is none with an ML program.
    """
    proto = import_coreml(path).proto.Model_pb2
    try:
        model = proto.Model.FromString(model_file(path).read_bytes())
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read as a Core ML package ({error.strerror or error})"
        ) from error
    except Exception as error:  # Its parser's error has no public name.
        raise InputError(f"{path}: not a Core ML package ({error})") from error
    if model.WhichOneof("Type") != "mlProgram" or "main" not in model.mlProgram.functions:
        raise InputError(f"{path}: holds no ML program, as .mlpackage folders of this suite do")
    return model


def _weights_file(path: Path) -> Path:
    return model_file(path).parent / "weights" / "weight.bin"
