"""A sampler of somebody's own, which help reads and does not import."""

raise ImportError("help has run this")


class Own:  # what is below a raise is read all the same
    """Walks at its own pace.

    Args:
        params: latents.
        pace: how fast.
    """

    def __init__(self, params, pace: float = 1.5) -> None:
        self.pace = pace
