"""Are the completions draws from the posterior? Simulation-based calibration on a generator.

    python benchmarks/calibration.py                      # HMC on the bundled generator
    python benchmarks/calibration.py --sampler seed       # the seed's sampler, shown to fail
    python benchmarks/calibration.py --test geweke        # Geweke's joint test
    python benchmarks/calibration.py --test kernel        # exact ranks of the HMC kernel alone

``sbc`` (Talts et al. 2018, arXiv:1804.06788): draw u* from the prior, y = M G(u*) + sigma eps, and L
posterior draws as a user would, from a start that knows nothing of u*. The rank of u* among them is
uniform if they are draws from the posterior. Quantities: random projections of the hole's pixels,
|u|^2, the log-likelihood, and TARP (Lemos et al. 2023, arXiv:2302.03026): the distance of the hole to a
random reference picture, whose ranks are uniform for every reference only if the joint distribution
of the hole is right.

``kernel`` (Gandy and Scott 2020, arXiv:2001.06465): u* sits at a random place of a chain that runs from
it both ways with step and mass of a pilot chain. Its rank is uniform exactly, however slowly the
chain mixes: this tests the kernel, where ``sbc`` tests kernel and convergence together.

``geweke`` (Geweke 2004, JASA 99): alternating y | u and u | y must leave u ~ N(0, I).

M = 1 where a pixel is **known** (masks of users say the opposite: 1 = fill).
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from multiprocessing import get_context
from typing import NamedTuple

import torch
from scipy import stats
from torch import Tensor, nn

from lightning_inpaint.generators import load_generator
from lightning_inpaint.inference.latents import LatentSpace
from lightning_inpaint.inference.observation import Observation
from lightning_inpaint.inference.posterior import Posterior
from lightning_inpaint.noise import ChainStreams, Purpose
from lightning_inpaint.optim import HMC, ChainOptimizer, PluginDiffusion, Search

PROJECTIONS = 4


class Simulation:
    """A batch of simulated problems: truths u* (n, D), observations and their masks.

    Args:
        space: latent space.
        first, count: numbers of the simulations.
        noise_std: sigma.
        hole: ``right_half`` or ``center``.
    """

    def __init__(
        self, space: LatentSpace, first: int, count: int, noise_std: float, hole: str
    ) -> None:
        self.space, self.noise_std = space, noise_std
        self.names = [f"simulation {i}" for i in range(first, first + count)]
        self.streams = ChainStreams(1, self.names, [0] * count)
        self.truth = self.streams.normal(0, space.dim, Purpose.START)
        classes = int(getattr(space.generator, "num_classes", 0))
        self.labels = (torch.arange(first, first + count) % classes) if classes else None
        with torch.no_grad():
            self.picture = space(self.truth, self.labels, "const")
        self.mask = torch.zeros_like(self.picture[:, :1])
        size = self.mask.shape[-1]
        if hole == "right_half":
            self.mask[..., size // 2 :] = 1
        else:
            self.mask[..., size // 4 : -size // 4, size // 4 : -size // 4] = 1
        self.observation = self.observe(self.picture, 0)

    def observe(self, picture: Tensor, draw: int) -> Tensor:
        """y = G + sigma eps."""
        eps = self.streams.normal(draw, picture[0].numel(), Purpose.OBSERVATION)
        return picture + self.noise_std * eps.view_as(picture)

    def posterior(self, chains: int, seed: int) -> tuple[Posterior, ChainStreams]:
        """The posterior of ``chains`` chains per simulation, with streams of ``seed``."""
        labels = None if self.labels is None else self.labels.repeat_interleave(chains)
        evidence = Observation.of(self.observation, self.mask, labels, chains)
        streams = ChainStreams.grid(seed, self.names, chains)
        return Posterior(self.space, evidence, streams, "const"), streams

    def quantities(self, u: Tensor, posterior: Posterior, directions: Tensor) -> Tensor:
        """(rows, Q) numbers that are ranked.

        Args:
            u: (rows, D) latents.
            posterior: with one row per row of ``u``.
            directions: (1 + PROJECTIONS, C, H, W): a reference picture, then projections.
        """
        with torch.no_grad():
            picture = posterior.decode(u)
        known = posterior.observation.known
        inside = picture * (1 - known)
        projected = torch.einsum("nchw,pchw->np", inside, directions[1:])
        distance = ((inside - directions[0] * (1 - known)) ** 2).sum(dim=(1, 2, 3))
        energy = ((picture - posterior.observation.target) ** 2 * known).sum(dim=(1, 2, 3))
        return torch.cat(
            [projected, u.square().sum(1)[:, None], -energy[:, None], distance[:, None]], dim=1
        )


NAMES = [f"hole projection {i + 1}" for i in range(PROJECTIONS)] + [
    "|u|^2",
    "log-likelihood",
    "TARP",
]


def make_group(posterior: Posterior, streams: ChainStreams, u: nn.Parameter) -> dict:
    """The product's group, and radii that stay: a step that draws them is not reversible."""
    context = replace(posterior.context(), streams=streams, scale_free=None)
    return {"params": [u], "context": context}


