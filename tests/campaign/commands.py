"""All tools that write, on tiny data, and how they go on after a kill."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.builtin.faces import draw_faces
from datasets.builtin.identities import draw_identities
from datasets.builtin.places import draw_places
from datasets.builtin.scenes import draw_scenes
from datasets.builtin.shapes_and_breeds import draw_breeds, draw_shapes, draw_web
from datasets.labels.opening import open_labelled
from tests.backbone.tflite_files import write_classifier
from tests.tools.films import write_film
from tests.tools.page_models import make_models
from tests.tools.weights_files import save_classifier

Args = Sequence[Any]


@dataclass(frozen=True)
class Command:
    """A command line.

    Attributes:
        name: For people.
        tool: That it calls.
        args: From the folder of :func:`write_sets` and the output folder to its arguments.
        resume: The same of the command that goes on after a kill; None repeats the command.
        out: Name of what it writes in the output folder.
        over: The command may be given again, over what it wrote before.
    """

    name: str
    tool: str
    args: Callable[[Path, Path], Args]
    resume: Callable[[Path, Path], Args] | None = None
    out: str = "run"
    over: bool = False


_FIT = ("--preset", "demo", "--workers", 0, "--threads", 1, "--device", "cpu")
_SMALL = (*_FIT, "--alpha", 0.1, "--size", 32, "--batch-size", 8, "--epochs", 3, "--eval-every", 2)
_CELLS = ("--split-above", 40, 12, "--drop-below", 2)


def _train(name: str, tool: str, make: Callable[[Path], Args]) -> Command:
    return Command(
        name,
        tool,
        lambda sets, out: (*make(sets), "--out", out / "run"),
        lambda _, out: ("--resume", out / "run"),
    )


def _write(
    name: str, tool: str, make: Callable[[Path], Args], out: str = "run", *, over: bool = True
) -> Command:
    return Command(
        name, tool, lambda sets, place: (*make(sets), "--out", place / out), out=out, over=over
    )


COMMANDS: tuple[Command, ...] = (
    _train("cls", "train_cls", lambda s: ("--data", s / "classes", *_SMALL)),
    _train(
        "det",
        "train_det",
        lambda s: ("--data", s / "boxes", *_FIT, "--alpha", 0.25, "--size", 64, "--batch-size", 6,
                   "--epochs", 3, "--eval-every", 2),
    ),
    _train("attr", "train_attr", lambda s: ("--data", s / "attributes", *_SMALL)),
    _train(
        "embed",
        "train_embed",
        lambda s: ("--data", s / "embedding", *_FIT, "--alpha", 0.1, "--size", 32,
                   "--stem-stride", 2, "--dim", 8, "--batch-size", 24, "--epochs", 2),
    ),
    _train(
        "geo",
        "train_geo",
        lambda s: ("--data", s / "places", *_FIT, "--size", 32, "--batch-size", 16, "--epochs", 2,
                   *_CELLS),
    ),
    _train(
        "dogs",
        "train_dogs",
        lambda s: ("--data", s / "breeds", "--web", s / "web", *_FIT, "--size", 32,
                   "--batch-size", 16, "--epochs", 2, "--web-epochs", 2, "--copy-bits", 2),
    ),
    _train(
        "gan",
        "train_gan",
        lambda s: ("--data", s / "breeds", "--classes", s / "three.txt", *_FIT, "--size", 32,
                   "--width", 4, "--latent", 8, "--batch-size", 8, "--epochs", 4,
                   "--eval-every", 2, "--cls-epochs", 2, "--cls-batch-size", 8),
    ),
    _train(
        "multi",
        "train_multi",
        lambda s: ("--tasks", *(f"{head}={s / head}" for head in ("classes", "boxes")),
                   *_FIT, "--alpha", 0.1, "--size", 32, "--box-size", 64, "--batch-size", 8,
                   "--epochs", 2, "--eval-every", 2),
    ),
    _train(
        "grid",
        "train_cls",
        lambda s: ("--data", s / "classes", *_SMALL, "--grid", "alpha=.1,.2"),
    ),
    _write("export", "export", lambda s: (s / "models/classification", "--threads", 1), "m.onnx"),
    _write(
        "export-litert",
        "export",
        lambda s: (s / "models/detection", "--target", "litert", "--threads", 1),
        "m.tflite",
    ),
    _write(
        "export-coreml",
        "export",
        lambda s: (s / "models/classification", "--target", "coreml", "--threads", 1),
        "m.mlpackage",
    ),
    _write(
        "int8",
        "export",
        lambda s: (s / "shapes.safetensors", "--int8", "--calibrate", s / "classes",
                   "--threads", 1),
        "m.onnx",
    ),
    _write(
        "evaluate",
        "evaluate",
        lambda s: (s / "shapes.safetensors", "--data", s / "classes", "--workers", 0,
                   "--device", "cpu"),
    ),
    _write(
        "predict",
        "predict",
        lambda s: (s / "models/detection", s / "boxes/val", "--device", "cpu"),
    ),
    _write(
        "predict-video",
        "predict",
        lambda s: (s / "models/detection", s / "film.avi", "--device", "cpu"),
    ),
    _write("convert", "convert", lambda s: (s / "boxes", "--to", "yolo"), over=False),
    _write("convert-labels", "convert", lambda s: (s / "classes", "--to", "shards"), over=False),
    _write("import", "import_weights", lambda s: (s / "foreign.tflite",), "m.safetensors"),
    _write(
        "prune",
        "prune",
        lambda s: (s / "wide/classification", "--alpha", 0.05),
        "m.safetensors",
    ),
    _write("cells", "make_cells", lambda s: (s / "places" / "places.csv", *_CELLS)),
    _write("paper", "paper", lambda _: ("--table", 8)),
)  # fmt: skip


def write_sets(root: Path) -> None:
    """All data and models that the commands take."""
    draw_shapes(root / "classes", num_train=4, num_val=2, size=32)
    draw_faces(root / "attributes", num_identities=16, per_identity=3, size=40)
    draw_places(root / "places", num_photos=160, num_authors=40, size=32)
    draw_identities(root / "embedding", num_identities=67, per_identity=3, num_pairs=3, size=40)
    draw_scenes(root / "boxes", num_train=16, num_val=4)
    draw_breeds(root / "breeds", num_train=4, num_val=2, size=48)
    draw_web(root / "web", num=5, copies=1, strays=2, size=48)
    (root / "three.txt").write_text("Alder_hound\nElm_pug\nIsle_terrier\n")
    write_film(root / "film.avi", 6)
    write_classifier(root / "foreign.tflite")
    make_models(root / "models", ("classification", "detection"))
    make_models(root / "wide", ("classification",))
    names = open_labelled(root / "classes", "train").classes.names
    save_classifier(root / "shapes.safetensors", list(names))


def commands(only: Sequence[str]) -> list[Command]:
    """Those that are called so, or all. Raises SystemExit if there are none."""
    found = [one for one in COMMANDS if not only or one.name in only]
    if not found:
        raise SystemExit(f"no such command; there are {', '.join(o.name for o in COMMANDS)}")
    return found
