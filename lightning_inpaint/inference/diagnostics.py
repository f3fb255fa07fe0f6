"""Convergence diagnostics over the chains of a picture: R-hat, bulk and tail effective sample size.

Vehtari, Gelman, Simpson, Carpenter and Buerkner 2021, "Rank-normalization, folding, and localization:
an improved R-hat for assessing convergence of MCMC", Bayesian Analysis 16(2). Draws that are not finite
make a figure NaN: of a chain that went astray nothing is claimed.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bulk_ess", "rank_normalize", "split_chains", "split_rhat", "tail_ess"]


def split_chains(draws: Tensor) -> Tensor:
    """Halve each chain: (T, K, ...) to (T // 2, 2 K, ...), dropping the middle draw of an odd T."""
    half = draws.shape[0] // 2
    return torch.cat([draws[:half], draws[draws.shape[0] - half :]], dim=1)


def rank_normalize(draws: Tensor) -> Tensor:
    """Normal scores of the ranks over all draws and chains (eq. 14), ties by average rank.

    Args:
        draws: (T, K, ...); each trailing entry is ranked by itself.

    Returns:
        float64 of the same shape, Phi^-1((rank - 3/8) / (S + 1/4)) with S = T K.
    """
    flat = draws.double().flatten(0, 1).reshape(draws.shape[0] * draws.shape[1], -1).T.contiguous()
    size = flat.shape[1]
    ordered = flat.sort(dim=1).values
    # with ties, the average of the first and last place of the value
    low = torch.searchsorted(ordered, flat, right=False)
    high = torch.searchsorted(ordered, flat, right=True)
    rank = (low + high + 1).double() / 2
    scores = torch.special.ndtri((rank - 0.375) / (size + 0.25))
    return scores.T.reshape(draws.shape)


def _variances(chains: Tensor) -> tuple[Tensor, Tensor]:
    """Within-chain variance W and the marginal estimate var+ (eqs. 2 and 3) of (T, K, ...)."""
    length = chains.shape[0]
    within = chains.var(dim=0, unbiased=True).mean(dim=0)
    between = chains.mean(dim=0).var(dim=0, unbiased=True)
    return within, within * (length - 1) / length + between


def _rhat(chains: Tensor) -> Tensor:
    within, marginal = _variances(chains)
    return (marginal / within).sqrt()


def split_rhat(draws: Tensor) -> Tensor:
    """Rank-normalised split R-hat, the larger of bulk and folded (tail) form.

    Args:
        draws: (T, K, ...), T >= 4 successive draws of K chains; trailing dimensions are separate
            quantities (hole pixels, log-posterior).

    Returns:
        float64 of the trailing shape; 1 in agreement, above 1.01 to 1.05 chains disagree; NaN where
        a quantity is constant or not finite.

    Raises:
        ValueError: fewer than four draws.
    """
    if draws.shape[0] < 4:
        raise ValueError(f"split R-hat needs at least 4 draws per chain, got {draws.shape[0]}")
    halves = split_chains(draws.double())
    pooled = halves.flatten(0, 1)
    folded = (halves - pooled.median(dim=0).values).abs()
    larger = torch.maximum(_rhat(rank_normalize(halves)), _rhat(rank_normalize(folded)))
    return _known(larger, draws)


def _autocovariance(chains: Tensor) -> Tensor:
    """Biased autocovariance of each chain, (T, K, ...), by the fast Fourier transform."""
    length = chains.shape[0]
    centred = chains - chains.mean(dim=0, keepdim=True)
    spectrum = torch.fft.rfft(centred, n=2 * length, dim=0)
    return torch.fft.irfft(spectrum.abs().square(), n=2 * length, dim=0)[:length] / length


def bulk_ess(draws: Tensor) -> Tensor:
    """Bulk effective sample size of all chains together, with rank-normalised split chains.

    Autocorrelations are summed by Geyer's initial monotone positive sequence (eqs. 10 to 13).

    Args:
        draws: (T, K, ...), T >= 8 successive draws of K chains.

    Returns:
        float64 of the trailing shape, at most S log10(S) with S = T K; NaN for constants and where a draw is
        not finite.

    Raises:
        ValueError: fewer than eight draws.
    """
    _enough(draws)
    return _known(_ess(rank_normalize(split_chains(draws))), draws)


def tail_ess(draws: Tensor) -> Tensor:
    """Tail effective sample size: the smaller one of the indicators of the 5 % and 95 % quantiles.

    Args:
        draws: (T, K, ...), T >= 8 successive draws of K chains.

    Returns:
        float64 of the trailing shape; NaN for constants.

    Raises:
        ValueError: fewer than eight draws.
    """
    _enough(draws)
    values = draws.double()
    pooled = values.flatten(0, 1)
    ends = [
        _ess(split_chains((values <= pooled.quantile(level, dim=0)).double()))
        for level in (0.05, 0.95)
    ]
    return _known(torch.minimum(*ends), draws)


def _enough(draws: Tensor) -> None:
    if draws.shape[0] < 8:
        raise ValueError(f"the effective sample size needs at least 8 draws, got {draws.shape[0]}")


def _known(figure: Tensor, draws: Tensor) -> Tensor:
    """NaN where a quantity has a draw that is not finite."""
    return figure.masked_fill(~draws.isfinite().flatten(0, 1).all(dim=0), torch.nan)


def _ess(chains: Tensor) -> Tensor:
    """Effective sample size of (T, K, ...), as it is: eqs. 10 to 13."""
    length, count = chains.shape[:2]
    within, marginal = _variances(chains)
    covariance = _autocovariance(chains).mean(dim=1) * length / (length - 1)
    rho = 1 - (within - covariance) / marginal
    rho[0] = 1
    pairs = rho[: length // 2 * 2].unflatten(0, (-1, 2)).sum(dim=1)
    positive = (pairs > 0).long().cumprod(dim=0).to(pairs.dtype)  # up to the first that is not
    monotone = (pairs.clamp(min=0)).cummin(dim=0).values * positive
    time = (2 * monotone.sum(dim=0) - 1).clamp(min=1 / torch.tensor(float(length * count)).log10())
    return length * count / time
