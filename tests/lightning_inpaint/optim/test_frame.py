"""Coordinates of a Gaussian: what they turn into what."""

from __future__ import annotations

import torch

from lightning_inpaint.optim.frame import Frame, factored


def frame(chains: int, groups: int, size: int = 5) -> tuple[Frame, torch.Tensor]:
    """A frame of ``chains`` in ``groups``, and its precisions, float64."""
    gen = torch.Generator().manual_seed(0)
    root = torch.randn(groups, size, size, generator=gen, dtype=torch.float64)
    precision = root @ root.mT + torch.eye(size)
    centre = torch.randn(chains, size, generator=gen, dtype=torch.float64)
    return Frame(centre, factored(precision)), precision


def test_places_and_coordinates_are_inverse() -> None:
    own, _ = frame(6, 3)
    u = torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(own.place(own.coordinates(u)), u)


def test_the_gaussian_is_standard_in_its_coordinates() -> None:
    own, precision = frame(6, 3)
    w = torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    away = own.place(w) - own.centre
    each = precision.repeat_interleave(2, 0)
    square = (away[:, None] @ each @ away[..., None])[:, 0, 0]
    torch.testing.assert_close(square, w.square().sum(dim=1))


def test_a_gradient_is_turned_as_autograd_turns_it() -> None:
    own, _ = frame(4, 2)
    w = torch.randn(4, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    leaf = w.clone().requires_grad_(True)
    u = own.place(leaf)
    value = (u**3).sum(dim=1)
    (slope,) = torch.autograd.grad(value.sum(), leaf)
    torch.testing.assert_close(own.slope(3 * u.detach() ** 2), slope)
    rest, more = own.rest(value.detach(), 3 * u.detach() ** 2, w)
    torch.testing.assert_close(rest, value.detach() - w.square().sum(dim=1) / 2)
    torch.testing.assert_close(more, slope - w)


def test_what_has_no_factor_is_left_as_it_is() -> None:
    wrong = torch.stack([-torch.eye(3), 4 * torch.eye(3)])
    assert torch.equal(factored(wrong), torch.stack([torch.eye(3), 2 * torch.eye(3)]))
