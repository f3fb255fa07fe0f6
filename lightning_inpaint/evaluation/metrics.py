"""Distances and shares between two sets of pictures in a feature network's space."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

__all__ = [
    "conditional_frechet_distance",
    "frechet_distance",
    "kernel_distance",
    "nearest_neighbours",
    "precision_recall",
]


def _chunks(x: Tensor, size: int = 500) -> Iterator[Tensor]:
    return iter(x.split(size))


class _Identity(nn.Module):
    """Feature vectors computed once pass through torchmetrics unchanged."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        return x


def frechet_distance(real: Tensor, fake: Tensor) -> float:
    """Frechet distance of two sets of feature vectors (N, D) (Heusel et al. 2017, 1706.08500)."""
    metric = FrechetInceptionDistance(feature=_Identity(real.shape[1]))
    metric.set_dtype(torch.float64)
    for part in _chunks(real.double()):
        metric.update(part, real=True)
    for part in _chunks(fake.double()):
        metric.update(part, real=False)
    return float(metric.compute())


def conditional_frechet_distance(real: Tensor, fake: Tensor, condition: Tensor) -> float:
    """Frechet distance of two sets of vectors given what both were asked for, mean over the conditions.

    Soloveitchik et al. 2021, "Conditional Frechet Inception Distance" (arXiv:2103.11521, eq. 4): all
    three are taken to be jointly Gaussian. A completion that is likely by itself, but not for what is
    around it, shows here and not in :func:`frechet_distance`. It wants several times as many rows as
    vectors have dimensions.

    Args:
        real: (N, D), a row for each row of ``condition``.
        fake: the same of generated pictures.
        condition: (N, C).
    """
    x, z, y = (part.double() - part.double().mean(dim=0) for part in (real, fake, condition))
    count = len(y)
    inverse = torch.linalg.pinv(y.T @ y / count, hermitian=True, rtol=1e-10)
    x_y, z_y = x.T @ y / count, z.T @ y / count
    x_given = x.T @ x / count - x_y @ inverse @ x_y.T
    z_given = z.T @ z / count - z_y @ inverse @ z_y.T
    means = (real.double().mean(dim=0) - fake.double().mean(dim=0)).square().sum()
    answers = ((x_y - z_y) @ inverse @ (x_y - z_y).T).trace()
    root = _square_root(x_given)
    shared = _square_root(root @ z_given @ root).trace()
    return float(means + answers + x_given.trace() + z_given.trace() - 2 * shared)


def _square_root(x: Tensor) -> Tensor:
    """Of a symmetric positive semi-definite matrix; what rounding made negative is 0."""
    values, vectors = torch.linalg.eigh((x + x.T) / 2)
    root: Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return root


def kernel_distance(real: Tensor, fake: Tensor, subset: int = 1000) -> float:
    """Kernel distance of two sets of feature vectors (N, D) (Binkowski et al. 2018, 1801.01401).

    Mean over 100 subsets of ``subset`` vectors, with the generator's own cubic kernel.
    """
    size = min(subset, len(real), len(fake))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*will save all extracted features in buffer")
        metric = KernelInceptionDistance(feature=_Identity(real.shape[1]), subset_size=size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the choice of subsets
        for part in _chunks(real):
            metric.update(part, real=True)
        for part in _chunks(fake):
            metric.update(part, real=False)
        return float(metric.compute()[0])


def _radii(x: Tensor, k: int) -> Tensor:
    """Distance of each row to its k-th nearest other row."""
    rows = [torch.cdist(part, x).kthvalue(k + 1, dim=1).values for part in _chunks(x, 1000)]
    return torch.cat(rows)


def _share_inside(points: Tensor, centres: Tensor, radii: Tensor) -> float:
    inside = [(torch.cdist(p, centres) <= radii).any(dim=1) for p in _chunks(points, 1000)]
    return float(torch.cat(inside).float().mean())


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Improved precision and recall (Kynkaanniemi et al. 2019, arXiv:1904.06991, eq. 2).

    Args:
        real: feature vectors (N, D) of real pictures (10,000 in the paper's spirit).
        fake: as many of generated ones.
        k: neighbours that set the radius of each point's ball.

    Returns:
        Share of generated vectors inside the real ones' balls, and the reverse.
    """
    precision = _share_inside(fake, real, _radii(real, k))
    return precision, _share_inside(real, fake, _radii(fake, k))


def nearest_neighbours(queries: Tensor, pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Nearest of ``pictures`` (M, D) for each of ``queries`` (N, D).

    Returns:
        Positions (N,) and Euclidean distances (N,).
    """
    best = torch.full((len(queries),), float("inf"))
    where = torch.zeros(len(queries), dtype=torch.int64)
    start = 0
    for part in _chunks(pictures, 5000):
        distance, index = torch.cdist(
            queries, part, compute_mode="donot_use_mm_for_euclid_dist"
        ).min(dim=1)
        closer = distance < best
        best = torch.where(closer, distance, best)
        where = torch.where(closer, index + start, where)
        start += len(part)
    return where, best
