"""Which preset a training tool takes, and what it says of a wrong one."""

from dataclasses import replace

import pytest

from configs.classification import CLS_PRESETS
from configs.detection import detector_presets
from configs.face_attributes import ATTR_PRESETS
from configs.face_embedding import EMBED_PRESETS
from configs.fine_grained import DOGS_PRESETS
from configs.gan import GAN_PRESETS
from configs.geolocation import GEO_PRESETS
from configs.multitask import MULTI_PRESETS
from configs.presets import Presets
from configs.training import Training
from datasets.errors import InputError

TOOLS: dict[str, Presets[Training]] = {
    "cls": CLS_PRESETS,
    "det": detector_presets(),
    "rcnn": detector_presets("faster_rcnn_300"),
    "attr": ATTR_PRESETS,
    "embed": EMBED_PRESETS,
    "dogs": DOGS_PRESETS,
    "gan": GAN_PRESETS,
    "geo": GEO_PRESETS,
    "multi": MULTI_PRESETS,
}
FROM_SCRATCH = {
    "cls": "modern",
    "det": "paper",
    "rcnn": "paper",
    "attr": "labels",
    "embed": "labels",
    "dogs": "modern",
    "gan": "photos",
    "geo": "modern",
    "multi": "modern",
}


@pytest.mark.parametrize("tool", TOOLS)
def test_auto_goes_by_what_is_given(tool: str) -> None:
    presets, scratch = TOOLS[tool], FROM_SCRATCH[tool]
    # A GAN's weights are sampled from, not trained on.
    tuned = scratch if tool == "gan" else "finetune"
    taught = "distill" if tool in ("attr", "embed") else scratch
    assert presets.choose().preset == "demo"
    assert presets.choose(has_teacher=True).preset == "demo"
    assert presets.choose(has_data=True).preset == scratch
    assert presets.choose(has_weights=True).preset == ("demo" if tool == "gan" else tuned)
    assert presets.choose(has_data=True, has_weights=True).preset == tuned
    assert presets.choose(has_data=True, has_teacher=True).preset == taught


@pytest.mark.parametrize("tool", TOOLS)
def test_a_name_wins_and_a_wrong_one_is_told_the_choices(tool: str) -> None:
    presets = TOOLS[tool]
    for preset in presets.named:
        assert presets.choose(preset.preset, has_data=True, has_weights=True) == preset
    with pytest.raises(InputError, match=r"--preset x: .* auto, .*demo"):
        presets.choose("x")


def test_detectors_say_whose_presets_they_are() -> None:
    with pytest.raises(InputError, match="--preset focal: faster_rcnn_300 has auto, paper, demo"):
        detector_presets("faster_rcnn_300").choose("focal")
    assert detector_presets().choose("focal").preset == "focal"


def test_a_body_without_widths_has_one() -> None:
    assert {one.model.alpha for one in detector_presets("ssd300", "vgg16").named} == {1.0}
    plain = detector_presets("ssd300", "inception_v2")["demo"]
    assert plain == replace(detector_presets()["demo"], model=plain.model)