def exact_sampler(args: argparse.Namespace, group: dict, draws: int) -> HMC:
    """HMC whose annealed burn-in starts at a prior draw, with ``draws`` trajectories after it."""
    steps = args.burn_in + draws
    return HMC(
        [group],
        steps=steps,
        leapfrog=args.leapfrog,
        noise_std=args.noise_std,
        burn_in=(args.burn_in + 0.5) / steps,
        start_std=max(args.start_std, args.noise_std),
    )


class Untested(Search):
    """Wrong on purpose: every trajectory is taken, whatever its energy error."""

    exact = False

    def _accepted(self, log_ratio: Tensor, chance: Tensor) -> Tensor:
        return log_ratio.isfinite()


def search_sampler(args: argparse.Namespace, group: dict) -> Search:
    """A search from prior draws and ``--trajectories`` after it, or one of those that are wrong on purpose."""
    kind = Untested if args.wrong == "untested" else Search
    narrow = 0.9 if args.wrong == "narrow" else 1.0
    return kind(
        [group],
        trajectories=args.trajectories,
        rounds=args.rounds,
        leapfrog=args.leapfrog,
        noise_std=narrow * args.noise_std,
        target_accept=args.target_accept,
        jumps=args.jumps,
    )


def draws_of(
    args: argparse.Namespace, simulation: Simulation, directions: Tensor
) -> tuple[Tensor, ChainOptimizer]:
    """Quantities (n, L, Q) of L posterior draws per simulation, started without the truth."""
    n = len(simulation.names)
    chains = args.draws if args.sampler == "seed" else args.chains
    posterior, streams = simulation.posterior(chains, seed=2)
    u = nn.Parameter(streams.normal(0, simulation.space.dim, Purpose.START))
    group = posterior.group(u, chains)
    sampler: ChainOptimizer
    if args.sampler == "seed":
        sampler = PluginDiffusion([group], steps=500, temp=2 * args.noise_std**2)
        keep = {sampler.steps}
    elif args.sampler == "search":
        sampler = search_sampler(args, group)
        apart = (sampler.trajectories - sampler.burn_in) // (args.draws // args.chains)
        if not apart:
            raise SystemExit(
                "--trajectories leaves fewer after the burn-in than a chain is to give draws"
            )
        keep = {sampler.steps - i * apart for i in range(args.draws // args.chains)}
    else:
        per_chain = args.draws // args.chains
        sampler = exact_sampler(args, group, per_chain * args.thin)
        keep = {args.burn_in + (i + 1) * args.thin for i in range(per_chain)}
    closure, kept = posterior.closure(u), []
    for step in range(1, sampler.steps + 1):
        sampler.step(closure)
        if step in keep:
            kept.append(simulation.quantities(u.detach(), posterior, directions))
    stacked = torch.stack(kept, 1)  # (n chains, draws per chain, Q)
    return stacked.unflatten(0, (n, chains)).flatten(1, 2), sampler


def kernel_draws(
    args: argparse.Namespace, simulation: Simulation, directions: Tensor
) -> tuple[Tensor, ChainOptimizer]:
    """Quantities (n, L, Q) of the other members of a chain in which the truth has a random place."""
    posterior, streams = simulation.posterior(1, seed=2)
    u = nn.Parameter(streams.normal(0, simulation.space.dim, Purpose.START))
    pilot = exact_sampler(args, make_group(posterior, streams, u), 1)
    closure = posterior.closure(u)
    for _ in range(pilot.steps):
        pilot.step(closure)
    place = (streams.uniform(1 << 20)[:, 0] * (args.draws + 1)).long()
    out = []
    for way in (0, 1):  # the kernel is reversible: backwards is forwards with other numbers
        u.data.copy_(simulation.truth)
        _, streams = simulation.posterior(1, seed=3 + way)
        walker = HMC(
            [make_group(posterior, streams, u)],
            steps=args.draws * args.thin,
            leapfrog=args.leapfrog,
            noise_std=args.noise_std,
            burn_in=0.0,
        )
        walker.measure_at, walker.fisher = set(), pilot.fisher
        walker.adaptation.log_average = pilot.adaptation.log_average
        states = []
        for step in range(walker.steps):
            walker.step(closure)
            if (step + 1) % args.thin == 0:
                states.append(simulation.quantities(u.detach(), posterior, directions))
        out.append(torch.stack(states, 1))
    return _interleave(out[0], out[1], place), walker


def _interleave(backward: Tensor, forward: Tensor, place: Tensor) -> Tensor:
    """The first ``place`` states of one way and the first L - ``place`` of the other, (n, L, Q)."""
    number = torch.arange(backward.shape[1])[None, :].expand(len(place), -1)
    behind = number < place[:, None]
    index = torch.where(behind, number, number - place[:, None])
    pick = index[:, :, None].expand_as(backward)
    return torch.where(behind[:, :, None], backward.gather(1, pick), forward.gather(1, pick))


def ranks_of(draws: Tensor, truth: Tensor, streams: ChainStreams) -> Tensor:
    """Ranks (n, Q) of ``truth`` (n, Q) among ``draws`` (n, L, Q), ties broken at random.

    A trajectory that is rejected repeats its chain's state, in the kernel's test the truth itself.
    """
    below, ties = ((draws < truth[:, None]).sum(1), (draws == truth[:, None]).sum(1))
    share = streams.uniform(1 << 21)[:, :1]  # one for all quantities, as all are tied at once
    return below + (share * (ties + 1)).long()


def report(ranks: Tensor, draws: int) -> None:
    """chi^2 test of uniformity of each quantity's ranks (n, Q) among ``draws`` draws."""
    print(f"{'quantity':20s} {'p':>8s}  ranks 0..{draws}")
    for q, name in enumerate(NAMES):
        counts = torch.bincount(ranks[:, q], minlength=draws + 1)
        p = stats.chisquare(counts.numpy()).pvalue
        print(f"{name:20s} {p:8.4f}  {' '.join(f'{c:3d}' for c in counts.tolist())}", flush=True)


class Ranked(NamedTuple):
    """What a batch of simulations tells."""

    ranks: Tensor
    chi2: Tensor
    norms: Tensor
    acceptance: float | None


def ranked(args: argparse.Namespace, first: int) -> Ranked:
    """The simulations from number ``first`` on, a batch of them."""
    torch.set_num_threads(args.threads or torch.get_num_threads())
    torch.set_flush_denormal(True)
    space = space_of(args.generator, args.latents, args.slack)
    count = min(args.batch, args.first + args.simulations - first)
    simulation = Simulation(space, first, count, args.noise_std, args.hole)
    shape = (1 + PROJECTIONS, *simulation.picture.shape[1:])
    gen = torch.Generator().manual_seed(first)
    directions = torch.randn(shape, generator=gen)
    directions[0] = simulation.picture.roll(1, 0)[0] if count > 1 else 0.0
    single, _ = simulation.posterior(1, seed=2)
    truth = simulation.quantities(simulation.truth, single, directions)
    sample = kernel_draws if args.test == "kernel" else draws_of
    draws, sampler = sample(args, simulation, directions)
    values = float(single.observation.known[0].sum()) * simulation.picture.shape[1]
    acceptance = sampler.diagnostics().get("acceptance")
    return Ranked(
        ranks_of(draws, truth, simulation.streams),
        -draws[..., -2] / args.noise_std**2 / values,
        draws[..., -3] / space.dim,
        None if acceptance is None else float(acceptance.mean()),
    )


def calibrate(args: argparse.Namespace) -> None:
    """All simulations, batches of them in processes beside each other."""
    started, found = time.time(), []
    with ProcessPoolExecutor(args.processes, get_context("spawn")) as pool:
        firsts = range(args.first, args.first + args.simulations, args.batch)
        for batch in pool.map(partial(ranked, args), firsts):
            found.append(batch)
            chi2, norms = (
                torch.cat([getattr(x, part) for x in found]) for part in ("chi2", "norms")
            )
            accepted = "" if batch.acceptance is None else f", acceptance {batch.acceptance:.2f}"
            print(
                f"{len(chi2)} simulations, {time.time() - started:.0f} s: |u|^2/D {norms.mean():.3f}, "
                f"chi^2 per value {chi2.mean():.3f}{accepted}",
            )
            report(torch.cat([x.ranks for x in found]), args.draws)


def geweke(args: argparse.Namespace, space: LatentSpace) -> None:
    """Alternate y | u and one trajectory of u | y with a mass that does not depend on u."""
    simulation = Simulation(space, 0, args.batch, args.noise_std, args.hole)
    posterior, streams = simulation.posterior(1, seed=2)
    u = nn.Parameter(simulation.truth.clone())
    other = streams.normal(9, space.dim, Purpose.START)
    fixed = torch.stack([posterior.squared_probe(other, i) for i in range(8)]).mean((0, 1))
    group = make_group(posterior, streams, u)
    group["context"] = replace(group["context"], probe=lambda at, draw: fixed.expand_as(at))
    kernel = HMC(
        [group],
        steps=args.alternations,
        leapfrog=args.leapfrog,
        noise_std=args.noise_std,
        step_size=args.step_size,
        burn_in=0.0,
    )
    for i in range(kernel.steps):
        with torch.no_grad():
            picture = posterior.decode(u.detach())
        y = simulation.observe(picture, i + 1)
        posterior.observation = posterior.observation._replace(target=y)
        kernel.forget()
        kernel.step(posterior.closure(u))
    end, n = u.detach().double(), len(u)
    moved = (end - simulation.truth).square().mean().sqrt()
    print(f"acceptance {kernel.diagnostics()['acceptance'].mean():.2f}, r.m.s. move {moved:.2f}")
    flat = end.flatten()
    mean = stats.norm.sf(abs(float(flat.mean())) * flat.numel() ** 0.5) * 2
    norm = float((end.square().sum() - flat.numel()) / (2 * flat.numel()) ** 0.5)
    print(f"mean of u:     p = {mean:.4f}")
    print(
        f"|u|^2:         p = {2 * stats.norm.sf(abs(norm)):.4f}  (|u|^2/D {flat.square().mean():.5f})"
    )
    for part, piece in simulation.space.split(end).items():
        values = piece.flatten()
        z = float((values.square().sum() - values.numel()) / (2 * values.numel()) ** 0.5)
        print(
            f"  {part:10s} |u|^2/D {values.square().mean():.4f}, p = {2 * stats.norm.sf(abs(z)):.4f}"
        )
    print(f"all values normal: p = {stats.kstest(flat.numpy(), 'norm').pvalue:.4f} ({n} chains)")


@cache
def space_of(generator: str, latents: str, slack: float) -> LatentSpace:
    """The latents of the generator, loaded once in a process."""
    return LatentSpace(load_generator(generator), latents, slack)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--test", choices=["sbc", "kernel", "geweke"], default="sbc")
    parser.add_argument("--generator", default="cifar10")
    parser.add_argument("--latents", default="z+noise")
    parser.add_argument("--slack", type=float, default=0.05)
    parser.add_argument("--sampler", choices=["hmc", "search", "seed"], default="hmc")
    parser.add_argument("--noise_std", type=float, default=0.2)
    parser.add_argument("--hole", choices=["right_half", "center"], default="right_half")
    parser.add_argument("--simulations", type=int, default=200)
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--draws", type=int, default=9, help="L, posterior draws per simulation")
    parser.add_argument("--chains", type=int, default=1, help="chains they come from (hmc, search)")
    parser.add_argument("--burn_in", type=int, default=100, help="trajectories, annealed")
    parser.add_argument("--start_std", type=float, default=5.0, help="sigma of the first one")
    parser.add_argument("--thin", type=int, default=8, help="trajectories between draws")
    parser.add_argument("--leapfrog", type=int, default=8)
    parser.add_argument("--trajectories", type=int, default=48, help="of a search, a third burn-in")
    parser.add_argument("--rounds", type=int, default=7, help="of burn-in of a search, at most")
    parser.add_argument("--target_accept", type=float, default=0.8, help="of a search")
    parser.add_argument("--jumps", type=int, default=16, help="of a search")
    parser.add_argument(
        "--wrong",
        choices=["untested", "narrow"],
        help="a search that is wrong on purpose: no Metropolis test, or sigma 10 %% too small",
    )
    parser.add_argument("--alternations", type=int, default=40)
    parser.add_argument("--step_size", type=float, default=0.1, help="of Geweke's test")
    parser.add_argument("--processes", type=int, default=1, help="batches beside each other")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.sampler != "seed" and args.draws % args.chains:
        parser.error(f"--draws ({args.draws}) must be a multiple of --chains ({args.chains})")
    if args.threads:
        torch.set_num_threads(args.threads)
    space = space_of(args.generator, args.latents, args.slack)
    print(f"{args.test}, {args.sampler}, {args.latents} (D = {space.dim}), sigma {args.noise_std}")
    if args.test == "geweke":
        geweke(args, space)
    else:
        calibrate(args)


if __name__ == "__main__":
    main()
