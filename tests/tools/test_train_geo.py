"""Training a geolocator, and what the other tools do with one."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from configs.common import Common
from configs.geolocation import DEMO_GEO, TrainGeo
from configs.io import from_json, to_json
from configs.tools import Evaluate
from datasets.builtin.places import draw_places
from datasets.positions.opening import open_places
from datasets.spec import Split
from tasks.fitting.network_task import NetworkTask
from tasks.geolocation.partition import CELLS_HEADER, read_cells
from tasks.geolocation.spec import PartitionSpec
from tasks.open_model import open_model
from tasks.runtime.open import read_card
from tasks.weights.card import Card
from tasks.weights.head_files import load_weights
from tests.conftest import Tool
from tests.datasets.place_fakes import gps, photo
from tests.tools.runs import unchanged
from tests.tools.stopping import stop_at
from tools.flows.training import train
from tools.geolocation.data import (
    hold_out,
    leaks_by_distance,
    open_parts,
    without_leaks,
)
from tools.geolocation.measured_part import part_to_measure, trained_on
from tools.geolocation.recipe import GEOLOCATION_RECIPE, open_exam

pytestmark = pytest.mark.slow

SMALL = ("--preset", "demo", "--size", 32, "--batch-size", 16, "--epochs", 2, "--workers", 0)
CELLS = ("--split-above", 40, 12, "--drop-below", 2)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets") / "places"
    return draw_places(root, num_photos=160, num_authors=40, size=32)


@pytest.fixture(scope="module")
def run(places: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run of two epochs, with a coarse and a fine head."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    config = replace(
        DEMO_GEO,
        data=places,
        model=replace(DEMO_GEO.model, size=32),
        partition=PartitionSpec((40, 12), 2),
        fit=replace(DEMO_GEO.fit, epochs=2, batch_size=16),
        workers=0,
        common=Common(out=folder),
    )
    report, text = train(GEOLOCATION_RECIPE, config)
    assert report["folder"] == str(folder)
    assert "km200" in text
    with unchanged(folder):
        yield folder


def test_a_run_leaves_weights_cells_and_report(run: Path) -> None:
    for name in ("config.json", "last.ckpt", "report.html", "predictions.csv", "metrics.csv"):
        assert (run / name).exists(), name
    card = read_card(run)
    assert card.task == "geolocation"
    fine = read_cells(run / "cells.csv", (run / "cells.csv").read_text())
    coarse = read_cells(run / "cells_0.csv", (run / "cells_0.csv").read_text())
    assert card.classes.names == tuple(fine.tokens)
    assert len(coarse) < len(fine)
    report = json.loads((run / "report.json").read_text())
    assert report["metrics"]["geoscore"] == card.metrics["geoscore"]
    assert report["facts"]["cells"] == f"{len(coarse)} + {len(fine)}"
    assert "without their consent is misuse" in (run / "report.html").read_text()
    assert not list(run.glob(".*")), "temporary files were left"


def test_the_other_tools_take_it(run: Path, places: Path, tool: Tool, tmp_path: Path) -> None:
    out = tmp_path / "evaluation"
    status, text, err = tool("evaluate", run, "--data", places, "--out", out, "--json")
    assert status == 0, err
    ours = json.loads((run / "report.json").read_text())["metrics"]
    theirs = json.loads(text)["metrics"]
    assert theirs == pytest.approx(ours, rel=1e-4)
    with (out / "predictions.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert np.median([float(row["km"]) for row in rows]) == pytest.approx(
        theirs["median_km"], abs=0.01
    )
    flags = ("--decoding", "centre", "--abstain", 0.999)
    status, _, err = tool("evaluate", run, "--data", places, *flags, "--out", tmp_path / "none")
    assert status == 2
    assert "--abstain 0.999: none of" in err
    status, _, err = tool("evaluate", run, "--data", places, "--proposals", 5)
    assert status == 2
    assert "--proposals 5: the weights are for geolocation" in err


def test_evaluation_says_what_of_a_list_it_takes(run: Path, places: Path, tmp_path: Path) -> None:
    """All of a benchmark; what was held out of a list that was trained on; else a list's own."""
    listed = (places / "places.csv").read_text().splitlines()
    held_out = len(open_places(places, "val"))
    model = open_model(run)

    def images(data: Path, split: Split | None = None) -> tuple[int, str]:
        exam = open_exam(Evaluate(weights=run, data=data, split=split), data, model)
        return len(exam.data), dict(exam.notes)["part"]

    for data in (places, places / "places.csv"):
        count, said = images(data)
        assert count == held_out
        assert f"the fifth of the authors of {data} that was held out" in said
    assert images(places / "places.csv", "all")[0] == 160
    other = tmp_path / "other"
    (other / "photos").mkdir(parents=True)
    shutil.copytree(places / "images", other / "photos", dirs_exist_ok=True)
    (other / "bench.csv").write_text("\n".join(listed))
    count, said = images(other / "bench.csv")
    assert count == held_out, "a copy of what was trained on is no benchmark"
    assert "that was held out" in said
    (other / "bench.csv").write_text("\n".join((listed[0], *listed[:0:-1])))
    assert images(other / "bench.csv") == (
        160, f"all of {other / 'bench.csv'}; --split val takes a fifth of its authors"
    )  # fmt: skip
    assert images(other)[0] == held_out
    marks = ["split", *("val" if k % 4 == 0 else "train" for k in range(160))]
    rows = [f"{line},{mark}" for line, mark in zip(listed, marks, strict=True)]
    (other / "bench.csv").write_text("\n".join(rows))
    count, said = images(other / "bench.csv")
    assert count == 40
    assert said.startswith("the part 'val' of")
    assert images(other / "bench.csv", "train")[0] == 120


