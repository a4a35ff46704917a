#!/usr/bin/env python
"""Check a data set before training: ``tools/check_data.py PATH``."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from configs.tools import CheckData
from tools import cli

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from datasets.spec import Option

# The flags from which each option of an examination is made.
_FLAGS: dict[Option, tuple[str, ...]] = {
    "anchors": ("framework", "backbone", "size"),
    "keep_aspect": ("keep_aspect",),
    "classes": ("classes",),
    "format": ("format",),
    "images": ("images",),
}


def main() -> None:
    """Print the problems in the data; the exit status is 2 if training would refuse it."""
    args = cli.parse(CheckData)
    from datasets.kind import CheckOptions
    from datasets.kinds import recognise
    from datasets.ledger import traced

    cli.prepare(args.common)
    found = recognise(args.data, None if args.task == "auto" else args.task, args.said)
    task = found.kind.task
    for other in found.also:
        cli.say(f"{args.data}: taken for {task}; --task {other.task} reads its {other.name}")
    args.refuse_unless([flag for one in found.kind.options for flag in _FLAGS[one]], task)
    options = CheckOptions(
        split=args.split,
        decode=args.decode,
        classes=args.classes,
        anchors=lambda: _anchors(args),
        keep_aspect=args.keep_aspect,
        format=args.format,
        images=args.images,
    )
    with traced() as trace:
        checkup = found.kind.examine(args.data, found.parts, options)
    trace.use_entries()  # Training uses the part, too, that this one was compared with.
    checkup = checkup.with_ledger(*trace.account(args.data))
    findings = [{**asdict(finding), "file": Path(finding.file)} for finding in checkup.findings]
    refused = bool(checkup.refusals)
    report = {"task": task, **checkup.summary, "refused": refused, "findings": findings}
    cli.result(args.common, report, checkup.describe(args.lines))
    if args.common.out:
        cli.write_json(args.common.out, report)
    if refused:
        sys.exit(cli.BAD_INPUT)


def _anchors(args: CheckData) -> NDArray[np.float32]:
    """Anchors (A, 4) cx cy w h of the detector that boxes are compared with."""
    from tasks.detection.model import detector_anchors
    from tasks.detection.spec import DetectorSpec

    spec = DetectorSpec(framework=args.framework, backbone=args.backbone, size=args.size)
    return detector_anchors(spec).numpy()


if __name__ == "__main__":
    cli.run(main)
