"""Images as programs hold them, each brought to (H, W, 3) uint8 RGB or refused with the reason."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

from datasets.errors import InputError
from datasets.images import Image, decode_image, read_image

if TYPE_CHECKING:
    import PIL.Image
    from torch import Tensor

    OneImage: TypeAlias = str | Path | bytes | PIL.Image.Image | NDArray[Any] | Tensor

KINDS = (
    "a path, the bytes of an image file, a PIL image, an array (H, W, 3) uint8 RGB or a tensor "
    "(3, H, W), uint8 or float in 0..1"
)
_BGR = "; OpenCV reads BGR: pass image[..., ::-1]"
# Pillow would cut these off at 255 without a word.
_DEEP_MODES = ("I", "F")


def is_image(given: object) -> TypeGuard[OneImage]:
    """Whether something is meant as one image, rather than as several."""
    if isinstance(given, str | Path | bytes | bytearray | memoryview | np.ndarray):
        return True
    return _is_pil(given) or _is_tensor(given)


@dataclass(frozen=True)
class GivenImage:
    """One image, which is read again each time its pixels are requested.

    Attributes:
        given: The image as the program passed it.
        place: Name in messages if it has no path: ``image 3``.
    """

    given: OneImage
    place: str = "the image"

    def pixels(self) -> Image:
        """(H, W, 3) uint8 RGB, upright.

        Raises:
            InputError: If it cannot be read, or is of another kind, shape, type or range.
        """
        given: Any = self.given
        if isinstance(given, str | Path):
            if Path(given).is_dir():
                raise InputError(
                    f"{given}: is a folder; pass a list of its files, as "
                    "sorted(folder.glob('*.jpg'))"
                )
            return read_image(given, upright=True)
        if isinstance(given, bytes | bytearray | memoryview):
            return decode_image(bytes(given), self.place, upright=True)
        if _is_tensor(given):
            return _from_tensor(given, self.place)
        if isinstance(given, np.ndarray):
            return _from_array(given, self.place)
        return _from_pil(given, self.place)


def _is_pil(given: object) -> bool:
    pil = sys.modules.get("PIL.Image")  # Whoever holds such an image has imported it.
    return pil is not None and isinstance(given, pil.Image)


def _is_tensor(given: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(given, torch.Tensor)


def _from_array(given: NDArray[Any], place: str) -> Image:
    what = f"{place}: an array of {given.dtype} {given.shape}, but (height, width, 3) uint8 RGB"
    if given.ndim != 3 or given.shape[2] != 3 or not given.size:
        raise InputError(f"{what} is expected{_shape_fix(given.shape)}")
    if given.dtype != np.uint8:
        fix = "convert it to 0..255 and uint8"
        if np.issubdtype(given.dtype, np.floating) and 0 <= given.min() <= given.max() <= 1:
            fix = "(255 * image).round().astype(np.uint8)"
        raise InputError(f"{what} is expected: {fix}{_BGR}")
    return np.ascontiguousarray(given)


def _shape_fix(shape: tuple[int, ...]) -> str:
    """What makes an array the right shape, if that is plain."""
    if len(shape) == 4:
        return ": pass a batch as a list, list(images)"
    if len(shape) == 2:
        return ": repeat the grey channel, np.dstack([image] * 3)"
    if len(shape) == 3 and shape[2] == 4:
        return ": drop the alpha channel, image[..., :3]"
    if len(shape) == 3 and shape[2] == 1:
        return ": repeat the grey channel, image.repeat(3, axis=2)"
    if len(shape) == 3 and shape[0] == 3:
        return ": put the channels last, image.transpose(1, 2, 0)"
    return _BGR


def _from_tensor(given: Tensor, place: str) -> Image:
    import torch

    what = f"{place}: a tensor of {given.dtype} {tuple(given.shape)}, but (3, height, width)"
    if given.ndim != 3 or given.shape[0] != 3 or not given.numel():
        fix = ""
        if given.ndim == 4:
            fix = ": pass a batch as a list, list(images)"
        elif given.ndim == 3 and given.shape[2] == 3:
            fix = ": put the channels first, image.permute(2, 0, 1)"
        raise InputError(f"{what} RGB is expected{fix}")
    given = given.detach().cpu()
    if given.is_floating_point():
        # Asked in this order, numbers that are none are refused, too.
        low, high = given.min().item(), given.max().item()
        if not (low >= 0 and high <= 1):
            raise InputError(
                f"{place}: a tensor of floats from {low:.4g} to {high:.4g}, but 0..1 is expected: "
                "divide by 255 where they are bytes, and leave out mean and standard deviation, "
                "for the model normalises its input itself"
            )
        given = (given.float() * 255).round().to(torch.uint8)
    if given.dtype != torch.uint8:
        raise InputError(f"{what} uint8, or float in 0..1, is expected")
    return np.ascontiguousarray(given.permute(1, 2, 0).numpy())


def _from_pil(given: PIL.Image.Image, place: str) -> Image:
    from PIL import ImageOps

    if given.mode.startswith(_DEEP_MODES):
        raise InputError(
            f"{place}: a PIL image of mode {given.mode!r}, which has more than 8 bits: pass its "
            "path or bytes, or bring it to 0..255 and mode 'RGB' first"
        )
    try:
        return np.array(ImageOps.exif_transpose(given).convert("RGB"), dtype=np.uint8)
    except OSError as error:  # Pillow decodes late, and may find the file cut short.
        raise InputError(f"{place}: the PIL image cannot be decoded ({error})") from error
