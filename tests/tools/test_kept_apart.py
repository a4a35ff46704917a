"""Weights are selected on images that neither train nor report, whatever the application."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from datasets.builtin.faces import draw_faces
from datasets.builtin.identities import draw_identities
from datasets.builtin.places import draw_places
from datasets.builtin.scenes import draw_scenes
from datasets.builtin.shapes_and_breeds import draw_breeds, draw_shapes
from datasets.types import FacePairs
from tasks.face_embedding.evaluator import FaceEvaluator
from tasks.predictor import Model
from tools.face_embedding.recipe import EmbedRun
from tools.flows.recipe import OpenedRun, Recipe
from tools.geolocation.data import CHOSEN_ON
from tools.recipes import RECIPES

DRAW: dict[str, Callable[[Path], Path]] = {
    "classification": lambda root: draw_shapes(root, num_train=6, num_val=3, size=32),
    "fine-grained classification": lambda root: draw_breeds(root, num_train=6, num_val=3, size=32),
    "detection": lambda root: draw_scenes(root, num_train=12, num_val=4),
    "geolocation": lambda root: draw_places(root, num_photos=300, num_authors=40, size=16),
    "face_attributes": lambda root: draw_faces(root, num_identities=12, per_identity=3, size=32),
    "face_embedding": lambda root: draw_identities(
        root, num_identities=80, per_identity=4, num_pairs=4, size=32
    ),
}


def open_built_in(recipe: Recipe[Any], root: Path) -> OpenedRun[Any]:
    path = DRAW[recipe.name](root / "data")
    presets = recipe.presets(next(iter(recipe.application.variants)))
    config = presets.choose()
    config = replace(config, data=path, common=replace(config.common, device="cpu"))
    return recipe.open(config, path)


def files(data: Any) -> set[str]:
    return {str(file) for file in data.files}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_three_sets_share_no_image(recipe: Recipe[Any], tmp_path: Path) -> None:
    run = open_built_in(recipe, tmp_path)
    before = len(run.train)
    run.keep_apart()
    network, card = run.build(None)
    options = recipe.application.pick(run.options())
    model = Model(recipe.application, card, tmp_path, options, network=network)
    exams = [run.exam(model, workers=0, tested=t, alone=True) for t in (False, True)]
    chosen, tested = (files(exam.data) for exam in exams)
    trained = files(run.train)
    assert not trained & tested
    if chosen != tested:  # Pairs of faces are separated by their folds instead.
        assert not chosen & (trained | tested)
        assert len(trained) + len(chosen) >= before
    else:
        assert exams[0].evaluator.chooses
    assert run.monitor(exams[0]) == recipe.application.metric.name
    number = len(run.train)
    run.train_on_share(0.5)
    assert files(run.train) < trained
    assert 0.2 * number <= len(run.train) <= 0.8 * number
    assert run.train.image(0).dtype == np.uint8
    for exam in exams:
        exam.loader.close()


@pytest.mark.slow
def test_reports_name_the_images_that_weights_are_selected_on(tmp_path: Path) -> None:
    recipes = {one.name: one for one in RECIPES}
    run = open_built_in(recipes["geolocation"], tmp_path / "places")
    before = dict(run.notes)
    run.keep_apart()
    after = dict(run.notes)
    assert "too good" in before[CHOSEN_ON]
    assert "held out of" in after.pop(CHOSEN_ON)
    assert after.items() <= before.items()


def test_the_final_figure_of_faces_is_that_of_the_tested_pairs() -> None:
    """Pairs of two folds that choose are all right, those of the tested fold all wrong."""
    same = np.array([1, 0, 1, 0, 1, 0], bool)
    first, second = np.zeros(6, np.int64), np.array([0, 1, 0, 1, 1, 0])
    pairs = FacePairs(first, second, same, np.array([0, 0, 1, 1, 2, 2]), (2,))
    evaluator = FaceEvaluator(np.arange(2), pairs)
    evaluator.update([0, 1], [{"embedding": row} for row in np.eye(2, dtype=np.float32)])
    metrics = evaluator.compute()["metrics"]
    run = object.__new__(EmbedRun)
    assert metrics[run.application.metric.name] == 1
    assert metrics[run.reported.name] == 0


@pytest.mark.parametrize("apart", [True, False])
def test_which_weights_of_faces_are_kept(apart: bool) -> None:
    run: Any = object.__new__(EmbedRun)
    run.val = SimpleNamespace(labels=np.arange(2), pairs=None)
    run.chosen = SimpleNamespace() if apart else run.val
    ((_, text),) = run.after_fit(None, Path(), "cpu", 0)
    assert ("held out of the training" in text) is apart
    assert ("last epoch" in text) is not apart
