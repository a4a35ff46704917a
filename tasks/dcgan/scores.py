"""How similar generated images are to real ones, from their features alone.

The formulas are those of FID, KID, improved precision and recall, density and coverage; the
features are not Inception's but those of the user's classifier, so the scores can only be compared
with each other, and do not use the published names.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn import functional

from datasets.errors import InputError
from tasks.classification.model import Classifier

Features = NDArray[np.floating]
Matrix = NDArray[np.float64]

# The default of the authors of density and coverage.
NEIGHBOURS = 5

MEANINGS = {
    "frechet": "Frechet distance of the Gaussians fitted to both; 0 at best",
    "kid": "kernel distance (cubic), unbiased: about 0 for images of one kind",
    "kid_error": "standard error of the kernel distance",
    "precision": "share of generated images that lie among the images",
    "recall": "share of images that lie among the generated images",
    "density": "images that a generated image lies close to, of those expected; may exceed 1",
    "coverage": "share of images that have a generated image close by",
}
_BATCH = 128


def score(real: Features, fake: Features, neighbours: int = NEIGHBOURS) -> dict[str, float]:
    """All scores in :data:`MEANINGS`.

    Args:
        real: (N, D) features of real images.
        fake: (M, D) features of generated images.
        neighbours: Number of neighbours that define "close".

    Raises:
        InputError: If there are too few images.
    """
    if min(len(real), len(fake)) <= max(neighbours, 2):
        raise InputError(
            f"{len(real)} images and {len(fake)} generated images are too few to be scored: "
            f"{max(neighbours, 2) + 1} of each are needed"
        )
    kid, error = kernel_distance(real, fake)
    return {
        "frechet": frechet_distance(real, fake),
        "kid": kid,
        "kid_error": error,
        **neighbourhoods(real, fake, neighbours),
    }


def frechet_distance(real: Features, fake: Features) -> float:
    """Squared Frechet distance of the Gaussians fitted to two sets (Heusel et al., 1706.08500).

    |m - n|^2 + tr(A + B - 2 (A B)^1/2) for means m, n and covariances A, B of (N, D) and (M, D).
    """
    one, two = real.astype(np.float64), fake.astype(np.float64)
    first, second = np.atleast_2d(np.cov(one.T)), np.atleast_2d(np.cov(two.T))
    root = _root(first)
    # A^1/2 B A^1/2 has the eigenvalues of A B, and is symmetric: none of them is complex.
    values = np.linalg.eigvalsh(root @ second @ root)
    cross = float(np.sqrt(values.clip(min=0)).sum())
    apart = float(np.square(one.mean(axis=0) - two.mean(axis=0)).sum())
    return max(0.0, apart + float(np.trace(first) + np.trace(second)) - 2 * cross)


def _root(matrix: Matrix) -> Matrix:
    """Square root of a symmetric matrix without negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.sqrt(values.clip(min=0))) @ vectors.T)


def kernel_distance(real: Features, fake: Features) -> tuple[float, float]:
    """Squared maximum mean discrepancy by (x.y / D + 1)^3 (Binkowski et al., 1801.01401).

    The estimate is unbiased, so it may be below 0. The second value is its standard error by the
    jackknife over all images, of which there are more than 2 on both sides.
    """
    one, two = real.astype(np.float64), fake.astype(np.float64)
    n, m = len(one), len(two)
    across = _kernel(one, two)
    # Sums of each row without the image itself.
    rows = [k.sum(axis=1) - np.diag(k) for k in (_kernel(one, one), _kernel(two, two))]
    sums = [float(row.sum()) for row in rows]
    total = float(across.sum())
    value = sums[0] / (n * (n - 1)) + sums[1] / (m * (m - 1)) - 2 * total / (n * m)
    without_one = (
        (sums[0] - 2 * rows[0]) / ((n - 1) * (n - 2))
        + sums[1] / (m * (m - 1))
        - 2 * (total - across.sum(axis=1)) / ((n - 1) * m)
    )
    without_two = (
        (sums[1] - 2 * rows[1]) / ((m - 1) * (m - 2))
        + sums[0] / (n * (n - 1))
        - 2 * (total - across.sum(axis=0)) / (n * (m - 1))
    )
    variance = sum(
        (len(left) - 1) / len(left) * float(np.square(left - left.mean()).sum())
        for left in (without_one, without_two)
    )
    return value, float(np.sqrt(variance))


