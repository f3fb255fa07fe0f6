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

    @classmethod
    def of_name(cls, name):
        return cls(4, {"small": 2}[name])


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


class Line(nn.Module):
    """z to pictures of any form and range: the base of the networks below."""

    shape, low, high = (3, 8, 8), -1.0, 1.0

    def __init__(self, z: int = 6) -> None:
        super().__init__()
        self.z_dim = z
        count = 1
        for n in self.shape:
            count *= n
        self.out = nn.Linear(z, count)
        nn.init.normal_(self.out.weight)

    def forward(self, z):
        x = torch.sigmoid(2 * self.out(z)) * (self.high - self.low) + self.low
        return x.view(-1, *self.shape)


def line(**attributes) -> nn.Module:
    torch.manual_seed(0)
    return type("Made", (Line,), attributes)()


class LabelsFirst(Line):
    num_classes = 4

    def forward(self, labels, noise):
        return super().forward(noise) * (labels.view(-1, 1, 1, 1) + 1) / 4


class Embedded(Line):
    """As BigGAN: the embedding is the caller's to look up; nothing names the number of classes."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Embedding(5, 6)

    def forward(self, z, y):
        return super().forward(z + y)


class OneHotMaps(nn.Module):
    """A conditional DCGAN: (N, nz + K, 1, 1)."""

    def __init__(self, nz=7, n_classes=3) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.ConvTranspose2d(nz + n_classes, 1, 8), nn.Tanh())

    def forward(self, z, y):
        return self.net(torch.cat([z, y], 1))


class InnerTable(nn.Module):
    """As the tutorials': an embedding inside, first layer as wide as latents and classes together."""

    def __init__(self, latent=9, classes=10) -> None:
        super().__init__()
        self.label_emb = nn.Embedding(10, 10)
        self.model = nn.Sequential(nn.Linear(19, 28 * 28), nn.Tanh())

    def forward(self, noise, labels):
        return self.model(torch.cat((self.label_emb(labels), noise), -1)).view(-1, 1, 28, 28)


class ThreeInputs(Line):
    def forward(self, z, alpha, steps):
        return super().forward(z)


class Unnamed(Line):
    def forward(self, z, alpha):
        return super().forward(z)


class LabelsOfUnknownNumber(Line):
    def forward(self, z, label):
        return super().forward(z)


class FreshNoise(Line):
    def forward(self, z):
        return super().forward(z + 0.1 * torch.randn_like(z))


class Half(Line):
    def __init__(self) -> None:
        super().__init__()
        self.half()


STANDING = nn.Sequential(nn.Linear(5, 100), nn.Tanh())


class Lazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.LazyLinear(192)

    def forward(self, z):
        return self.out(z).view(-1, 3, 8, 8)
