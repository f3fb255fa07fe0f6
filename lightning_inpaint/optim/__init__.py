"""Samplers: noise-injecting optimizers over the latents of a batch of chains."""

from .base import ChainOptimizer
from .guided import Diffusion, Seed

__all__ = ["ChainOptimizer", "Diffusion", "Seed"]
