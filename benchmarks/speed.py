"""What a walk takes now, and how it compares with an older checkout, in bfloat16, and compiled.

    python benchmarks/speed.py                                   # presets at batch 1, 8, 64, both precisions
    python benchmarks/speed.py --older CHECKOUT                  # beside another commit's code, in turns
    python benchmarks/speed.py --compiled --batches 8            # and what compiling costs

``CHECKOUT`` is a folder with another commit of this project, such as ``git archive COMMIT | tar -x -C FOLDER``
makes. Each form completes the same pictures of noise, right half hidden, with the bundled generator in a
process of its own, and they take turns: ratios are medians over neighbours, which others disturb least.
Times are of the processor (``--clock wall`` for wall time). What is timed is ``predict_step``: preset, walk and
final picture, without files.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from presets import hardware

HERE = Path(__file__).resolve().parents[1]
#: Runs in each checkout, an older one among them: a number of pictures a line, seconds and evaluations back.
WORKER = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(int(sys.argv[1]))
torch.set_flush_denormal(True)
import yaml
from jsonargparse import ArgumentParser
from lightning_inpaint import LatentInpainter
clock = time.process_time if sys.argv[2] == "cpu" else time.perf_counter
settings = json.loads(sys.argv[3])
name = settings.pop("preset")
if name != "default":
    settings = {**yaml.safe_load(open(f"configs/{name}.yaml"))["model"], **settings}
parser = ArgumentParser()
parser.add_class_arguments(LatentInpainter, "model")
settings.setdefault("generator", "cifar10")
module = parser.instantiate_classes(parser.parse_object({"model": settings})).model
said = getattr(getattr(module, "speed", None), "precision", settings.get("precision", "float32"))
print(json.dumps(said), flush=True)
for line in sys.stdin:
    n = json.loads(line)
    image = torch.randint(0, 256, (n, 3, 32, 32), generator=torch.Generator().manual_seed(n)).byte()
    mask = torch.zeros(n, 1, 32, 32)
    mask[..., 16:] = 1
    batch = {"image": image, "mask": mask, "label": torch.arange(n) % 10, "id": [str(i) for i in range(n)]}
    began = clock()
    done = module.predict_step(batch)
    print(json.dumps([clock() - began, int(done.diagnostics["gradient_evaluations"].max())]), flush=True)
"""


class Form(NamedTuple):
    """A checkout with its options, in a process of its own."""

    name: str
    process: subprocess.Popen[str]
    precision: str

    def seconds(self, n: int) -> tuple[float, int]:
        """Seconds that n pictures take, and gradient evaluations of each."""
        assert self.process.stdin is not None
        print(n, file=self.process.stdin, flush=True)
        took, evaluations = json.loads(self._line())
        return took, evaluations

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


def form(name: str, code: Path, settings: dict[str, Any], args: argparse.Namespace) -> Form:
    """Start a form."""
    words = [sys.executable, "-c", WORKER, str(args.threads), args.clock, json.dumps(settings)]
    process = subprocess.Popen(
        words, cwd=code, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return Form(name, process, json.loads(process.stdout.readline()))


def forms_of(name: str, args: argparse.Namespace) -> list[Form]:
    """The forms of a preset; the first one is what others are compared with."""
    made = []
    if args.older:
        made.append(form("older", args.older, {"preset": name}, args))
    asked: dict[str, dict[str, Any]] = {
        "float32": {"precision": "float32", "compile": False},
        "as decided": {"compile": False},
    }
    if args.compiled:
        asked["as decided, compiled"] = {"compile": True}
    return made + [form(key, HERE, {"preset": name, **more}, args) for key, more in asked.items()]


def compare(name: str, args: argparse.Namespace) -> None:
    """All forms of a preset in turns; prints their rows."""
    forms = forms_of(name, args)
    for n in args.batches:
        for each in forms:  # caches, and compilation
            began = time.perf_counter()
            each.seconds(n if "compiled" in each.name else 2)
            if "compiled" in each.name:
                print(f"(first batch of {n}, compiled: {time.perf_counter() - began:.0f} s)")
        rows: list[list[tuple[float, int]]] = [[] for _ in forms]
        for _ in range(args.rounds):
            for each, row in zip(forms, rows, strict=True):
                row.append(each.seconds(n))
        for each, row in zip(forms, rows, strict=True):
            ratios = sorted(a[0] / b[0] for a, b in zip(rows[0], row, strict=True))
            took = statistics.median(seconds for seconds, _ in row)
            print(
                f"| {name} | {n} | {each.name} ({each.precision}) | {row[0][1]} | {n / took:.2f} "
                f"| {statistics.median(ratios):.2f} | {ratios[0]:.2f} to {ratios[-1]:.2f} |",
                flush=True,
            )
    for each in forms:
        each.process.kill()
        each.process.wait()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--presets", nargs="+", default=["default", "fast"])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--older", type=Path, help="folder with an older commit of this project")
    parser.add_argument("--compiled", action="store_true", help="compiled as well")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=["cpu", "wall"], default="cpu")
    args = parser.parse_args()
    print(f"{hardware()}; {args.threads} threads a form, {args.clock} time, bundled generator")
    print("| preset | batch | form | evaluations | pictures/s | x | range |")
    print("|---|--:|---|--:|--:|--:|--:|")
    for name in args.presets:
        compare(name, args)


if __name__ == "__main__":
    main()