def test_a_list_that_was_trained_on_whole_is_no_benchmark(
    run: Path, places: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever it is read from, however it is called, and from a copy."""
    card, file = read_card(run), places / "places.csv"
    assert card.trained_on["held_out"]
    odd = tmp_path / "taken by me on foot"
    shutil.copytree(places, odd)
    monkeypatch.chdir(tmp_path)
    told = replace(card, trained_on=trained_on(Path(odd.name), whole=True))
    monkeypatch.chdir(Path(__file__).parent)
    for path in (odd, odd / "places.csv", file):
        whole, said = part_to_measure(path, told)
        assert whole
        assert "memorised" in said
    other = tmp_path / "other.csv"
    other.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    assert "memorised" not in part_to_measure(other, told)[1]
    whole, said = part_to_measure(file, replace(card, trained_on={}))
    assert whole
    assert "the weights do not state what they were trained on" in said
    with pytest.raises(ValueError, match="no such file"):
        part_to_measure(tmp_path / "gone", card)
    folder = tmp_path / "tagged"
    photo(folder / "a" / "1.jpg", gps(1, 2))
    photo(folder / "b" / "2.jpg", gps(3, 4))
    shutil.copytree(folder, tmp_path / "again")
    told = replace(card, trained_on=trained_on(folder, whole=False))
    assert "that was held out" in part_to_measure(tmp_path / "again", told)[1]
    assert Card.from_json(told.to_json()).trained_on == told.trained_on


def test_swapped_columns_are_refused(places: Path, tool: Tool, tmp_path: Path) -> None:
    """As the data doctor does: half of the world would be left out, the other half turned."""
    root = tmp_path / "set"
    shutil.copytree(places, root)
    text = (root / "places.csv").read_text()
    (root / "places.csv").write_text(text.replace("LAT,LON", "LON,LAT", 1))
    status, _, err = tool("train_geo", "--data", root, *SMALL, "--out", tmp_path / "x")
    assert status == 2
    assert "train data: " in err
    assert "latitude and longitude swapped" in err
    assert not (tmp_path / "x").exists()


def test_nothing_is_chosen_on_a_benchmark(places: Path, tmp_path: Path) -> None:
    """With --val weights and temperature are chosen on authors who are not trained on."""
    bench = draw_places(tmp_path / "bench", num_photos=24, num_authors=8, size=32, seed=5)
    parts = open_parts(replace(DEMO_GEO, data=places, val=bench), places)
    assert len(parts.train) + len(parts.chosen) == 160
    assert 0 < len(parts.chosen) < 80
    assert not set(parts.train.authors) & set(parts.chosen.authors)
    assert len(parts.val) == 24
    told = dict(parts.notes)["weights chosen and temperature fitted on"]
    assert f"{len(parts.chosen)} images of" in told
    assert "not on --val" in told
    same = open_parts(replace(DEMO_GEO, data=places), places)
    assert same.chosen is same.val
    assert "a little too good" in same.notes[0][1]
    one = parts.train.select(parts.train.authors == parts.train.authors[0])
    train, chosen = hold_out(one)
    assert min(len(train), len(chosen)) >= 1
    assert len(train) + len(chosen) == len(one)
    assert set(train.authors) == set(chosen.authors) == set(one.authors)


def test_the_temperature_is_not_the_benchmarks(places: Path, tmp_path: Path) -> None:
    bench = draw_places(tmp_path / "bench", num_photos=24, num_authors=8, size=32, seed=5)
    seen: list[int] = []
    inner = NetworkTask.on_validation_epoch_end

    def count(self: NetworkTask) -> None:
        inner(self)
        assert self.score is not None
        seen.append(len(self.score["image_ids"]))

    config = replace(
        DEMO_GEO,
        data=places,
        val=bench,
        model=replace(DEMO_GEO.model, size=32),
        partition=PartitionSpec((40,), 2),
        fit=replace(DEMO_GEO.fit, epochs=1, batch_size=16),
        workers=0,
        common=Common(out=tmp_path / "run"),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NetworkTask, "on_validation_epoch_end", count)
        report, _ = train(GEOLOCATION_RECIPE, config)
    chosen = len(open_parts(config, places).chosen)
    assert set(seen) == {chosen}
    card = read_card(tmp_path / "run")
    assert report["images"] == 24
    assert card.metrics["temperature"] != report["metrics"]["temperature"]
    assert "not on --val" in report["facts"]["weights chosen and temperature fitted on"]
    assert not card.trained_on["held_out"]


def test_photos_are_located(run: Path, places: Path, tool: Tool, tmp_path: Path) -> None:
    pictures = sorted((places / "images").rglob("*.jpg"))[:3]
    status, text, err = tool("predict", run, *pictures, "--out", tmp_path / "seen")
    assert status == 0, err
    assert "without their consent is misuse" in err
    rows = json.loads((tmp_path / "seen" / "predictions.json").read_text())["photos"]
    for picture, row in zip(pictures, rows, strict=True):
        assert (tmp_path / "seen" / picture.name).exists()
        assert -90 <= row["latitude"] <= 90
        assert sum(row["region"]["probabilities"]) >= 0.9 - 1e-6
        assert row["region"]["cells"]
    status, text, err = tool(
        "predict", run, pictures[0], "--abstain", 1, "--out", tmp_path / "shy"
    )
    assert status == 0, err
    assert "no answer (confidence" in text
    row = json.loads((tmp_path / "shy" / "predictions.json").read_text())["photos"][0]
    assert row["latitude"] is None


def test_flags_of_places_are_refused_elsewhere(tool: Tool, places: Path, tmp_path: Path) -> None:
    from datasets.builtin.shapes_and_breeds import draw_shapes

    shapes = draw_shapes(tmp_path / "shapes", num_train=4, num_val=2, size=32)
    folder = tmp_path / "cls"
    flags = ("--preset", "demo", "--size", 32, "--epochs", 1, "--workers", 0, "--batch-size", 8)
    assert tool("train_cls", "--data", shapes, "--out", folder, *flags)[0] == 0
    for name in ("evaluate", "predict"):
        paths = [shapes] if name == "predict" else []
        status, _, err = tool(name, folder, *paths, "--abstain", 0.5)
        assert status == 2
        assert "--abstain 0.5: the weights are for classification" in err
    # A classifier lends its body.
    status, _, err = tool(
        "train_geo", "--data", places, "--weights", folder, "--out", tmp_path / "geo",
        "--epochs", 1, "--workers", 0, "--size", 32, "--split-above", 30,
    )  # fmt: skip
    assert status == 0, err
    assert f"weights of {folder}: body, a new head" in err


def test_a_resumed_run_is_the_same(places: Path, tool: Tool, tmp_path: Path) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    args = ("--data", places, *SMALL, *CELLS)
    assert tool("train_geo", *args, "--out", straight)[0] == 0
    with pytest.MonkeyPatch.context() as patch:
        stop_at(9, patch)
        assert tool("train_geo", *args, "--out", stopped)[0] == 1
    status, _, err = tool("train_geo", "--resume", stopped)
    assert status == 0, err
    one, two = load_weights(straight)[0], load_weights(stopped)[0]
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_cells_from_lists_and_positions(
    run: Path, places: Path, tool: Tool, tmp_path: Path
) -> None:
    lists = (run / "cells_0.csv", run / "cells.csv")
    status, _, err = tool(
        "train_geo", "--data", places, "--cells", *lists, *SMALL, "--weights", run, "--alpha",
        0.25, "--out", tmp_path / "again",
    )  # fmt: skip
    assert status == 0, err
    assert "body and head" in err
    status, _, err = tool("train_geo", "--data", places, "--cells", *lists[::-1], *SMALL)
    assert status == 2
    assert "lies in no cell of the coarser partition" in err
    (tmp_path / "one.csv").write_text(f"{','.join(CELLS_HEADER)}\n0,1,9,0,0\n")
    status, _, err = tool("train_geo", "--data", places, "--cells", tmp_path / "one.csv", *SMALL)
    assert status == 2
    assert "the partition has 1 cell: nothing to choose from" in err
    status, text, err = tool(
        "make_cells", places / "places.csv", "--split-above", 50, 20, "--out", tmp_path / "c"
    )
    assert status == 0, err
    assert "of 160 images in them" in text
    assert (tmp_path / "c" / "report.html").exists()
    made = read_cells(tmp_path / "c" / "cells.csv", (tmp_path / "c" / "cells.csv").read_text())
    assert made.counts.max() <= 20


def test_copies_and_near_photos_are_left_out(places: Path, tmp_path: Path) -> None:
    """Copies of three validation photos, put under another author's name."""
    root = tmp_path / "set"
    shutil.copytree(places, root)
    val = open_places(root, "val")
    train = open_places(root, "train")
    assert not np.intersect1d(train.authors, val.authors).size
    rows = []
    for k in range(3):
        picture = cv2.imread(str(val.files[k]))
        assert picture is not None
        cv2.imwrite(str(root / f"copy{k}.jpg"), picture[:, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
        rows.append(f"copy{k}.jpg,{train.authors[0]},{val.lat[k] + 0.001},{val.lng[k]}\n")
    with (root / "places.csv").open("a") as file:
        file.writelines(rows)
    leaky = open_places(root, "train")
    assert len(leaky) == len(train) + 3
    kept, notes = without_leaks(leaky, val, 10, 0.0)
    assert not any("copy" in Path(str(file)).name for file in kept.files)
    assert kept.left_out["copies of, or near, images to evaluate on"] >= 3
    assert "look like one to evaluate on" in notes[0][1]
    told = leaks_by_distance(leaky, kept, val)
    assert "0 authors in both parts" in told
    after, before = told.split("; before images were left out ")
    near = [float(part.split("% within 1 km")[0].split(", ")[-1]) for part in (after, before)]
    assert near[0] < near[1], "the figure is of what is trained on"
    same, _ = without_leaks(leaky, val, -1, 0.0)
    assert len(same) == len(leaky)
    apart, _ = without_leaks(leaky, val, -1, 1.0)
    assert not any("copy" in Path(str(file)).name for file in apart.files)
    assert "0.0% within 1 km" in leaks_by_distance(leaky, apart, val).split("; before")[0]
    with pytest.raises(ValueError, match="every image is a copy of, or near"):
        without_leaks(leaky, val, -1, 25_000.0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--split-above", "10", "20"], "--split-above 10 20: the numbers must fall"),
        (["--split-above", "10", "--drop-below", "11"], "--drop-below 11 is above 10"),
        (["--split-above", "0"], "--split-above 0: 1 or more each"),
        (["--tau", "0"], "--tau 0.0 must be above 0"),
        (["--temperature", "2"], "--temperature 2.0 does nothing without --teacher"),
        (["--teacher", "nowhere"], "--teacher nowhere: no such run folder or weights file"),
        (["--decoding", "best"], "best"),
        (["--region", "1"], "--region 1.0 is not in (0, 1)"),
        (["--near-km", "-1"], "--near-km -1.0 must be above 0"),
        (["--abstain", "2"], "--abstain 2.0 is not in [0, 1]"),
        (["--top-cells", "0"], "--top-cells 0 must be 1 or more"),
        (["--copy-bits", "32"], "--copy-bits 32 is not in -1..31"),
        (["--gap-km", "-1"], "--gap-km -1.0 must be 0 or more"),
        (["--split-above", "1000", "--drop-below", "1000"], "too few for cells of 1000 or more"),
        (["--cells", "nowhere.csv"], "nowhere.csv: no such file or folder"),
        (["--val", "nowhere"], "nowhere: no such file or folder"),
        (["--preset", "small"], "--preset small: choose one of auto, paper, modern, demo"),
    ],
)
def test_bad_flags(
    places: Path, tool: Tool, tmp_path: Path, flags: list[str], message: str
) -> None:
    args = ("--data", places, "--workers", 0, "--out", tmp_path / "x", *flags)
    status, _, err = tool("train_geo", *args)
    assert status == 2, err
    assert message in " ".join(err.split())
    assert not (tmp_path / "x").exists()


def test_a_configuration_comes_back_from_its_file() -> None:
    config = replace(DEMO_GEO, cells=(Path("a.csv"), Path("b.csv")), data=Path("d"))
    assert from_json(TrainGeo, json.loads(json.dumps(to_json(config)))) == config
