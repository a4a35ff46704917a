#!/usr/bin/env python
"""Examine a detection data set: ``tools/check_data.py PATH``."""

from __future__ import annotations

import sys
from dataclasses import asdict

from configs.tools import CheckData
from tools import cli


def main() -> None:
    """Print what is wrong with the data; exit status 2 if training would refuse it."""
    args = cli.parse(CheckData)
    from datasets.check import describe, examine
    from datasets.detection import open_detection
    from tasks.detection.model import detector_anchors
    from tasks.detection.spec import DetectorSpec

    cli.prepare(args.common)
    data = open_detection(args.data, args.split)
    spec = DetectorSpec(framework=args.framework, backbone=args.backbone, size=args.size)
    anchors = detector_anchors(spec).numpy()
    checkup = examine(data, anchors, decode=args.decode, keep_aspect=args.keep_aspect)
    findings = [asdict(finding) for finding in checkup.findings]
    refused = any(finding.action == "refused" for finding in checkup.findings)
    report = {**checkup.summary, "refused": refused, "findings": findings}
    cli.result(args.common, report, describe(checkup, args.lines))
    if args.common.out:
        cli.write_json(args.common.out, report)
    if refused:
        sys.exit(cli.BAD_INPUT)


if __name__ == "__main__":
    cli.run(main)
