"""A job on two processes is killed at random moments, started again each time, and compared.

    python benchmarks/kill_and_resume.py --pictures 200 --kills 10

SIGKILL leaves no time for anything: what counts is what lies on the disk at that moment. The moments
are spread over the whole job, start-up and the making of tables and gallery included. In the end each
file must equal that of an uninterrupted run, byte for byte, and there must be no other file.

The processes are forked from a server that has imported everything, so that they spend their time at
work; each then runs the real command line, as one started by torchrun would.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # cli.py is not installed

PRELOAD = [
    "torch",
    "pytorch_lightning.cli",
    "cli",
    "lightning_inpaint.callbacks",
    "lightning_inpaint.datamodules",
]


def make_inputs(root: Path, pictures: int) -> list[str]:
    """A tiny untrained generator and pictures, every third one larger; returns the job's options."""
    import numpy as np
    import torch
    from PIL import Image

    from lightning_inpaint.generators import save_generator
    from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator

    torch.manual_seed(0)
    shape = {"z_dim": 8, "w_dim": 8, "resolution": 8, "mapping_layers": 2}
    generator = StyleGAN2Generator(**shape, num_classes=3, channel_base=64, channel_max=8)
    checkpoint = save_generator(generator, root / "tiny.safetensors", "float32")
    rng = np.random.default_rng(0)
    for k in range(pictures):
        path = root / "in" / str(k % 3) / f"{k:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (20, 24, 3) if k % 3 == 0 else (8, 8, 3)
        Image.fromarray(rng.integers(0, 256, size, dtype=np.uint8)).save(path)
    words = ["--model.generator", str(checkpoint), "--model.chains", "2"]
    words += ["--model.sampler", "seed", "--model.sampler.steps", "4"]
    words += ["--data", "FolderMasks", "--data.images", str(root / "in"), "--data.batch_size", "3"]
    return words


def start(words: Sequence[str], log: Path, target: Callable[..., None] | None = None) -> list[Any]:
    """Start ``cli.py predict`` with these options on two processes; what they print goes to a file.

    ``target`` is for tests that make something go wrong; it calls :func:`run_rank` in the end.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["predict", *words, "--trainer.accelerator", "cpu", "--trainer.strategy", "ddp"]
    words += ["--trainer.devices", "2", "--trainer.enable_progress_bar", "false"]
    ranks = [
        context.Process(target=target or run_rank, args=(k, port, words, str(log)))
        for k in range(2)
    ]
    for rank in ranks:
        rank.start()
    return ranks


def run_rank(number: int, port: int, words: list[str], log: str) -> None:
    """One process of the job."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ |= {"LOCAL_RANK": str(number), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    import torch

    import cli

    torch.set_num_threads(1)
    sys.exit(cli.main(words))


def finish(ranks: Sequence[Any], log: Path) -> None:
    """Wait for the end of a job, which must be a good one."""
    for rank in ranks:
        rank.join()
    codes = [rank.exitcode for rank in ranks]
    if codes != [0, 0]:
        raise RuntimeError(f"the job ended with {codes}: {log.read_text()[-3000:]}")


def moments(pictures: int, kills: int, seed: int) -> list[tuple[int, float]]:
    """When to kill: (finished pictures, seconds after that), in ascending order.

    The last one comes when every picture is finished, while tables and gallery are made.
    """
    rng = random.Random(seed)
    counts = sorted(rng.randrange(pictures) for _ in range(kills - 1))
    return [(count, rng.uniform(0, 0.3)) for count in (*counts, pictures)]


def kill_and_resume(
    words: Sequence[str], folder: Path, log: Path, when: Sequence[tuple[int, float]]
) -> list[int]:
    """Run a job with a SIGKILL to both processes at each moment; returns pictures finished by then."""
    words = [*words, "--output_dir", str(folder)]
    seen = []
    for count, seconds in when:
        ranks = start(words, log)
        while finished(folder) < count and any(rank.is_alive() for rank in ranks):
            time.sleep(0.01)
        time.sleep(seconds)
        for rank in ranks:
            rank.kill()
        for rank in ranks:
            rank.join()
        seen.append(finished(folder))
    finish(start(words, log), log)
    return seen


def finished(folder: Path) -> int:
    """Number of pictures with a record."""
    return sum(1 for _ in (folder / "records").rglob("[!.]*.json"))


def contents(folder: Path) -> dict[str, str]:
    """Digest of each file by its name."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest() for path in files}


def differences(whole: Path, killed: Path, pictures: int) -> list[str]:
    """What is wrong with the files of a killed job; empty if nothing is."""
    first, second = contents(whole), contents(killed)
    found = [f"missing: {name}" for name in sorted(first.keys() - second.keys())]
    found += [f"left over: {name}" for name in sorted(second.keys() - first.keys())]
    found += [
        f"other bytes: {n}" for n in sorted(first.keys() & second.keys()) if first[n] != second[n]
    ]
    found += [
        f"temporary: {n}" for n in second if n.endswith(".tmp") or Path(n).name.startswith(".")
    ]
    with (killed / "energies.csv").open(newline="") as file:
        rows = [(row["id"], row["chain"]) for row in csv.DictReader(file)]
    if len(rows) != 2 * pictures or len(set(rows)) != len(rows):
        found.append(f"the table has {len(rows)} rows, {len(set(rows))} different ones")
    return found


def main() -> int:
    """Print what happened and the verdict; the exit status is 1 if a file differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        words = make_inputs(root, given.pictures)
        log = root / "log"
        finish(start([*words, "--output_dir", str(root / "whole")], log), log)
        when = moments(given.pictures, given.kills, given.seed)
        seen = kill_and_resume(words, root / "killed", log, when)
        found = differences(root / "whole", root / "killed", given.pictures)
        print(f"{given.pictures} pictures on two processes, killed after {seen} finished pictures")
        print(f"{len(contents(root / 'whole'))} files: {'; '.join(found) or 'all the same bytes'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
