#!/usr/bin/env python
"""Examine a data set before training: ``tools/check_data.py PATH``."""

from __future__ import annotations

import sys
from dataclasses import asdict

from configs.tools import CheckData
from tools import cli


def main() -> None:
    """Print what is wrong with the data; exit status 2 if training would refuse it."""
    args = cli.parse(CheckData)
    from datasets.kinds import recognise
    from tools.flows.examining import examine_any

    cli.prepare(args.common)
    found = recognise(args.data, None if args.task == "auto" else args.task)
    if found.both:
        cli.say(f"{args.data}: taken for {found.kind}; --task classification reads its labels")
    checkup, text = examine_any(args, found)
    findings = [asdict(finding) for finding in checkup.findings]
    refused = any(finding.action == "refused" for finding in checkup.findings)
    report = {"task": found.kind, **checkup.summary, "refused": refused, "findings": findings}
    cli.result(args.common, report, text)
    if args.common.out:
        cli.write_json(args.common.out, report)
    if refused:
        sys.exit(cli.BAD_INPUT)


if __name__ == "__main__":
    cli.run(main)
