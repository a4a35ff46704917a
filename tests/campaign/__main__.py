"""``python -m tests.campaign [PART...]``: what is done to the tools by hand and at night."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

# Before anything is imported that computes: children are forked, which threads do not survive.
os.environ.setdefault("OMP_NUM_THREADS", "1")

PARTS = ("fuzz", "kills", "disk", "requests", "races")


def main() -> int:
    """Do all parts, or those that are named; print what was found. Exit status 1 if anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--seed", type=int, default=0, help="of all that is left to chance")
    parser.add_argument("--count", type=int, help="inputs of fuzz, kills")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--reader", nargs="*", default=[], help="of fuzz: those that begin so")
    parser.add_argument("--number", type=int, help="of fuzz: one input alone, in this process")
    parser.add_argument("--tool", nargs="*", default=[], help="of kills, disk: these alone")
    parser.add_argument("--keep", type=Path, default=Path("campaign"), help="folder for faults")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"{', '.join(sorted(unknown))}: the parts are {', '.join(PARTS)}")
    if "disk" in given.parts or not given.parts:
        from tests.campaign import disk

        if not disk.preloaded():
            disk.begin_anew()
    import torch

    torch.set_num_threads(1)
    from tests.campaign.summary import Tally, conclude

    tallies: list[Tally] = []
    parts = given.parts or list(PARTS)
    if "fuzz" in parts:
        from tests.campaign.fuzz import fuzz

        tallies.append(
            fuzz(
                given.count or 50_000, given.seed, given.jobs, given.reader, given.keep,
                given.number,
            )
        )  # fmt: skip
    if "kills" in parts:
        from tests.campaign.kills import kills

        tallies.append(kills(given.count or 200, given.seed, given.tool, given.keep))
    if "disk" in parts:
        from tests.campaign.disk import full_disk

        tallies.append(full_disk(given.count or 100, given.tool, given.keep))
    if "requests" in parts:
        from tests.campaign.requests import attack

        tallies.append(attack(given.count or 500, given.seed))
    if "races" in parts:
        from tests.campaign.races import race

        tallies.append(race(given.count or 10, given.seed, given.keep))
    return conclude(tallies)


if __name__ == "__main__":
    sys.exit(main())
