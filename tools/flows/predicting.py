"""Prediction: images, videos and streams in; results on the disk as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import groupby, islice, takewhile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from configs.tools import Predict
from datasets.errors import InputError
from datasets.images import Image
from datasets.names import shown, shown_in
from tasks.application import Tracker
from tasks.predictor import Model, Predictor
from tasks.runtime.open import is_export
from tools import cli
from tools.flows.journal import PARTIAL, Journal, rows_in
from tools.flows.opening import choose_head, open_to_answer
from tools.flows.pictures import DRAWN_AS, ahead, batches, write_picture
from tools.flows.predicted import Begun, begin, finish
from tools.flows.results import Found, Names, Results, Row
from tools.flows.run_folder import require_folder
from tools.flows.signals import stoppable
from tools.flows.sources import Entry, Sources, open_sources
from tools.flows.tracks import last_track
from tools.flows.videos import OpenedFilm, VideoFile

if TYPE_CHECKING:
    from tools.flows.recipe import Recipe

# Number of images whose answers are shown in the terminal.
_SHOWN = 20
Numbered = tuple[int, Entry]


def predict(
    args: Predict, recipes: Callable[[], Sequence[Recipe[Any]]]
) -> tuple[dict[str, Any], str]:
    """Answer for everything that the arguments name, and write the results.

    Args:
        args: Flags.
        recipes: Function that imports the recipes, with torch, which only comparisons need.

    Returns:
        The result as data and as text.

    Raises:
        InputError: If flags, model or files do not fit, or nothing could be read.
    """
    args = choose_head(args)
    on_cpu = is_export(args.weights)
    device = cli.prepare_export() if on_cpu else cli.prepare(args.common)
    model = open_to_answer(args)
    application = model.application
    if application.compares:
        from tools.flows.collecting import collect

        return collect(args, model, device, recipes())
    folder = args.common.out or Path("predictions")
    require_folder(folder)
    follow, lines = _follow(args, model), [line.name for line in args.tracking.parsed]
    results = Results(
        args.format, model, folder, crops=args.crops, lines=None if follow is None else lines
    )
    with open_sources(args.paths, folder) as sources:
        if application.use_note:
            cli.say(application.use_note)
        if (args.every > 1 or args.frames) and not sources.films:
            cli.say("--every and --frames have no effect: there are only images")
        if follow is not None and not sources.films:
            raise InputError(
                "--track: follows objects through videos and streams, and there are only images; "
                "make a video of the frames of one, such as by ffmpeg -framerate 25 -i "
                "frames/%06d.jpg film.mp4"
            )
        with begin(args, results, sources) as begun:
            if begun.found is None:
                predictor = _predictor(args, model, device)
                work = _Prediction(args, predictor, results, begun, follow)
                with stoppable():
                    work.run(sources)
                return finish(args, results, begun, work.lines)
            cli.say(f"{folder}: complete already")
            return finish(args, results, begun, [])


def _predictor(args: Predict, model: Model, device: str) -> Predictor:
    """The model's predictor, which looks at tiles if these are requested."""
    predictor, tiled = model.predictor(device), model.application.tiled
    if not args.tiling.tiles or tiled is None:
        return predictor
    return replace(
        predictor, outputs=tiled(predictor.outputs, args.tiling, model.facts, args.batch_size)
    )


def _follow(args: Predict, model: Model) -> Callable[[float, int], Tracker] | None:
    """Function that begins to follow the objects of a video; None unless that is requested.

    Raises:
        InputError: If the libraries for it are not installed.
    """
    if not args.tracking.track or model.application.tracked is None:
        return None
    return model.application.tracked(model.answers, model.options)


@dataclass(frozen=True)
class _Paths:
    """Where something is written for an entry, relative to the output; empty for nowhere."""

    drawn: str = ""
    labels: str = ""


@dataclass(frozen=True)
class _Item:
    """An image or frame to answer for."""

    name: str
    image: Image
    paths: _Paths


