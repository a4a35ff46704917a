#!/usr/bin/env python
"""Examine a data set before training: ``tools/check_data.py PATH``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from configs.tools import CheckData
from tools import cli

if TYPE_CHECKING:
    from datasets.findings import Examination
    from datasets.spec import Split


def main() -> None:
    """Print what is wrong with the data; exit status 2 if training would refuse it."""
    args = cli.parse(CheckData)
    from datasets.recognise import recognise

    cli.prepare(args.common)
    found = recognise(args.data, None if args.task == "auto" else args.task)
    if found.both:
        cli.say(f"{args.data}: taken for {found.kind}; --task classification reads its labels")
    # All of a set that is not parted; else what is trained on.
    split = args.split or ("all" if len(found.parts) == 1 else "train")
    examine = _examine_boxes if found.kind == "detection" else _examine_labels
    checkup, text = examine(args, split, found.parts)
    findings = [asdict(finding) for finding in checkup.findings]
    refused = any(finding.action == "refused" for finding in checkup.findings)
    report = {"task": found.kind, **checkup.summary, "refused": refused, "findings": findings}
    cli.result(args.common, report, text)
    if args.common.out:
        cli.write_json(args.common.out, report)
    if refused:
        sys.exit(cli.BAD_INPUT)


def _examine_boxes(args: CheckData, split: Split, _: tuple[str, ...]) -> tuple[Examination, str]:
    from datasets.check import describe, examine
    from datasets.detection import open_detection
    from tasks.detection.model import detector_anchors
    from tasks.detection.spec import DetectorSpec

    args.refuse("classes", task="detection")
    spec = DetectorSpec(framework=args.framework, backbone=args.backbone, size=args.size)
    checkup = examine(
        open_detection(args.data, split),
        detector_anchors(spec).numpy(),
        decode=args.decode,
        keep_aspect=args.keep_aspect,
    )
    return checkup, describe(checkup, args.lines)


def _examine_labels(
    args: CheckData, split: Split, parts: tuple[str, ...]
) -> tuple[Examination, str]:
    from datasets.classification import read_wanted
    from datasets.labels_check import describe_labels, examine_labels
    from datasets.recognise import open_photos

    args.refuse("framework", "backbone", "size", "keep_aspect", task="classification")
    wanted = read_wanted(args.classes) if args.classes else None
    beside: Split = "val" if split == "train" else "train"
    has_other = split != "all" and "train" in parts
    other = open_photos(args.data, beside, wanted) if has_other else None
    data = open_photos(args.data, split, wanted)
    # A photo in a shard has no file of its own whose header could be read.
    checkup = examine_labels(data, other, decode=args.decode or not parts)
    return checkup, describe_labels(checkup, args.lines)


if __name__ == "__main__":
    cli.run(main)
