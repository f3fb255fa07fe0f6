"""A long job on two processes that meets every accident there is, compared with one that meets none.

    python benchmarks/soak.py --pictures 2000 --accidents 20

Accidents: SIGKILL of rank zero, of rank one, of both; SIGTERM; a full disk for one of them; between
two starts a record that is cut off, emptied or foreign, or a picture that is emptied. In the end
every file must have the bytes of the uninterrupted job's. Of that one, open files and memory are
watched: they must stay flat.
"""

from __future__ import annotations

import argparse
import errno
import os
import random
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # cli.py is not installed

from benchmarks import kill_and_resume as job

KINDS = ("kill rank 0", "kill rank 1", "kill both", "SIGTERM", "full disk")
DAMAGE = ("cut off", "empty", "foreign", "no picture")


def rank_on_a_full_disk(left: int, number: int, port: int, words: list[str], log: str) -> None:
    """A process of the job; after ``left`` files the disk is full for rank one."""
    replace = os.replace

    def limited(source: Any, target: Any) -> None:
        nonlocal left
        left -= 1
        if number == 1 and left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    os.replace = limited  # type: ignore[assignment]
    job.run_rank(number, port, words, log)


def accident(kind: str, ranks: list[Any]) -> None:
    """Strike a running job, and wait until no process of it is left."""
    if kind == "SIGTERM":
        for rank in ranks:
            if rank.is_alive():
                os.kill(rank.pid, signal.SIGTERM)
    elif kind != "full disk":
        for number, rank in enumerate(ranks):
            if kind in ("kill both", f"kill rank {number}"):
                rank.kill()
    end = time.monotonic() + (3 if kind.startswith("kill") else 60)
    for rank in ranks:
        rank.join(max(0.0, end - time.monotonic()))
        if rank.is_alive():  # what a scheduler does with the rest of a job
            rank.kill()
            rank.join()


def damage(folder: Path, rng: random.Random) -> str:
    """Spoil a finished picture."""
    records = sorted((folder / "records").rglob("[!.]*.json"))
    if not records:
        return "nothing to damage"
    path, kind = rng.choice(records), rng.choice(DAMAGE)
    if kind == "no picture":
        name = path.relative_to(folder / "records").with_suffix("")
        (folder / "raw" / f"{name}_c01.png").write_bytes(b"")
    elif kind == "foreign":
        path.write_text('{"id": 1}')
    else:
        path.write_bytes(path.read_bytes()[: 0 if kind == "empty" else 300])
    return kind


def soak(words: list[str], folder: Path, log: Path, pictures: int, count: int, seed: int) -> None:
    """Run the job with accidents; prints each."""
    rng = random.Random(seed)
    words = [*words, "--output_dir", str(folder)]
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        goal = int(pictures * (number + rng.random()) / count)
        writes = rng.randrange(1, max(2, 3 * pictures // count))
        target = partial(rank_on_a_full_disk, writes) if kind == "full disk" else None
        ranks = job.start(words, log, target)
        while job.finished(folder) < goal and all(rank.is_alive() for rank in ranks):
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.3))
        accident(kind, ranks)
        codes = [rank.exitcode for rank in ranks]
        found = job.finished(folder)
        print(f"{kind:<12} exits {codes}, {found} finished; {damage(folder, rng)}", flush=True)
    job.finish(job.start(words, log), log)


def usage(pid: int) -> tuple[int, float]:
    """Open files of a process, and its memory in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return len(os.listdir(f"/proc/{pid}/fd")), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def watched(words: list[str], folder: Path, log: Path, pictures: int) -> None:
    """Run the job undisturbed; prints open files and memory along the way."""
    ranks = job.start([*words, "--output_dir", str(folder)], log)
    shares = [0.1, 0.25, 0.5, 0.75, 0.95]
    while all(rank.is_alive() for rank in ranks):
        if shares and job.finished(folder) >= shares[0] * pictures:
            used = ", ".join("{} files {:.0f} MB".format(*usage(rank.pid)) for rank in ranks)
            print(f"{shares.pop(0):.0%} of the pictures: {used}", flush=True)
        time.sleep(0.05)
    job.finish(ranks, log)


def main() -> int:
    """Print what happened and the verdict; the exit status is 1 if a file differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--accidents", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        words = [*job.make_inputs(root, given.pictures), "--data.batch_size", "8"]
        log = root / "log"
        watched(words, root / "whole", log, given.pictures)
        soak(words, root / "soaked", log, given.pictures, given.accidents, given.seed)
        found = job.differences(root / "whole", root / "soaked", given.pictures)
        traces = log.read_text().count("Traceback")
        print(f"{len(job.contents(root / 'whole'))} files, {traces} tracebacks: ", end="")
        print("; ".join(found[:20]) or "all the same bytes")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
