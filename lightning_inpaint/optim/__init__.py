"""Samplers: noise-injecting optimizers over the latents of a batch of chains."""

from .annealed import AnnealedHMC
from .base import ChainContext, ChainOptimizer
from .guided import Diffusion, PluginDiffusion
from .hmc import HMC, MALA
from .langevin import Langevin
from .mode import MAP
from .search import Search
from .slice import EllipticalSlice
from .smc import Particles
from .spec import SamplerSpec

SAMPLERS: dict[str, type[ChainOptimizer]] = {
    "diffusion": Diffusion,
    "langevin": Langevin,
    "mala": MALA,
    "hmc": HMC,
    "map": MAP,
    "annealed_hmc": AnnealedHMC,
    "particles": Particles,
    "search": Search,
    "slice": EllipticalSlice,
    "plugin": PluginDiffusion,
    "seed": PluginDiffusion,  # its first name
}
"""Short names, on the command line and in Python."""

Seed = PluginDiffusion  # files name it so

__all__ = [
    "HMC",
    "MALA",
    "MAP",
    "AnnealedHMC",
    "ChainContext",
    "ChainOptimizer",
    "Diffusion",
    "EllipticalSlice",
    "Langevin",
    "Particles",
    "PluginDiffusion",
    "SAMPLERS",
    "SamplerSpec",
    "Search",
]
