"""What runs exports: one record per kind of file, which every door goes by."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from tasks.runtime.session import Session

Opens = Callable[[Path, int | None], Session]


@dataclass(frozen=True)
class Runtime:
    """One kind of export in use.

    Attributes:
        target: What tools/export.py calls it.
        title: What people call it.
        package: What is installed to run it, by pip's name.
        suffix: Suffix of its files.
        session: Function from file and threads (None for one per core) to the graph, ready to run;
            it raises :class:`~datasets.errors.InputError` if the runtime is not installed or does
            not accept the file.
        beside: Suffixes of further files beside it, that it cannot do without.
        is_ours: Whether a file of that suffix may be an export of this suite; others of the same
            kind are not ours to run so.
        square: Its graphs take one image that the host made a square, none of any size.
        int8: They may compute in 8 bits.
        folder: An export is a folder of that suffix, not a file.
    """

    target: str
    title: str
    package: str
    suffix: str
    session: Opens
    beside: tuple[str, ...] = ()
    is_ours: Callable[[Path], bool] = lambda _path: True
    square: bool = False
    int8: bool = False
    folder: bool = False

    def files(self, file: Path) -> list[Path]:
        """All files of an export: those beside it first, the one that is named last."""
        return [*(file.with_suffix(suffix) for suffix in self.beside), file]

    @property
    def version(self) -> str | None:
        """Of what runs it; None if that is not installed."""
        # ONNX Runtime comes in packages of several names.
        others = metadata.packages_distributions().get(self.package.replace("-", "_"), ())
        for name in (self.package, *others):
            with suppress(metadata.PackageNotFoundError):
                return metadata.version(name)
        return None

    def size(self, file: Path) -> int:
        """Bytes of an export, all its files together."""
        parts = [part for one in self.files(file) for part in (one, *one.rglob("*"))]
        return sum(part.stat().st_size for part in parts if part.is_file())


def _session(module: str, name: str) -> Opens:
    """What opens a runtime's graphs; it is imported once it is asked for."""

    def opens(path: Path, threads: int | None) -> Session:
        session: Session = getattr(import_module(f".{module}", __package__), name)(path, threads)
        return session

    return opens


def _is_our_litert(path: Path) -> bool:
    from tasks.runtime.litert_notes import carries_card

    return carries_card(path)


RUNTIMES: tuple[Runtime, ...] = (
    Runtime(
        "onnx",
        "ONNX Runtime",
        "onnxruntime",
        ".onnx",
        _session("onnx_session", "OnnxSession"),
        int8=True,
    ),
    Runtime(
        "openvino",
        "OpenVINO",
        "openvino",
        ".xml",
        _session("openvino_session", "OpenVinoSession"),
        beside=(".bin",),
    ),
    Runtime(
        "litert",
        "LiteRT",
        "ai-edge-litert",
        ".tflite",
        _session("litert_session", "LiteRtSession"),
        is_ours=_is_our_litert,
        square=True,
        int8=True,
    ),
    Runtime(
        "executorch",
        "ExecuTorch",
        "executorch",
        ".pte",
        _session("executorch_session", "ExecuTorchSession"),
        square=True,
        int8=True,
    ),
    Runtime(
        "coreml",
        "Core ML (in an interpreter of this suite)",
        "coremltools",
        ".mlpackage",
        _session("coreml_session", "CoreMlSession"),
        square=True,
        folder=True,
    ),
)
"""The runtime of each export target, in the order of messages."""


def runtime_of(path: Path) -> Runtime | None:
    """By a file's name what runs it, if it is meant as an export; else None."""
    return next((one for one in RUNTIMES if one.suffix == path.suffix), None)


def runtime_named(target: str) -> Runtime:
    """By the target's name. Raises KeyError if there is none."""
    return {one.target: one for one in RUNTIMES}[target]
