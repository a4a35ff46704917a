"""Models of every application made ready to answer for single photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from configs.demo import Demo
from tasks.open_model import open_model
from tasks.predictor import Model
from tools.flows.answerer import Answerer
from tools.flows.recipe import Recipe


def open_answerer(
    path: Path,
    config: Demo,
    device: str,
    recipes: Sequence[Recipe[Any]],
    head: str | None = None,
) -> Answerer:
    """Make a model ready.

    Args:
        path: Run folder, weights file or export.
        config: How each application answers.
        device: To compute on; exports compute on the CPU.
        recipes: Of all applications.
        head: Of an export of several heads the one to ask.

    Raises:
        InputError: If the weights do not fit themselves, or are of no application that answers
            for photos.
    """
    threads = config.common.threads or None
    model = open_model(path, config.options, threads=threads, head=head)
    for recipe in recipes:
        if recipe.application.name == model.application.name and recipe.page_answerer is not None:
            return recipe.page_answerer(model, config, device)
    return _one_by_one(model, device)


def _one_by_one(model: Model, device: str) -> Answerer:
    """Each photo is answered for by itself."""
    predictor = model.predictor(device)
    return Answerer(predictor, lambda images, found: predictor.answers.reply(images[0], found[0]))
