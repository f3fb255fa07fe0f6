"""Networks that a user might bring, each with another idea of its arguments."""

import torch
from torch import nn


class DCGAN(nn.Module):
    """(N, nz, 1, 1) to (N, 3, 16, 16), batch norm, no attributes."""

    def __init__(self, nz: int = 10, width: int = 4) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(nz, 2 * width, 4, 1, 0, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(True),
            nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(True),
            nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, z):
        return self.main(z)


class Dense(nn.Module):
    """(N, z) to one channel in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.latent_dim = 6
        self.layers = nn.Sequential(nn.Linear(6, 64), nn.Sigmoid())

    def forward(self, z):
        return self.layers(z).view(-1, 1, 8, 8)


class Conditional(nn.Module):
    """Class indices beside z; returns the picture and something else."""

    def __init__(self) -> None:
        super().__init__()
        self.z_dim, self.n_classes = 5, 3
        self.class_names = ["ant", "bee", "cow"]
        self.embed = nn.Embedding(3, 5)
        self.out = nn.Linear(5, 3 * 16)

    def forward(self, z, y):
        return torch.tanh(self.out(z + self.embed(y))).view(-1, 3, 4, 4), y


class OneHot(nn.Module):
    """One-hot classes beside z."""

    def __init__(self) -> None:
        super().__init__()
        self.nz, self.num_classes = 5, 3
        self.out = nn.Linear(8, 16)

    def forward(self, z, c):
        return self.out(torch.cat([z, c], dim=1)).view(-1, 1, 4, 4)


class NotPictures(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 4)


def make_dcgan(nz: int = 7) -> nn.Module:
    return DCGAN(nz)


def not_a_module() -> int:
    return 3


class Needy(DCGAN):
    """Cannot be made without its arguments."""

    def __init__(self, nz, ngf, act="relu") -> None:
        super().__init__(nz, ngf)


class Seeded(DCGAN):
    """Always the same weights, as a network that loads its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        for p in self.parameters():
            nn.init.normal_(p)


_KEPT = DCGAN()


def kept_network() -> nn.Module:
    return _KEPT
