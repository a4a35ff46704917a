"""Cross-validation: what each fold holds, how it goes on after a stop, and what is refused."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.builtin.faces import PARTITION_LIST, draw_faces
from datasets.builtin.identities import draw_identities
from datasets.builtin.places import draw_places
from datasets.builtin.scenes import draw_scenes
from datasets.builtin.shapes_and_breeds import draw_shapes
from datasets.images import save_image
from datasets.splitting import folded
from tasks.fitting.network_task import NetworkTask
from tasks.predictor import Model
from tasks.runtime.open import read_card
from tests.conftest import Tool
from tests.tools.mistakes import expect
from tests.tools.runs import assert_same_run
from tools.flows.folds import fold_of, fold_runs, pooled, select_within
from tools.flows.recipe import Recipe
from tools.recipes import RECIPES

SMALL = ("--alpha", 0.25, "--size", 32, "--epochs", 2, "--eval-every", 1, "--batch-size", 4)
PLAIN = ("--threads", 1, "--workers", 0, "--device", "cpu", "--preset", "demo")


def shapes(root: Path) -> Path:
    return draw_shapes(root, num_train=6, num_val=3, size=32) / "train"


def scenes(root: Path) -> Path:
    """The training part alone, in a folder of its own."""
    drawn = draw_scenes(root / "drawn", num_train=12, num_val=4)
    for file in [*drawn.rglob("*val*")]:
        shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)
    return drawn


def faces(root: Path) -> Path:
    drawn = draw_faces(root, num_identities=12, per_identity=3, size=32)
    next(drawn.rglob(PARTITION_LIST)).unlink()
    return drawn


LONE: dict[str, Callable[[Path], Path]] = {
    "classification": shapes,
    "fine-grained classification": shapes,
    "detection": scenes,
    "geolocation": lambda root: draw_places(root, num_photos=300, num_authors=40, size=16),
    "face_attributes": faces,
    "face_embedding": lambda root: (
        draw_identities(root, num_identities=80, per_identity=4, num_pairs=4, size=32) / "train"
    ),
}


def opened(recipe: Recipe[Any], config: Any, path: Path, folder: Path) -> tuple[set[str], ...]:
    """Files that a fold trains, selects and reports on."""
    fold = fold_of(config)
    with folded(fold):
        run = recipe.open(config, path)
    select_within(run, fold)
    network, card = run.build(None)
    options = recipe.application.pick(run.options())
    model = Model(recipe.application, card, folder, options, network=network)
    exams = [run.exam(model, workers=0, tested=t, alone=True) for t in (False, True)]
    return tuple(
        {str(file) for file in one.files} for one in (run.train, *(e.data for e in exams))
    )


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_every_image_is_reported_on_once(recipe: Recipe[Any], tmp_path: Path) -> None:
    path = LONE[recipe.name](tmp_path / "data")
    config = recipe.presets(next(iter(recipe.application.variants))).choose(has_data=True)
    config = replace(config, data=path, folds=3, common=replace(config.common, device="cpu"))
    reported, learnt = list[str](), set[str]()
    for name, one in fold_runs(config):
        trained, chosen, tested = opened(recipe, one, path, tmp_path / name)
        assert trained
        assert chosen
        assert tested
        assert not tested & (trained | chosen)
        reported += tested
        learnt |= trained | chosen
    assert len(reported) == len(set(reported)) >= 12
    assert learnt <= set(reported)


def stop_in(total: int, patch: pytest.MonkeyPatch) -> None:
    """Send this process a SIGTERM in one of the training steps, counted over all folds."""
    inner, steps = NetworkTask.training_step, 0

    def counted(self: NetworkTask, batch: Any, batch_idx: int) -> Any:
        nonlocal steps
        steps += 1
        if steps == total:
            os.kill(os.getpid(), signal.SIGTERM)
        return inner(self, batch, batch_idx)

    patch.setattr(NetworkTask, "training_step", counted)


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    """Twelve bright and twelve dark images, in a folder for each class."""
    rng = np.random.default_rng(0)
    for name, tone in (("bright", 200), ("dark", 20)):
        (tmp_path / "tones" / name).mkdir(parents=True)
        for k in range(12):
            image = rng.integers(tone, tone + 50, (32, 32, 3), dtype=np.uint8)
            save_image(tmp_path / "tones" / name / f"{k}.png", image)
    return tmp_path / "tones"


@pytest.mark.slow
def test_a_stopped_validation_goes_on_and_ends_the_same(
    tones: Path, tool: Tool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = ("--data", tones, "--folds", 2, *SMALL, *PLAIN)
    one, two = tmp_path / "one", tmp_path / "two"
    status, out, err = tool("train_cls", *args, "--out", one, report=False)
    assert status == 0, err
    assert "all 24 images" in out
    with monkeypatch.context() as patch:
        stop_in(5, patch)  # Four steps are a fold's.
        expect(
            tool("train_cls", *args, "--out", two, report=False),
            f"stopped in fold-2 and saved; go on with --resume {two}",
            status=1,
        )
    status, _, err = tool("train_cls", "--resume", two, report=False)
    assert status == 0, err
    for name in ("fold-1", "fold-2"):
        assert_same_run(one / name, two / name)
        assert read_card(one / name).trained_on["held_out"] is False
    found = [json.loads((folder / "folds.json").read_text()) for folder in (one, two)]
    assert {**found[0], "folder": ""} == {**found[1], "folder": ""}
    assert found[0]["images"] == 24
    assert (one / "folds.html").exists()
    again = tmp_path / "again"
    status, _, err = tool(
        "train_cls", "--config", one / "fold-2" / "config.json", "--out", again, report=False
    )
    assert status == 0, err
    assert_same_run(one / "fold-2", again)


@pytest.mark.slow
def test_what_cannot_be_divided_is_refused_and_leaves_nothing(
    tones: Path, tool: Tool, tmp_path: Path
) -> None:
    split = draw_shapes(tmp_path / "split", num_train=6, num_val=3, size=32)
    damaged = tmp_path / "damaged.json"
    damaged.write_text(json.dumps({"folds": 2, "held_fold": 3, "workers": 0}))
    run = ("--out", tmp_path / "run", "--threads", 1, "--workers", 0, "--device", "cpu")
    for flags, message in (
        (("--data", split, "--folds", 2), "has parts of its own; name the one to divide (such"),
        (("--data", tones, "--folds", 1), "--folds 1: 2 to 1000 folds"),
        (("--data", tones, "--folds", -2), "--folds -2: 2 to 1000 folds"),
        (("--data", tones, "--folds", 10**9), "--folds 1000000000: 2 to 1000 folds"),
        (("--data", tones, "--folds", 100), "or as many as --folds need"),
        (("--data", tones, "--config", damaged), "'held_fold': 3 is not in 1..2, the folds"),
        (("--data", tones, "--folds", 2, "--val", split), "leave --val"),
        (("--data", tones, "--folds", 2, "--grid", "seed=0,1"), "leave one of them out"),
        (
            (
                "--folds",
                2,
            ),
            "the built-in data have parts: add --data",
        ),
    ):
        expect(tool("train_cls", *flags, *run), message)
        assert not (tmp_path / "run").exists()


def test_intervals_are_pooled_in_squares() -> None:
    """Two folds of equal size: the half of sqrt(.08 ** 2 + .06 ** 2) on either side."""
    middle, low, high = pooled([(0.5, 0.42, 0.58), (0.7, 0.64, 0.76)], [0.5, 0.5])
    assert (middle, low, high) == pytest.approx((0.6, 0.55, 0.65))
