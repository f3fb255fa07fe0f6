"""Samplers: noise-injecting optimizers over the latents of a batch of chains."""

from .annealed import AnnealedHMC
from .base import ChainOptimizer
from .guided import Diffusion, Seed
from .hmc import HMC, MALA
from .langevin import Langevin
from .mode import MAP
from .smc import Particles

SAMPLERS: dict[str, type[ChainOptimizer]] = {
    "seed": Seed,
    "diffusion": Diffusion,
    "langevin": Langevin,
    "mala": MALA,
    "hmc": HMC,
    "map": MAP,
    "annealed_hmc": AnnealedHMC,
    "particles": Particles,
}
"""Short names for the command line."""

__all__ = [
    "HMC",
    "MALA",
    "MAP",
    "AnnealedHMC",
    "ChainOptimizer",
    "Diffusion",
    "Langevin",
    "Particles",
    "SAMPLERS",
    "Seed",
]
