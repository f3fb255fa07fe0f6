"""The page on which holes are painted: ``lightning-inpaint app``."""

from .launch import serve

__all__ = ["serve"]
