"""Several heads on one trunk as one export, and on the page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from configs.deploy import Export
from configs.serve import Serve
from datasets.builtin.identities import draw_identities
from datasets.errors import InputError
from datasets.images import save_image
from tasks import load
from tasks.detection.spec import PostSpec
from tasks.multitask.spec import HEADS
from tasks.multitask.stored import read_stored
from tasks.runtime.open import open_export
from tasks.weights.file import save_weights
from tasks.weights.head_files import load_weights
from tests.conftest import Tool
from tests.exports import photos
from tests.tools.page_models import make_multi
from tools.flows.source import Source, open_source
from tools.service.shelf import Shelf

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
OUTPUTS = {
    "classes_probabilities",
    "breeds_probabilities",
    "attributes_probabilities",
    "attributes_present",
    "places_probabilities",
    "embedding_embedding",
    "boxes_boxes",
    "boxes_scores",
    "boxes_labels",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of six heads."""
    return make_multi(tmp_path_factory.mktemp("runs") / "several")


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("album")
    for number, photo in enumerate(photos()):
        save_image(folder / f"{number}.png", photo)
    return folder


@pytest.fixture
def file(run: Path, tool: Tool) -> Path:
    """Its export, made by the first test that wants it."""
    out = run / "model.onnx"
    if not out.exists():
        status, text, err = tool("export", run, "--score-threshold", 0.1, "--json")
        assert status == 0, err
        result = json.loads(text)
        assert (result["file"], result["task"]) == (str(out), "multitask")
        assert result["checked"]["differences"].keys() == OUTPUTS
        assert {one for one in OUTPUTS if "boxes" not in one} == result["checked"]["small"].keys()
        assert max(result["checked"]["small"].values()) < 1e-3
    return out


def alone(run: Path, name: str) -> Source:
    """A head as its own file has it, with a model of its own."""
    post = PostSpec(score_threshold=0.1) if name == "boxes" else PostSpec()
    return open_source(Export(run / "heads" / f"{name}.safetensors", post=post))


def test_one_file_answers_as_each_head_alone(run: Path, file: Path) -> None:
    """Heads of the run's files are the measure; photos of several sizes, two of each."""
    exported = open_export(file, 1)
    assert exported.heads == HEADS
    assert not exported.single
    images = photos(2)
    whole = exported(images)
    assert all(row.keys() == OUTPUTS for row in whole)
    for name in HEADS:
        head, source = exported.head(name), alone(run, name)
        assert (head.task, head.heads) == (source.task, ())
        assert head.card.classes == source.card.classes
        found = head(images)
        assert source.differences(images, found, resized=True)
        for row, rest in zip(found, whole, strict=True):
            for output, values in row.items():
                np.testing.assert_array_equal(values, rest[f"{name}_{output}"])
    assert len(exported.head("places").cells) == len(whole[0]["places_probabilities"])
    graph = onnx.load(file).graph
    depthwise = [node for node in graph.node if node.op_type == "Conv" and _groups(node) > 1]
    assert len(depthwise) == 2 * 13, "a pass for boxes, and one for all others"
    assert len({node.input[1] for node in depthwise}) == 13, "one trunk"


def _groups(node: onnx.NodeProto) -> int:
    return max([one.i for one in node.attribute if one.name == "group"], default=1)


def test_it_is_used_without_torch(file: Path) -> None:
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from tasks.runtime.open import open_export\n"
        "exported = open_export(Path(sys.argv[1]), 1)\n"
        "(row,) = exported([np.zeros((40, 50, 3), np.uint8)])\n"
        "assert len(row['embedding_embedding']) == 8\n"
        "assert exported.head('boxes').card.classes.names == ('cat', 'dog')\n"
        "print([name for name in ('torch', 'onnx', 'cv2') if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_programs_choose_a_head(run: Path, file: Path) -> None:
    """Of the run, of its export, or by the head's own file, with the same answer."""
    heads, name = run / "heads", "attributes"
    models = [
        load(run, head=name, device="cpu"),
        load(heads / f"{name}.safetensors", device="cpu"),
    ]
    answers = [model(photos()[0]) for model in (*models, load(file, head=name, threads=1))]
    for answer in answers[1:]:
        assert answer.names == answers[0].names
        assert answer.probabilities == pytest.approx(answers[0].probabilities, abs=0.05)
    with pytest.raises(InputError, match="holds 6 models; name one of them: attributes"):
        load(heads)


