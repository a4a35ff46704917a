"""Flags that only some applications take, and what the others say of them."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from configs.deploy import Export
from configs.serve import Serve
from configs.special import SpecialFlags
from configs.tools import CheckData, Evaluate, Predict
from datasets.errors import InputError
from tasks.applications import APPLICATIONS
from tasks.detection.spec import PostSpec
from tasks.face_embedding.spec import FaceSpec

RUN = Path("run")
FLAGS = (Evaluate(RUN), Predict(RUN, (RUN,)), Serve(), Export(RUN), CheckData(RUN))


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: type(flags).__name__)
def test_every_name_is_of_a_flag(flags: Any) -> None:
    assert set(flags.FOR_ALL) <= {one.name for one in fields(flags)}
    assert not set(flags.FOR_ALL) & set(flags.special())


@pytest.mark.parametrize("flags", FLAGS, ids=lambda flags: type(flags).__name__)
def test_what_nobody_gave_is_not_refused(flags: SpecialFlags) -> None:
    flags.refuse_unless((), "anything")


@pytest.mark.parametrize(
    ("flags", "name", "message"),
    [
        (replace(FLAGS[0], classes=Path("a.txt")), "classes", "--classes a.txt: the weights are"),
        (replace(FLAGS[0], boxes=True), "boxes", "--boxes: the weights are for attributes"),
        (replace(FLAGS[0], faces=FaceSpec(fold=2)), "faces", "--fold 2: the weights are for"),
        (replace(FLAGS[1], post=PostSpec()), "post", "--score-threshold 0.01: the weights are"),
        (replace(FLAGS[3], post=PostSpec(detections=7)), "post", "--detections 7: the weights"),
        (replace(FLAGS[4], size=300), "size", "--size 300: run is examined for attributes"),
    ],
)
def test_a_flag_is_refused_unless_it_is_taken(
    flags: SpecialFlags, name: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        flags.refuse_unless((), "attributes")
    flags.refuse_unless((name,), "attributes")


@pytest.mark.parametrize("application", APPLICATIONS, ids=lambda one: one.name)
def test_what_an_application_takes_is_a_special_flag_of_some_tool(application: Any) -> None:
    """A record whose flag is misspelt would refuse the true one."""
    special = {name for flags in FLAGS for name in flags.special()}
    assert set(getattr(application, "flags", ())) <= special
