"""Photos in; their most likely classes out, as pictures and as JSON."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from configs.tools import Predict
from datasets.errors import InputError
from datasets.images import Image, save_image
from tasks.classification.answer import Answer, ExportedLabels, LabelPredictor
from tasks.classification.draw import draw_answer
from tasks.classification.load import TASK, load_classifier
from tasks.runtime.open import is_export
from tools import cli
from tools.detection.media import ahead, batches, find_media, output_files, read_or_reason
from tools.flows.exported import open_export
from tools.flows.report_facts import centre_of

# Flags of tools/predict.py that not all applications take.
PREDICT_FLAGS: tuple[str, ...] = ()

_SHOWN = 20
Found = TypeVar("Found")


def predict_labels(args: Predict) -> tuple[dict[str, Any], str]:
    """Classify photos, draw the answers and write ``predictions.json``.

    Returns:
        The result for programs and for people.

    Raises:
        InputError: If weights, flags or files do not fit.
    """
    device = cli.prepare(args.common)
    args.refuse_unless(PREDICT_FLAGS, TASK)
    photos, videos = find_media(args.paths)
    if videos:
        raise InputError(f"{videos[0]}: videos are for detectors; name photos or folders")
    folder = args.common.out or Path("predictions")
    files = output_files(photos, folder) if args.draw else {}
    predictor = _open(args, device)
    folder.mkdir(parents=True, exist_ok=True)
    answers, failures = answer_photos(args, photos, predictor, files, _drawn)
    for failure in failures:
        cli.say(f"warning: {failure}")
    if not answers:
        raise InputError("none of the files could be read")
    rows = [
        {"file": str(path), "classes": answer.names, "probabilities": answer.probabilities}
        for path, answer in answers
    ]
    cli.write_json(folder / "predictions.json", {"photos": rows})
    lines = [
        f"  {path}: " + ", ".join(f"{n} {p:.2f}" for n, p in zip(*answer, strict=True))
        for path, answer in answers[:_SHOWN]
    ]
    if len(answers) > _SHOWN:
        lines.append(f"  ... and {len(answers) - _SHOWN} more")
    lines.append(f"{len(answers)} photos: {folder}")
    return {"folder": str(folder), "unreadable": failures, "photos": rows}, "\n".join(lines)


def _open(args: Predict, device: str) -> LabelPredictor | ExportedLabels:
    if is_export(args.weights):
        return ExportedLabels(open_export(args, TASK))
    model, card = load_classifier(args.weights)
    return LabelPredictor(model, card.classes, device, centre_of(card))


def answer_photos(
    args: Predict,
    photos: list[Path],
    predictor: Callable[[list[Image]], list[Found]],
    files: dict[Path, Path],
    draw: Callable[[Image, Found], Image],
) -> tuple[list[tuple[Path, Found]], list[str]]:
    """Answers and failures; reading and writing run in threads beside the network.

    Args:
        args: How many photos per pass, and whether to draw.
        photos: To be read.
        predictor: Answers for some (H, W, 3) RGB pictures.
        files: Where each drawn picture goes.
        draw: Draws an answer.

    Returns:
        Readable photos with their answers, and a message for each of the others.
    """
    answers: list[tuple[Path, Found]] = []
    failures: list[str] = []
    with ThreadPoolExecutor() as readers, ThreadPoolExecutor() as writers:
        images = ahead(readers, read_or_reason, photos, 2 * args.batch_size)
        pairs = tqdm(
            zip(photos, images, strict=True), "looking", len(photos), unit="photo", delay=1
        )
        readable = (pair for pair in pairs if _is_image(pair[1], failures))
        writing: deque[Future[None]] = deque()
        for batch in batches(readable, args.batch_size):
            pictures = [image for _, image in batch if not isinstance(image, str)]
            for (path, _), image, found in zip(batch, pictures, predictor(pictures), strict=True):
                answers.append((path, found))
                if args.draw:
                    writing.append(writers.submit(_write, files[path], image, found, draw))
            while len(writing) > args.batch_size:
                writing.popleft().result()
        for job in writing:
            job.result()
    return answers, failures


def _is_image(image: Image | str, failures: list[str]) -> bool:
    if isinstance(image, str):
        failures.append(image)
        return False
    return True


def _write(path: Path, image: Image, found: Found, draw: Callable[[Image, Found], Image]) -> None:
    save_image(path, draw(image, found))


def _drawn(image: Image, answer: Answer) -> Image:
    return draw_answer(image, answer.names, answer.probabilities)
