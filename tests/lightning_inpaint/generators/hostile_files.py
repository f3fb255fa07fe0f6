"""All hostile files: importing the modules fills ``FILES``."""

from hostile_base import FILES, call, named, network
from hostile_containers import own
from hostile_pickles import CALLS
from hostile_tensors import with_storage

__all__ = ["CALLS", "FILES", "call", "named", "network", "own", "with_storage"]
