"""Teachers of a classifier: weights of this suite, timm, torchvision, any Python function."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from backbone.flavour import InputSpec
from backbone.formats.pytorch import read_state
from backbone.imagenet_classes import WORDNET_IDS
from backbone.layers import Normalize, fold_batchnorm
from datasets.errors import InputError
from datasets.types import ClassMap
from tasks.application import PhotoApplication
from tasks.classification.application import CLASSIFICATION
from tasks.distillation.spec import TIMM, TORCHVISION, DistillSpec, is_python
from tasks.distillation.teacher import Teacher
from tasks.predictor import open_network
from tasks.weights.file import load_into

_IMAGENET = len(WORDNET_IDS)
# Names that weights have in the Hub's cache, in order of preference.
_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


def open_teacher(spec: DistillSpec, classes: ClassMap) -> Teacher:
    """The teacher that ``spec.teacher`` names, for the data's classes in the student's order.

    Args:
        spec: Options of distillation.
        classes: Classes of the data.

    Raises:
        InputError: If it is not available, its package is not installed, or it lacks a class.
    """
    name = spec.teacher
    assert name is not None
    if name.startswith(TIMM):
        return _open_timm(name, spec.teacher_weights, classes)
    if name.startswith(TORCHVISION):
        return _open_torchvision(name, spec.teacher_weights, classes)
    if not Path(name).exists():
        if is_python(name):
            return Teacher(name, _import_callable(name))
        raise InputError(
            f"--teacher {name}: no such run folder or weights file; else write timm:NAME, "
            "torchvision:NAME or MODULE:FUNCTION"
        )
    return open_own_teacher(
        name, CLASSIFICATION, classes, lambda names: f"{', '.join(names[:3])}, ..."
    )


def open_own_teacher(
    name: str,
    application: PhotoApplication[Any],
    classes: ClassMap,
    tell: Callable[[Sequence[str]], str],
) -> Teacher:
    """A network of this suite as a teacher, with its outputs in the student's order.

    Args:
        name: Its run folder or weights file.
        application: Application of the network.
        classes: Classes of the data, in the order of the student's outputs.
        tell: Function that describes the names that it knows.

    Raises:
        InputError: If it cannot be read, or lacks a class.
    """
    model, card = open_network(Path(name), application)
    columns = torch.from_numpy(classes.labels_in(card.classes)[1:]) - 1
    lacking = [n for n, c in zip(classes.names, columns.tolist(), strict=True) if c < 0]
    if lacking:
        raise InputError(
            f"--teacher {name}: lacks {len(lacking)} of the data's {len(classes)} "
            f"{application.noun} ({', '.join(lacking[:3])}{', ...' if len(lacking) > 3 else ''}); "
            f"it knows {tell(card.classes.names)}"
        )
    return Teacher(name, fold_batchnorm(model), size=model.spec.size, columns=columns)


def _import_callable(name: str) -> Callable[[Tensor], Tensor]:
    """The function or module of MODULE:FUNCTION.

    The current folder is not searched: it may be untrusted, with modules of any name in it.
    """
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # Anything may happen in code that is not ours.
        here = Path(*module.split(".")).with_suffix(".py").exists()
        hint = "; the current folder is not searched: PYTHONPATH=. names it" if here else ""
        raise InputError(
            f"--teacher {name}: cannot be imported ({type(error).__name__}: {error}){hint}"
        ) from error
    if not callable(found):
        raise InputError(f"--teacher {name}: is no function and no module, but {found!r:.40}")
    return found  # type: ignore[no-any-return]


def _open_timm(name: str, weights: Path | None, classes: ClassMap) -> Teacher:
    if importlib.util.find_spec("timm") is None:
        raise InputError(f"--teacher {name}: timm is not installed; pip install timm")
    timm: Any = importlib.import_module("timm")
    short = name.removeprefix(TIMM)
    if not timm.is_model(short):
        raise InputError(f"--teacher {name}: {_nearest(short, timm.list_models())}")

    def build(columns: int) -> Any:
        return timm.create_model(short, pretrained=False, num_classes=columns)

    network = build(_IMAGENET)
    config = timm.data.resolve_model_data_config(network)
    seen = InputSpec(config["input_size"][1], config["mean"], config["std"])
    file = weights or _cached_by_hub(name, network.pretrained_cfg)
    return _filled(name, network, build, file, seen, classes)


def _cached_by_hub(name: str, config: Any) -> Path:
    repository = config.get("hf_hub_id")
    if repository and importlib.util.find_spec("huggingface_hub") is not None:
        from huggingface_hub import try_to_load_from_cache

        for file in (config.get("hf_hub_filename"), *_HUB_FILES):
            found = file and try_to_load_from_cache(repository, file)
            if isinstance(found, str):
                return Path(found)
    raise InputError(
        f"--teacher {name}: its weights ({repository}) are not in the hub's cache, and nothing "
        "is downloaded unasked; fetch them once with timm, or name a file by --teacher-weights"
    )


def _open_torchvision(name: str, weights: Path | None, classes: ClassMap) -> Teacher:
    from torchvision import models

    short = name.removeprefix(TORCHVISION)
    known = models.list_models(module=models)
    if short not in known:
        raise InputError(f"--teacher {name}: {_nearest(short, known)}")

    def build(columns: int) -> Any:
        network = models.get_model(short, weights=None, num_classes=columns)
        if hasattr(network, "transform_input"):  # As with the weights that torchvision offers.
            network.transform_input = True
        return network

    offered: Any = models.get_model_weights(short)
    best = offered.DEFAULT
    cache = Path(torch.hub.get_dir()) / "checkpoints"
    if weights is None:
        cached = {one: cache / Path(one.url).name for one in (best, *offered)}
        best = next((one for one, file in cached.items() if file.exists()), best)
        weights = cached[best]
        if not weights.exists():
            raise InputError(
                f"--teacher {name}: {weights.name} is not in {cache}, and nothing is downloaded "
                "unasked; fetch it there, or name a file by --teacher-weights"
            )
    how = best.transforms()
    seen = InputSpec(how.crop_size[0], tuple(how.mean), tuple(how.std))
    return _filled(name, build(_IMAGENET), build, weights, seen, classes)


def _filled(
    name: str,
    network: nn.Module,
    build: Callable[[int], nn.Module],
    file: Path,
    seen: InputSpec,
    classes: ClassMap,
) -> Teacher:
    """A network of another library with its weights and preprocessing."""
    if not file.is_file():
        raise InputError(f"--teacher-weights {file}: no such file")
    state = read_state(file)
    rows = {
        len(state[key])
        for key, own in network.state_dict().items()
        if own.ndim and len(own) == _IMAGENET and key in state and state[key].ndim
    }
    count = rows.pop() if len(rows) == 1 else _IMAGENET
    columns = _columns(name, count, classes)
    if count != _IMAGENET:
        network = build(count)
    load_into(network, state, str(file))
    whole = nn.Sequential(Normalize(seen), network)
    return Teacher(name, whole, size=seen.size, columns=columns)


def _columns(name: str, count: int, classes: ClassMap) -> Tensor | None:
    """The teacher's output for each class; None if it was trained on exactly these."""
    if count == _IMAGENET:
        places = {number: column for column, number in enumerate(WORDNET_IDS)}
        odd = [n for i, n in zip(classes.ids, classes.names, strict=True) if i not in places]
        if odd:
            raise InputError(
                f"--teacher {name}: has ImageNet's {_IMAGENET} columns, and the class {odd[0]!r} "
                f"has no WordNet id among them ({len(odd)} of {len(classes)} classes have none); "
                "name class folders by WordNet id (n01440764), or take a teacher of these classes"
            )
        return torch.tensor([places[number] for number in classes.ids])
    if count == len(classes):
        return None
    raise InputError(
        f"--teacher {name}: has {count} columns, which are neither ImageNet's {_IMAGENET} nor the "
        f"data's {len(classes)} classes"
    )


def _nearest(name: str, known: Sequence[str]) -> str:
    alike = difflib.get_close_matches(name, known, n=1)
    return f"no such model{f'; the nearest is {alike[0]}' if alike else ''}"