def _kernel(one: Matrix, two: Matrix) -> Matrix:
    return np.asarray((one @ two.T / one.shape[1] + 1) ** 3)


def neighbourhoods(real: Features, fake: Features, neighbours: int) -> dict[str, float]:
    """Precision and recall (1904.06991), density and coverage (Naeem et al., 2002.09797).

    A point's ball reaches to its k-th nearest neighbour in its own set, which has more than k
    points.

    Returns:
        ``precision``, the share of generated images in the ball of a real one; ``recall``, the
        share of real images in the ball of a generated one; ``density``, the number of real balls
        that a generated image is in, over k; ``coverage``, the share of real balls with a
        generated image in them.
    """
    one, two = real.astype(np.float64), fake.astype(np.float64)
    across = cdist(one, two)
    # A point is its own nearest neighbour: the k-th neighbour comes k places later.
    radii = [
        np.partition(cdist(own, own), neighbours, axis=1)[:, neighbours] for own in (one, two)
    ]
    in_real = across < radii[0][:, None]
    in_fake = across < radii[1][None, :]
    return {
        "precision": float(in_real.any(axis=0).mean()),
        "recall": float(in_fake.any(axis=1).mean()),
        "density": float(in_real.sum(axis=0).mean() / neighbours),
        "coverage": float(in_real.any(axis=1).mean()),
    }


def nearest(real: Features, fake: Features) -> NDArray[np.int64]:
    """(M,) row of the real image whose features are nearest to each generated image's."""
    return np.asarray(cdist(fake, real).argmin(axis=1), dtype=np.int64)


class FeatureNet:
    """The pooled last map of a classifier's body, from which scores are computed.

    Every image, real or generated, has the generator's size and is resized as a whole to the
    classifier's: the compared images differ in nothing but their source.
    """

    def __init__(self, classifier: Classifier, name: str, device: str) -> None:
        self.name, self.device = name, device
        self._net = classifier.to(device).eval()

    def __call__(self, pictures: Tensor) -> NDArray[np.float32]:
        """Features (B, D) of images (B, 3, H, W) uint8 RGB."""
        net, size = self._net, self._net.spec.size
        with torch.inference_mode(), torch.autocast(torch.device(self.device).type, enabled=False):
            images = pictures.to(self.device).float()
            if images.shape[-1] != size:
                images = functional.interpolate(
                    images, (size, size), mode="bilinear", antialias=True
                ).round()
            maps = net.body(net.normalize(images))[net.last_stride]
            return np.asarray(maps.mean(dim=(2, 3)).cpu().numpy(), dtype=np.float32)

    def of_all(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (N, D) of images (N, H, W, 3) uint8 RGB."""
        parts = [
            self(torch.from_numpy(pixels[start : start + _BATCH]).permute(0, 3, 1, 2))
            for start in range(0, len(pixels), _BATCH)
        ]
        return np.concatenate(parts)


class Judge(NamedTuple):
    """Scores generated images against real images, by the features ``real`` (N, D) of these.

    ``labels`` (N,) are their columns; generated images have the same classes.
    """

    net: FeatureNet
    real: NDArray[np.float32]
    labels: NDArray[np.int64]

    @property
    def title(self) -> str:
        """Title of the Frechet distance: never the published name, which implies Inception."""
        return f"Frechet distance in the features of {self.net.name}"

    def score(self, fake: NDArray[np.float32]) -> dict[str, float]:
        """Scores of generated images' features (M, D)."""
        return score(self.real, fake)