class _Prediction:
    """Goes through the entries, and writes the results of each batch as soon as it is complete.

    Attributes:
        lines: Answers to the first images, as text.
    """

    def __init__(
        self,
        args: Predict,
        predictor: Predictor,
        results: Results,
        begun: Begun,
        follow: Callable[[float, int], Tracker] | None,
    ) -> None:
        self._args, self._predictor, self._results = args, predictor, results
        self._follow = follow
        self._place, self._bounds = begun.place, begun.bounds
        self._folder = results.folder
        self._drawn, self._labels = Names(), Names()
        self._pending: deque[tuple[list[Row], list[Future[None]]]] = deque()
        self.lines: list[str] = []

    def run(self, sources: Sources) -> None:
        """Process all entries that are left."""
        first, last = self._bounds
        total = None if sources.live else last - first
        with ExitStack() as opened:
            journal = self._journal = Journal(self._folder, self._place)
            opened.callback(journal.close)
            self._readers = opened.enter_context(ThreadPoolExecutor())
            self._writers = opened.enter_context(ThreadPoolExecutor())
            self._bar = opened.enter_context(
                tqdm(
                    desc="predicting",
                    total=total,
                    initial=self._place.entry - first,
                    unit="image",
                    delay=1,
                )
            )
            left = islice(self._named(sources), self._place.entry, last)
            try:
                for is_film, group in groupby(left, lambda one: one[0][1].film is not None):
                    if is_film:
                        for (number, entry), paths in group:
                            self._film(number, entry, paths)
                    else:
                        self._images(group)
            except KeyboardInterrupt:
                cli.say(f"stopped; the same command with --resume goes on: {self._folder}")
                raise

    def _named(self, sources: Iterable[Entry]) -> Iterator[tuple[Numbered, _Paths]]:
        """All entries; names of files depend on those before, also on what is done already."""
        for number, entry in enumerate(sources):
            stem, suffix = _split(entry.place)
            drawn = labels = ""
            if self._args.draw:
                kept = suffix if suffix.lower() in DRAWN_AS else ".jpg"
                drawn = self._drawn.unique(stem, ".mp4" if entry.film is not None else kept)
            if self._results.needs_names():
                # Frames have a folder of their own, which no image's stem is.
                labels = self._labels.unique(stem if entry.film is None else entry.place, "")
            yield (number, entry), _Paths(drawn, labels)

    def _images(self, group: Iterable[tuple[Numbered, _Paths]]) -> None:
        """Process images while threads read and write."""
        batch: list[_Item] = []
        for ((number, entry), paths), image in ahead(
            self._readers, _read, group, 2 * self._args.batch_size
        ):
            if isinstance(image, str):
                self._fail(number, entry, image)
            else:
                batch.append(_Item(entry.name, image, paths))
            if len(batch) == self._args.batch_size:
                self._answer(batch)
                batch = []
            self._bar.update()
        self._answer(batch)
        self._commit(0)

    def _answer(self, batch: list[_Item]) -> None:
        if not batch:
            return
        jobs: list[Future[None]] = []
        rows: list[Row] = []
        answers = self._predictor([item.image for item in batch])
        for item, answer in zip(batch, answers, strict=True):
            rows.append(self._row(item, answer))
            if item.paths.drawn:
                path = self._results.path(self._results.drawn / item.paths.drawn)
                jobs.append(self._writers.submit(self._draw, path, item.image, answer))
            if item.paths.labels:
                found = Found(rows[-1], item.image)
                write = self._results.write_labels
                jobs.append(self._writers.submit(write, found, item.paths.labels))
        self._pending.append((rows, jobs))
        self._commit(1)

    def _row(self, item: _Item, answer: Any) -> Row:
        answers = self._predictor.answers
        if len(self.lines) < _SHOWN:
            self.lines.append(f"  {item.name}: {answers.line(answer)}")
        return self._results.row(item.name, item.image, answers.to_json(answer))

    def _draw(self, path: Path, image: Image, answer: Any) -> None:
        write_picture(path, self._predictor.answers.draw(image, answer))

    def _commit(self, left: int) -> None:
        """Write the results of batches of which everything else is written, but for the last."""
        while len(self._pending) > left:
            # Ctrl-C while it waits must not lose the batch: a stream then still ends in order.
            for job in self._pending[0][1]:
                job.result()
            self._journal.add(self._pending.popleft()[0])

    def _fail(self, number: int, entry: Entry, why: str) -> None:
        if self._args.strict:
            self._commit(0)
            raise InputError(f"{why} (--strict)")
        self._journal.add_bad(number, entry.name, why)

    def _film(self, number: int, entry: Entry, paths: _Paths) -> None:
        """Process a video or stream."""
        assert entry.film is not None
        begun = number == self._place.entry
        first, used = (self._place.frame, self._place.used) if begun else (0, 0)
        try:
            opened = OpenedFilm(entry.film, entry.name)
        except InputError as error:
            self._fail(number, entry, str(error))
        else:
            with opened:
                count = self._frames_of(opened, entry, paths, (first, used))
            self._commit(0)
            if opened.is_cut and not self._args.frames and (count or first):
                there = f"{opened.seen} of {opened.count} frames could be decoded"
                cli.say(f"warning: {shown(entry.name)}: {there}; the video is damaged")
            if not count and not first:
                none = "no frame came" if entry.film.live else "holds no frame that can be decoded"
                self._fail(number, entry, f"{shown(entry.name)}: {none}")
        self._bar.update()

    def _frames_of(
        self, opened: OpenedFilm, entry: Entry, paths: _Paths, done: tuple[int, int]
    ) -> int:
        """Process the frames of a film, and draw them as a video; returns their number."""
        args, count, (first, used) = self._args, 0, done
        live = entry.film is not None and entry.film.live
        frames: Iterator[tuple[int, Image]] = opened.frames(first, args.every)
        if args.frames and live:  # Their numbers have gaps.
            frames = islice(frames, max(0, args.frames - used))
        elif args.frames:
            most = args.frames * args.every
            frames = takewhile(lambda one: one[0] < most, frames)
        bar = tqdm(
            desc=shown(PurePosixPath(entry.name).name),
            total=_total(opened.count, args),
            initial=used,
            unit="frame",
            delay=1,
        )
        with bar, ExitStack() as stack:
            drawn: VideoFile | None = None
            if paths.drawn:
                path = self._results.path(self._results.drawn / paths.drawn)
                drawn = stack.enter_context(VideoFile(path, opened.rate / args.every))
            tracker = self._tracker(opened, entry, begun=bool(first))
            try:
                for batch in batches(frames, 1 if live else args.batch_size):
                    self._frames(entry, batch, paths, drawn, tracker)
                    count += len(batch)
                    bar.update(len(batch))
            except KeyboardInterrupt:
                if not live:
                    raise
        return count

    def _tracker(self, opened: OpenedFilm, entry: Entry, *, begun: bool) -> Tracker | None:
        """What follows the objects of a film; of one that goes on, its numbers go on too."""
        if self._follow is None:
            return None
        last = last_track(rows_in(self._folder / PARTIAL), shown_in(entry.name)) if begun else 0
        return self._follow(opened.rate / self._args.every, last + 1)

    def _frames(
        self,
        entry: Entry,
        batch: list[tuple[int, Image]],
        paths: _Paths,
        drawn: VideoFile | None,
        tracker: Tracker | None,
    ) -> None:
        rows, jobs = [], []
        images = [image for _, image in batch]
        if tracker is None:
            answers = self._predictor(images)
        else:
            answers = [
                tracker(outputs, number // self._args.every, image.shape[1::-1])
                for (number, image), outputs in zip(
                    batch, self._predictor.outputs(images), strict=True
                )
            ]
        for (number, image), answer in zip(batch, answers, strict=True):
            item = _Item(f"{entry.name}#{number}", image, paths)
            rows.append(self._row(item, answer))
            if drawn is not None:
                drawn.write(self._predictor.answers.draw(image, answer))
            if paths.labels:
                found, place = Found(rows[-1], image), f"{paths.labels}/{number:06d}"
                jobs.append(self._writers.submit(self._results.write_labels, found, place))
        self._pending.append((rows, jobs))
        self._commit(1)


def _read(one: tuple[Numbered, _Paths]) -> tuple[tuple[Numbered, _Paths], Image | str]:
    """An entry and its image (H, W, 3) RGB, or why that cannot be read."""
    (_, entry), _ = one
    assert entry.read is not None
    try:
        return one, entry.read()
    except ValueError as error:
        return one, str(error)


def _split(place: str) -> tuple[str, str]:
    """A path without its suffix, and the suffix."""
    folder, slash, name = place.rpartition("/")
    stem, dot, suffix = name.rpartition(".")
    return (f"{folder}{slash}{stem}", f".{suffix}") if dot and stem else (place, "")


def _total(count: int | None, args: Predict) -> int | None:
    """Number of frames that are used of a film; None if it is not known."""
    used = None if count is None else -(-count // args.every)
    if args.frames:
        return args.frames if used is None else min(used, args.frames)
    return used