def test_the_tools_take_it_as_they_take_the_run(
    run: Path, file: Path, album: Path, tool: Tool, tmp_path: Path
) -> None:
    told, measured = [], []
    data = draw_identities(
        tmp_path / "people", num_identities=67, per_identity=2, num_pairs=2, size=40
    )
    for weights in (run, file):
        out = tmp_path / f"photos{weights.suffix}"
        status, _, err = tool("predict", weights, album, "--head", "attributes", "--out", out)
        assert status == 0, err
        rows = json.loads((out / "predictions.json").read_text())["photos"]
        told.append([row["probabilities"] for row in rows])
        flags = ("--head", "embedding", "--data", data, "--workers", 0, "--json")
        out = tmp_path / f"people{weights.suffix}"
        status, text, err = tool("evaluate", weights, *flags, "--out", out)
        assert status == 0, err
        measured.append(json.loads(text)["metrics"])
    assert len(told[0]) == 4
    for one, other in zip(*told, strict=True):
        assert one == pytest.approx(other, abs=0.02)
    assert measured[0].keys() == measured[1].keys()
    assert measured[0]["auc"] == pytest.approx(measured[1]["auc"], abs=0.02)


def test_the_page_offers_each_head(run: Path, file: Path) -> None:
    image = photos()[3]
    files = [str(run / "heads" / f"{name}.safetensors") for name in HEADS]
    answers = []
    for path, names in ((run, files), (file, [f"{file}, {name}" for name in HEADS])):
        shelf = Shelf(Serve(models=(path,)))
        rows = shelf.describe()
        assert [row["name"] for row in rows] == names
        assert [row["images"] for row in rows] == [1, 1, 1, 1, 2, 1]
        replies = [shelf.open(k).answer([image] * row["images"])[0] for k, row in enumerate(rows)]
        answers.append([(reply.summary, len(reply.rows)) for reply in replies])
    assert len(answers[0]) == len(HEADS)
    assert answers[0] == answers[1]


def test_refusals(
    run: Path,
    file: Path,
    album: Path,
    tool: Tool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = read_stored(run)
    stored.with_heads({"classes": stored.heads["classes"]}).save(tmp_path / "one.safetensors")
    stored.with_heads({}).save(tmp_path / "none.safetensors")
    state, card = load_weights(run)
    state["heads.attributes.head.2.bias"][1] += 0.5
    save_weights(tmp_path / "other.safetensors", state, card)
    odd = make_multi(tmp_path / "odd", odd="breeds")
    out = ("--out", tmp_path / "out" / "x.onnx")
    for args, message in (
        (("export", odd, *out), "heads of one graph must see images alike, but they do not: cla"),
        (("export", run, "--int8", "--calibrate", album, *out), "has several heads, and --int8"),
        (("export", tmp_path / "one.safetensors", "--nms-iou", 0.4, *out), "--nms-iou 0.4: the w"),
        (("export", tmp_path / "none.safetensors", *out), "a trunk without heads"),
        (("benchmark", run), "has several heads, and one is wanted here"),
        (("predict", file, album), "has several heads; choose one by --head: classes, breeds"),
        (("predict", file, album, "--head", "cats"), "has no head 'cats'; choose one by --head"),
    ):
        status, _, err = tool(*args)
        assert (status, message in _shown(err)) == (2, True), (args, err)
    monkeypatch.setattr(
        "tools.flows.targets.write_onnx",
        lambda _graph, _card, _facts, to, **_: shutil.copy(file, to),
    )
    status, _, err = tool("export", tmp_path / "other.safetensors", *out)
    assert status == 2
    assert re.search(
        r"x\.onnx: not written: head attributes: image \d .* probabilities differ by", _shown(err)
    )
    assert not list(out[1].parent.iterdir())
    with pytest.raises(ValueError, match="has no head 'cats'; it has classes, breeds"):
        open_export(file, 1, "cats")


def _shown(err: str) -> str:
    return " ".join(re.sub(r"[│\s]+", " ", err).split())
