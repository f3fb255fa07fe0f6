"""Latents, observation, posterior, and the walk of a batch of chains to its end."""
