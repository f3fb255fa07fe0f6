"""The last screen: where the files are and how it went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from statistics import median
from typing import Any

from pytorch_lightning import Trainer

from ..errors import UserError, worded
from ..inference.agreement import FEWEST_DRAWS
from .finish import Finisher
from .result import RunResult

__all__ = ["Summary", "summary_text"]

#: Split R-hat above which chains are said to disagree; the default's few draws put it up to 1.1.
LARGE_RHAT = 1.1


class Summary(Finisher):
    """Prints one screen when all pictures are done: files, counts, failures, agreement, time.

    Args:
        failures: How many failures to list with their reasons; all of them are in energies.csv.

    Attributes:
        result: The finished run; its ``failures`` tell whether the job succeeded as a whole.
    """

    def __init__(self, failures: int = 10) -> None:
        if failures < 0:
            raise UserError(f"Summary's failures is {failures}: it must be at least 0.")
        self.failures = failures
        self.result: RunResult | None = None

    def finish(self, trainer: Trainer, run: RunResult) -> None:
        self.result = run
        print(summary_text(run, self.failures, trainer.lightning_module), flush=True)


def summary_text(run: RunResult, failures: int = 10, module: Any = None) -> str:
    """The summary, one fact per line; ``module`` is what completed the pictures."""
    sampler = getattr(getattr(module, "sampler", None), "name", None)
    best = {row["id"]: row for row in reversed(run.rows)}  # the first row of a picture is its best
    psnr = [row["known_psnr"] for row in best.values() if row["known_psnr"] is not None]
    status = Counter(row["status"].partition(":")[0] for row in run.rows)
    where = run.folder.root.resolve()
    lines = ["", f"{_count(len(best), 'picture')} completed, see {where}"]
    if run.resumed:
        lines.append(f"  {run.completed} now, {run.resumed} in an earlier start")
    lines += _arrived(best.values())
    if psnr:
        lines.append(f"  median PSNR on the known pixels {median(psnr):.1f} dB (raw output)")
    lines += _enlarged(best.values())
    if run.completed:
        lines.append(
            f"  {_duration(run.seconds)}, {run.seconds / run.completed:.2f} s a picture, "
            f"{run.evaluations:,} gradient evaluations" + (f" of {sampler}" if sampler else "")
        )
    if status["restarted"]:
        lines.append(f"  {_count(status['restarted'], 'chain')} restarted with smaller steps")
    diverged = sum(1 for row in run.rows if row.get("divergences"))
    if diverged:
        words = "trajectories whose energy error is above 1000 (divergences in energies.csv)"
        lines.append(f"  {_count(diverged, 'chain')} with {words}: take a smaller step_size")
    lines += [*_inferred(best.values()), *_disagreement(best.values())]
    lines += [*_no_agreement(run.rows, module), *_notes(best.values())]
    lines += _failures(run, failures)
    return "\n".join([*lines, *_files(run), ""])


def _enlarged(pictures: Iterable[dict[str, Any]]) -> list[str]:
    factors = [row["enlargement"] for row in pictures if row.get("enlargement")]
    if not factors:
        return []
    return [
        f"  soft: what fills the holes of {_count(len(factors), 'picture')} is enlarged, up to "
        f"{max(factors):.0f}-fold, which the PSNR does not see:\n    "
        f"take {worded('`fit=around`', 'data')}, or a generator of more pixels"
    ]


def _arrived(pictures: Iterable[dict[str, Any]]) -> list[str]:
    """How many pictures have a completion that matches the known pixels as a draw does."""
    rows = [row for row in pictures if row.get("arrived") is not None]
    if not rows:
        return []
    chi2 = median(row["chi2"] for row in rows)
    lines = [
        f"  {sum(row['arrived'] > 0 for row in rows)} of {_count(len(rows), 'picture')} arrived: the best "
        f"completion matches the known pixels to noise_std (chi2: 1 = a draw, here {chi2:.2g})"
    ]
    if all(row["arrived"] > 0 for row in rows):
        return lines
    return [
        *lines,
        "    the others: more chains or steps, or a larger noise_std; what a generator cannot draw at all,\n"
        "    such as pictures unlike its own: noise_std auto, or a discrepancy (docs/sampling.md)",
    ]


def _inferred(pictures: Iterable[dict[str, Any]]) -> list[str]:
    inferred = sum("inferred_label" in row for row in pictures)
    where = "see inferred_label and class_posterior in energies.csv"
    return [f"  class inferred for {_count(inferred, 'picture')}: {where}"] if inferred else []


def _disagreement(pictures: Iterable[dict[str, Any]]) -> list[str]:
    rhat = [row["rhat"] for row in pictures if row.get("rhat") is not None]
    large = sum(value > LARGE_RHAT for value in rhat)
    if not rhat or median(rhat) <= LARGE_RHAT:
        return []
    return [
        f"  the chains of {large} of {_count(len(rhat), 'picture')} disagree (R-hat above {LARGE_RHAT}, "
        f"median {median(rhat):.2f}):\n    take completions for examples, not their shares for "
        "probabilities, or walk longer, at a larger noise_std (docs/sampling.md)"
    ]


def _no_agreement(rows: list[dict[str, Any]], module: Any) -> list[str]:
    """Why several chains a picture have no R-hat: what is not there raises a question, too."""
    sampler = getattr(module, "sampler", None)
    several = any(count > 1 for count in Counter(row["id"] for row in rows).values())
    if sampler is None or not several or any(row.get("rhat") is not None for row in rows):
        return []
    exact = worded("`config=exact`", "")
    if not sampler.draws:
        kind = "" if sampler.exact else "approximate, "
        what = f"{kind}one completion per chain and no draws before it; {exact} makes draws"
    elif sampler.draws < FEWEST_DRAWS:
        what = f"{_count(sampler.draws, 'draw')} per chain, at least {FEWEST_DRAWS} are needed: more steps"
    elif getattr(module, "noise_inputs", None) == "random":
        what = (
            f"noise maps are drawn anew at each step; {worded('`noise_inputs=const`')} keeps them"
        )
    else:
        return []
    return [f"  no R-hat or effective sample size of {sampler.name}: {what}"]


def _notes(pictures: Iterable[dict[str, Any]]) -> list[str]:
    kinds = Counter(
        kind
        for row in pictures
        if "notes" in row
        for kind in row["notes"].split("; ")
        if kind != "enlarged"
    )
    found = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return [f"  masks that deserve a look: {found} (column notes of energies.csv)"] if found else []


def _failures(run: RunResult, limit: int) -> list[str]:
    if not run.failures:
        return []
    lines = [f"  {len(run.failures)} failed or skipped:"]
    lines += [f"    {picture}: {reason}" for picture, reason in run.failures[:limit]]
    if len(run.failures) > limit:
        lines.append(f"    and {len(run.failures) - limit} more, see energies.csv")
    return lines


def _files(run: RunResult) -> list[str]:
    entries = (
        ("index.html", "gallery: open it in a browser"),
        (
            "completions.png",
            "the first pictures: original, masked, completions, full generated images",
        ),
        ("energies.png", "energies of all chains against gradient evaluations"),
        ("energies.csv", "one row per completion"),
        ("composites/", "completions with the known pixels put back"),
        ("raw/", "full generated images"),
        ("uncertainty/", "standard deviation over the completions of a picture"),
        ("variation/", "the mean completion and in what the completions differ"),
        ("animations/", "the walk from noise to completion"),
        ("records/", "how each picture came about"),
    )
    there = [(name, what) for name, what in entries if (run.folder.root / name).exists()]
    width = max((len(name) for name, _ in there), default=0)
    return [f"  {name:<{width}}  {what}" for name, what in there]


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(int(minutes), 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds:.0f} s" if minutes else f"{seconds:.1f} s"
