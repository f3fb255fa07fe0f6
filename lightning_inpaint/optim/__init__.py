"""Samplers: noise-injecting optimizers over the latents of a batch of chains."""

from .annealed import AnnealedHMC
from .base import ChainContext, ChainOptimizer
from .by_latents import ByLatents
from .guided import Diffusion, PluginDiffusion
from .hmc import HMC, MALA
from .langevin import Langevin
from .mode import MAP
from .samplers import SAMPLERS
from .search import Search
from .slice import EllipticalSlice
from .smc import Particles
from .spec import SamplerSpec

Seed = PluginDiffusion  # files name it so

__all__ = [
    "HMC",
    "MALA",
    "MAP",
    "AnnealedHMC",
    "ByLatents",
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
