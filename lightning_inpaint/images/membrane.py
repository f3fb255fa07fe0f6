"""Harmonic interpolation over a hole of any shape: conjugate gradients with a multigrid V-cycle."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

__all__ = ["membrane"]

_DAMPING = 0.8  # of the Jacobi smoother, the usual choice for the five-point stencil
_ITERATIONS = 200  # a limit that is never met in practice: about 10 are enough


def membrane(
    values: np.ndarray, unknown: np.ndarray, fixed: np.ndarray, tolerance: float = 0.05
) -> np.ndarray:
    """Fill the unknown pixels so that each is the mean of its neighbours.

    Solves ``sum over the neighbours q of (f_p - f_q) = 0`` for all unknown p, with no flux through
    the border of the array, by conjugate gradients preconditioned with one V-cycle (Tatebe, "The
    multigrid preconditioned conjugate gradient method", 1993): the number of iterations does not
    grow with the size of the hole.

    Args:
        values: float ``(H, W)``, read where ``fixed``.
        unknown: bool ``(H, W)``.
        fixed: bool ``(H, W)``, disjoint from ``unknown``; the rest is left out of the equations.
        tolerance: Stop when a V-cycle would change no pixel by more than this.

    Returns:
        float32 ``(H, W)``: ``values`` where fixed, 0 outside ``unknown | fixed``. Parts of the hole
        that touch nothing fixed are 0.
    """
    field = np.where(fixed, values, 0).astype(np.float32)
    if unknown.any():
        window = tuple(_extent(np.asarray(unknown.any(axis=other))) for other in (1, 0))
        field[window] = _solve(field[window], unknown[window], fixed[window], tolerance)
    return field


def _extent(used: np.ndarray) -> slice:
    """From one before the first to one after the last of the used rows: the hole and its rim."""
    places = np.flatnonzero(used)
    return slice(max(0, places[0] - 1), places[-1] + 2)


def _solve(
    field: np.ndarray, unknown: np.ndarray, fixed: np.ndarray, tolerance: float
) -> np.ndarray:
    if not fixed.any():
        return field
    levels = _hierarchy(unknown, fixed)
    residual = -_residual_of(field, levels[0])
    direction = step = _v_cycle(residual, levels)
    rho = np.vdot(residual, step)
    for _ in range(_ITERATIONS):
        if rho <= 0 or np.abs(step).max() <= tolerance:
            break
        image = _residual_of(direction, levels[0])
        length = rho / np.vdot(direction, image)
        field = field + length * direction
        residual = residual - length * image
        step = _v_cycle(residual, levels)
        rho, previous = np.vdot(residual, step), rho
        direction = step + (rho / previous) * direction
    return field


class _Level(NamedTuple):
    unknown: np.ndarray  # bool (H, W)
    degree: np.ndarray  # float32 (H, W): neighbours that take part
    inverse: np.ndarray  # float32 (H, W): damping / degree where unknown, else 0


def _hierarchy(unknown: np.ndarray, fixed: np.ndarray) -> list[_Level]:
    """The problem at full, half, quarter ... resolution, until nothing unknown is left."""
    levels = []
    while unknown.any():
        degree = _neighbour_sum((unknown | fixed).astype(np.float32))
        inverse = np.where(unknown, _DAMPING / np.maximum(degree, 1), 0).astype(np.float32)
        levels.append(_Level(unknown, degree, inverse))
        if min(unknown.shape) < 4:
            break
        # A cell with anything fixed in it is fixed: its pixels are near the rim, where smoothing
        # alone converges fast.
        fixed, unknown = _any_in_cell(fixed), _any_in_cell(unknown)
        unknown = unknown & ~fixed
    return levels


def _v_cycle(residual: np.ndarray, levels: list[_Level]) -> np.ndarray:
    """One symmetric V-cycle from zero: an approximate inverse of the equations."""
    level = levels[0]
    sweeps = 2 if len(levels) > 1 else 8
    field = level.inverse * residual
    for _ in range(sweeps - 1):
        field += level.inverse * (residual - _residual_of(field, level))
    if len(levels) > 1:
        rest = _restrict(residual - _residual_of(field, level))
        coarse = _v_cycle(np.where(levels[1].unknown, rest, 0), levels[1:])
        field += np.where(level.unknown, _prolong(coarse, field.shape), 0)
        for _ in range(sweeps):
            field += level.inverse * (residual - _residual_of(field, level))
    return field


def _residual_of(field: np.ndarray, level: _Level) -> np.ndarray:
    return np.where(level.unknown, level.degree * field - _neighbour_sum(field), 0)


def _neighbour_sum(field: np.ndarray) -> np.ndarray:
    """Sum over the up to four neighbours inside the array."""
    total = np.zeros_like(field)
    total[1:] += field[:-1]
    total[:-1] += field[1:]
    total[:, 1:] += field[:, :-1]
    total[:, :-1] += field[:, 1:]
    return total


def _any_in_cell(flags: np.ndarray) -> np.ndarray:
    """Whether any pixel of a cell of 2 x 2 is set; odd sizes are rounded up."""
    flags = np.pad(flags, [(0, size % 2) for size in flags.shape])
    return flags[::2, ::2] | flags[1::2, ::2] | flags[::2, 1::2] | flags[1::2, 1::2]


def _restrict(fine: np.ndarray) -> np.ndarray:
    """The transpose of :func:`_prolong`."""
    return _restrict_rows(_restrict_rows(fine).T).T


def _restrict_rows(fine: np.ndarray) -> np.ndarray:
    fine = np.pad(fine, ((0, fine.shape[0] % 2), (0, 0)))
    coarse = np.float32(0.75) * (fine[::2] + fine[1::2])
    coarse[1:] += np.float32(0.25) * fine[1:-1:2]
    coarse[:-1] += np.float32(0.25) * fine[2::2]
    coarse[[0, -1]] += np.float32(0.25) * fine[[0, -1]]
    return coarse


def _prolong(coarse: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Linear interpolation between the centres of cells, cropped to ``shape``.

    Beyond the border of the array values go on unchanged, as no flux passes it.
    """
    rows = _prolong_rows(coarse)[: shape[0]]
    return _prolong_rows(rows.T)[: shape[1]].T


def _prolong_rows(coarse: np.ndarray) -> np.ndarray:
    fine = np.repeat(np.float32(0.75) * coarse, 2, axis=0)
    fine[1:-1:2] += np.float32(0.25) * coarse[1:]
    fine[2::2] += np.float32(0.25) * coarse[:-1]
    fine[[0, -1]] += np.float32(0.25) * coarse[[0, -1]]
    return fine
