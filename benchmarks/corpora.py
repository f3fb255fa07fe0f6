"""Other people's hostile model files and awkward pictures, put to every reader.

    python benchmarks/corpora.py --models picklescan modelaudit modelscan \
        --pictures Pillow/Tests/images seed-corpora

The folders are clones of github.com/mmaitre314/picklescan, promptfoo/modelaudit, protectai/modelscan,
python-pillow/Pillow and libjpeg-turbo/seed-corpora; nothing is fetched. Each file is read in a process of
its own, forked from one that has imported everything, within limits of time and memory. A model file
is read through each door as it is, as the pickle inside a zip of ``torch.save``, and behind torch's old
header. *Executed* counts loads during which Python's audit events tell of a process, a network
connection, code that is compiled or run, an import or a file that is written, or that print or exit; the
event is stopped. Of Lightning's own ``load_from_checkpoint`` any error is a refusal. Controls, whose code
Python's own ``pickle.loads`` runs, must be counted as that.

A picture is *lost* when Pillow can open it, by its ending it is one, and the data module neither serves it
nor says why not. Seconds are of processor time.
Exits with 1 where a number is not zero that should be.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import multiprocessing
import os
import pickle
import resource
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image

from lightning_inpaint import LatentInpainter
from lightning_inpaint.datamodules import FolderMasks
from lightning_inpaint.datamodules.collate import Skipped
from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import load_generator, save_generator
from lightning_inpaint.generators.checkpoints.reading import read_weights
from lightning_inpaint.generators.stylegan2 import StyleGAN2Generator
from lightning_inpaint.training.checkpoints import WholeCheckpoints

SECONDS, KILOBYTES = 2.0, 1 << 20  # above which a load is counted
PATIENCE, ADDRESSES = 30.0, 6 << 30  # after which it is killed; bytes it may map beyond the start
MODELS = {".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".safetensors", ".npy", ".npz", ".zip"}
MODELS |= {".7z", ".h5", ".keras", ".pb", ".skops"}
LIGHTNINGS = "load_from_checkpoint"
DOORS: dict[str, Callable[[Path], Any]] = {
    "--model.generator": load_generator,
    "Class@FILE": lambda path: read_weights(path, torch.nn.Linear(2, 2), name="Linear"),
    "fit --ckpt_path": lambda path: WholeCheckpoints().load_checkpoint(path),
    LIGHTNINGS: lambda path: LatentInpainter.load_from_checkpoint(path),
}
DANGEROUS = (
    *("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.startfile", "pty.spawn"),
    *(
        "subprocess.",
        "socket.",
        "urllib.",
        "ftplib.",
        "http.",
        "smtplib.",
        "imaplib.",
        "webbrowser.",
    ),
    *(
        "exec",
        "compile",
        "import",
        "code.__new__",
        "function.__new__",
        "ctypes.",
        "pickle.find_class",
    ),
    *("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate", "shutil."),
)
OLD_HEADER = b"".join(
    pickle.dumps(part, 2)
    for part in (
        0x1950A86A20F9469CFC6C,
        1001,
        {"protocol_version": 1001, "little_endian": True, "type_sizes": {}},
    )
)


class Load(NamedTuple):
    """What came of one load: ``loads``, ``refused``, ``traceback``, ``executed`` or ``killed``."""

    outcome: str
    words: str
    seconds: float = 0.0
    kilobytes: int = 0


class _Stopped(BaseException):
    """An event that no reader may cause."""


def watched(work: Callable[[], str], folder: Path) -> Load:
    """Do ``work`` in a process of its own; it returns the word for what came of it."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(False)
    process = context.Process(target=_child, args=(work, sender, folder))
    process.start()
    sender.close()
    answer: Load | None = None
    with contextlib.suppress(EOFError):
        answer = receiver.recv() if receiver.poll(PATIENCE) else None
    if answer is None:
        process.kill()
    process.join()
    receiver.close()
    output = (folder / "output").read_text(errors="replace")
    if answer is None:
        return Load("killed", f"exit {process.exitcode}", PATIENCE)
    if output and answer.outcome != "executed":
        return answer._replace(outcome="executed", words=f"printed {output[:60]!r}")
    return answer


