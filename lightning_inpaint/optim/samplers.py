"""The samplers by their short names."""

from __future__ import annotations

from .annealed import AnnealedHMC
from .base import ChainOptimizer
from .guided import Diffusion, PluginDiffusion
from .hmc import HMC, MALA
from .langevin import Langevin
from .mode import MAP
from .search import Search
from .slice import EllipticalSlice
from .smc import Particles

__all__ = ["SAMPLERS"]

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
