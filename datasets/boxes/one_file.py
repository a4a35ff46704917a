"""Formats in which one file describes all images of a split: claiming and reading them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.boxes.described import Described, Told, gather, tell_unnamed
from datasets.boxes.listed_paths import Finder
from datasets.boxes.structure import DetectionData
from datasets.boxes.tree import Tree, split_files
from datasets.claims import Claim, Strength
from datasets.names import in_order, is_folder

ReadFile = Callable[[Path, Finder, Told], list[Described]]


@dataclass(frozen=True)
class FilePart:
    """One split.

    Attributes:
        file: What describes its images.
        files: Files of all splits, which agree about the classes.
        base: Folder of the set, or of the images where they lie elsewhere.
        names: File about the classes, if there is one.
        subset: Images of the file to use; None uses all.
    """

    file: Path
    files: tuple[Path, ...]
    base: Path
    names: Path | None = None
    subset: str | None = None


def claim_files(
    format: str,
    tree: Tree,
    files: Sequence[Path],
    what: str,
    *,
    is_named: Callable[[Path], bool] = lambda _file: False,
    names: Sequence[Path] = (),
) -> Claim | None:
    """The claim of files that describe images; None without files.

    Args:
        format: Name of the format.
        tree: Files that are claimed.
        files: Files that describe images.
        what: They have, for people.
        is_named: Whether a file has the name that the format gives it; such a one wins.
        names: Files about the classes, of which the first is taken.

    Raises:
        InputError: If several files could be the same part.
    """
    if not files:
        return None
    chosen, unclear = split_files(tree.base, files, is_named)
    evidence = f"{tree.name_of(next(iter(chosen.values())))} has {what}"
    everything, base = tuple(chosen.values()), tree.images or tree.base
    parts = {
        split: FilePart(file, everything, base, next(iter(names), None))
        for split, file in chosen.items()
    }
    return Claim(
        format=format,
        strength=tree.strength(Strength.DECLARED),
        evidence=evidence,
        parts=parts,
        no_test=unclear,
    )


def read_files(
    format: str,
    root: Path,
    part: FilePart,
    read_file: ReadFile,
    *,
    by: str,
    told: Told | None = None,
    classes: Callable[[set[str]], list[str]] = in_order,
    relative: bool = False,
    upright: bool = False,
) -> DetectionData:
    """Read the file of a split; images beside those that it describes are reported.

    Args:
        format: Name of the format.
        root: Folder of the data set.
        part: The split.
        read_file: Function that reads one file.
        by: What names an image: ``line in a table``.
        told: What was skipped before.
        classes: Function that returns the names in label order, of those that boxes have in any
            split.
        relative: Whether boxes are in 0..1 of width and height.
        upright: Whether boxes are drawn on the image as its EXIF tag turns it.

    Raises:
        InputError: Whatever ``read_file`` raises.
    """
    told = told or Told(root)
    tables = {}
    for file in part.files:
        near = (file.parent, file.parent / "images", part.base / "images", part.base / file.stem)
        counted = told if file == part.file else Told(root)
        finder = Finder(part.base, near, described_by=file)
        tables[file] = read_file(file, finder, counted)
    everything = [picture for pictures in tables.values() for picture in pictures]
    pictures = [picture for picture in tables[part.file] if picture.wanted]
    names = {name for picture in everything for name in picture.names}
    folders = [one.file.parent for one in pictures if is_folder(one.file.parent)]
    tell_unnamed(told, folders, everything, by)
    return gather(
        format, root, pictures, classes(names), told=told, relative=relative, upright=upright
    )