def _child(work: Callable[[], str], sender: Any, folder: Path) -> None:
    output = os.open(folder / "output", os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    os.dup2(output, 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # where libraries complain
    warnings.simplefilter("ignore")
    os.chdir(folder)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + ADDRESSES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    events: list[str] = []
    armed = [True]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        writes = (
            event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        )
        if armed[0] and (writes or event.startswith(DANGEROUS)):
            events.append(f"{event} {arguments!r:.80}")
            raise _Stopped(events[-1])

    sys.addaudithook(hook)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    try:
        outcome, words = work(), ""
    except UserError as error:
        text = str(error)
        outcome = "refused" if "\n" not in text and text.endswith((".", "?")) else "traceback"
        words = text
    except (SystemExit, KeyboardInterrupt, _Stopped) as error:
        outcome, words = "executed", repr(error)
    except BaseException as error:
        outcome, words = "traceback", f"{type(error).__name__}: {error}"
    seconds = time.process_time() - start
    armed[0] = False
    if events:
        outcome, words = "executed", events[0]
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    sender.send(Load(outcome, words, seconds, taken))
    sender.close()
    os._exit(0)


# -- models --------------------------------------------------------------------------------------


def wrapped(content: bytes) -> dict[str, tuple[str, bytes]]:
    """The forms in which a file is tried: what it is called, its ending and its bytes."""
    forms = {"as a safetensors file": (".safetensors", content)}
    if content[:2] != b"PK":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", content)
            archive.writestr("archive/version", "3\n")
        forms["in torch's zip"] = (".pt", buffer.getvalue())
        forms["behind torch's old header"] = (".pt", OLD_HEADER + content)
    return forms


def model_files(folder: Path) -> list[Path]:
    """Files of a corpus that are models by their ending, or pickles by their first bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [p for p in files if p.suffix.lower() in MODELS or p.read_bytes()[:1] == b"\x80"]


def read_models(folder: Path, scratch: Path) -> list[tuple[str, Load]]:
    """Every model file of a corpus, in every form, through every door."""
    loads = []
    for path in model_files(folder):
        content = path.read_bytes()
        forms = {"as it is": (path.suffix, content)} | wrapped(content)
        for form, (suffix, data) in forms.items():
            copy = scratch / f"file{suffix}"
            copy.write_bytes(data)
            for door in DOORS:
                load = watched(lambda door=door, copy=copy: _loads(door, copy), scratch)
                loads.append((f"{path.relative_to(folder)}, {form}, {door}", load))
            copy.unlink()
    return loads


def _loads(door: str, path: Path) -> str:
    try:
        DOORS[door](path)
    except UserError:
        raise
    except Exception as error:
        if door != LIGHTNINGS:
            raise
        raise UserError(f"{type(error).__name__}.") from error
    return "loads"


def warm_up(scratch: Path) -> None:
    """Import what readers import when they first run, so that later imports are somebody's wish."""
    "".encode("cp437")  # of names in zips
    Image.init()
    torch.manual_seed(0)
    small = {"z_dim": 8, "w_dim": 8, "resolution": 8, "mapping_layers": 1, "channel_max": 8}
    good = save_generator(StyleGAN2Generator(**small, channel_base=64), scratch / "g.safetensors")
    network = torch.nn.Linear(2, 2)
    torch.save(network.state_dict(), scratch / "state.pt")
    torch.save({"G_ema": network}, scratch / "code.pt")
    old = scratch / "old.pt"
    torch.save(network.state_dict(), old, _use_new_zipfile_serialization=False)
    cut = scratch / "cut.pt"
    cut.write_bytes((scratch / "state.pt").read_bytes()[:200])
    plain = scratch / "plain.pkl"
    plain.write_bytes(pickle.dumps({"a": [1, 2.0]}, 4))
    (scratch / "text.pkl").write_bytes(b"I1\n.")
    for path in (
        good,
        scratch / "state.pt",
        scratch / "code.pt",
        old,
        cut,
        plain,
        scratch / "text.pkl",
    ):
        for read in DOORS.values():
            try:
                read(path)
            except Exception:
                continue


class _Runs:
    """A control: Python's own reader runs it."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def controls(scratch: Path) -> list[Load]:
    """What ``pickle.loads`` makes of files that run something; all must count as executed."""
    mark = str(scratch / "mark")
    calls = (
        _Runs(os.system, f"touch {mark}"),
        _Runs(eval, "1 + 1"),
        _Runs(print, "here"),
        _Runs(sys.exit, 0),
        _Runs(open, mark, "w"),
        _Runs(__import__, "this"),
    )
    contents = [pickle.dumps(call) for call in calls]
    return [watched(lambda data=data: str(pickle.loads(data)), scratch) for data in contents]


# -- pictures ------------------------------------------------------------------------------------


def read_pictures(folder: Path, scratch: Path) -> tuple[int, Counter[str], list[tuple[str, Load]]]:
    """Every file of a corpus through the data module; also what Pillow makes of those it leaves."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = FolderMasks(str(folder), masks="center")
        data.setup()
    served = data.served()
    loads = []
    for position, name in enumerate(data.ids):
        load = watched(lambda position=position: _picture(served[position]), scratch)
        loads.append((name, load))
    told = {Path(job.file.name).resolve() for job in data._jobs}
    said = [words.split(": ")[0] for _, words in data.skipped]
    told |= {Path(words).resolve() for words in said}
    counts = Counter(load.outcome for _, load in loads)
    counts["refused"] += len(data.skipped)
    endings = Image.registered_extensions()
    files = [path for path in folder.rglob("*") if path.is_file()]
    for path in files:
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.resolve() in told or hidden or path.suffix.lower() not in endings:
            continue
        load = watched(lambda path=path: _by_pillow(path), scratch)
        if load.outcome == "loads":
            counts["lost"] += 1
            loads.append((str(path.relative_to(folder)), load._replace(outcome="lost")))
    return len(files), counts, loads


def _picture(found: Any) -> str:
    if isinstance(found, Skipped):
        raise UserError(found.reason)
    return "loads"


def _by_pillow(path: Path) -> str:
    with Image.open(path) as image:
        image.verify()
    return "loads"


# -- tables --------------------------------------------------------------------------------------


def line(cells: Iterable[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def counted(loads: list[tuple[str, Load]]) -> list[int]:
    """Tracebacks, executed, killed, above the time and above the memory."""
    words = [load.outcome for _, load in loads]
    slow = sum(load.seconds > SECONDS for _, load in loads)
    large = sum(load.kilobytes > KILOBYTES for _, load in loads)
    return [*(words.count(word) for word in ("traceback", "executed", "killed")), slow, large]


def tell(loads: list[tuple[str, Load]], shown: int) -> None:
    """The first of those that are not as they should be."""
    bad = [
        (name, load)
        for name, load in loads
        if load.outcome not in ("loads", "refused")
        or load.seconds > SECONDS
        or load.kilobytes > KILOBYTES
    ]
    for name, load in bad[:shown]:
        print(
            f"  {load.outcome}: {name}: {load.words[:160]!r} "
            f"({load.seconds:.1f} s, {load.kilobytes >> 10} MB)",
            file=sys.stderr,
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--models", nargs="*", type=Path, default=[], help="clones with model files"
    )
    parser.add_argument("--pictures", nargs="*", type=Path, default=[], help="folders of pictures")
    parser.add_argument("--shown", type=int, default=20, help="bad loads that are listed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        warm_up(scratch)
        missed = [load for load in controls(scratch) if load.outcome != "executed"]
        print(f"controls that run code: 6, of which noticed: {6 - len(missed)}\n")
        bad += len(missed)
        last = ("traceback", "executed", "killed", f"> {SECONDS:g} s", "> 1 GB")
        if options.models:
            print(line(("model files of", "files", "loads tried", "load", "refused", *last)))
            print("|---|" + "--:|" * (4 + len(last)), flush=True)
        for folder in map(Path.resolve, options.models):
            loads = read_models(folder, scratch)
            words = Counter(load.outcome for _, load in loads)
            numbers = counted(loads)
            files = len(model_files(folder))
            row = (folder.name, files, len(loads), words["loads"], words["refused"], *numbers)
            print(line(row), flush=True)
            tell(loads, options.shown)
            bad += sum(numbers)
        if options.pictures:
            print()
            print(line(("pictures of", "files", "read", "skipped", "lost", *last)))
            print("|---|" + "--:|" * (4 + len(last)), flush=True)
        for folder in map(Path.resolve, options.pictures):
            files, counts, pictures = read_pictures(folder, scratch)
            numbers = counted(pictures)
            title = "/".join(folder.parts[-3:])
            row = (title, files, counts["loads"], counts["refused"], counts["lost"], *numbers)
            print(line(row), flush=True)
            tell(pictures, options.shown)
            bad += sum(numbers) + counts["lost"]
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
