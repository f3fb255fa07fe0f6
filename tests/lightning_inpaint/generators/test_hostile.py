"""Hostile and damaged files: one sentence, nothing executed, bounded time and memory."""

import random
import resource
import signal
import subprocess
import sys

import hostile_files
import pytest
import wire
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import load_generator
from lightning_inpaint.generators.checkpoints.pickles import read_pickle

CPU_SECONDS = 2
MEMORY_KB = 1 << 20


@pytest.fixture
def bounded():
    """Fails a test that takes two seconds of processor time or a gigabyte."""

    def too_long(*_):
        raise AssertionError(f"more than {CPU_SECONDS} seconds of processor time")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    previous = signal.signal(signal.SIGPROF, too_long)
    yield lambda: signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.signal(signal.SIGPROF, previous)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MEMORY_KB


@pytest.mark.parametrize("name", hostile_files.FILES)
def test_hostile_files_are_refused_in_one_sentence(name, tmp_path, bounded):
    mark = tmp_path / "mark"
    path = tmp_path / name.replace(" ", "-")
    path.write_bytes(hostile_files.FILES[name](mark))
    bounded()
    with pytest.raises(UserError) as caught:
        load_generator(path)
    sentence = str(caught.value)
    assert not mark.exists()
    assert sentence.startswith(f"{path.name}: ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 300 + len(path.name)


def test_calls_are_refused_by_name(tmp_path):
    for module, name in hostile_files.CALLS:
        path = tmp_path / "file.pkl"
        path.write_bytes(hostile_files.call(module, name))
        with pytest.raises(UserError, match=rf"asks for {module}\.{name},.*nothing of it was run"):
            load_generator(path)


@pytest.mark.parametrize("route", ["protocol 0", "STACK_GLOBAL", "INST", "OBJ", "code in data.pkl"])
def test_every_route_to_a_name_says_the_name(tmp_path, route):
    maker = next(m for n, m in hostile_files.FILES.items() if n.startswith(route + "."))
    (tmp_path / "file.pkl").write_bytes(maker(tmp_path / "mark"))
    with pytest.raises(UserError, match=r"asks for os\.system,"):
        load_generator(tmp_path / "file.pkl")


def test_the_calls_are_real_attacks(tmp_path):
    """The same bytes do harm in Python's own reader: the refusals above are not for nothing."""
    mark = tmp_path / "mark"
    (tmp_path / "file.pkl").write_bytes(hostile_files.FILES["call os.system.pkl"](mark))
    command = "import pickle, sys; pickle.load(open(sys.argv[1], 'rb'))"
    subprocess.run([sys.executable, "-c", command, str(tmp_path / "file.pkl")], check=True)
    assert mark.exists()


def _load(path, data: bytes) -> str:
    path.write_bytes(data)
    try:
        load_generator(path)
    except UserError as error:
        return str(error)
    return "loaded"


@pytest.mark.parametrize(
    ("ending", "make"),
    [
        ("pkl", wire.snapshot),
        ("pt", wire.rosinality),
        ("pt", lambda g: wire.rosinality(g, old_form=True)),
        ("safetensors", lambda _: hostile_files.own()),
    ],
    ids=["nvidia", "zip", "old", "own"],
)
def test_any_damage_is_refused_or_harmless(tmp_path, ending, make):
    """Flipped bits, cut, repeated and swapped pieces never give anything but a sentence or a network."""
    original = make(hostile_files.network())
    rng = random.Random(0)
    refused = 0
    for _ in range(100):
        data = bytearray(original)
        a, b = sorted(rng.randrange(len(data)) for _ in range(2))
        kind = rng.randrange(5)
        if kind == 0:
            for _ in range(rng.choice((1, 1, 8, 64))):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif kind == 1:
            data = data[:a]
        elif kind == 2:
            del data[a : min(b, a + 32)]
        elif kind == 3:
            data[a:a] = data[a : a + rng.randrange(1, 64)]
        else:
            data[a] = rng.choice(b"cRbQ\x81\x93\x8e\x92(t}]u.")
        refused += _load(tmp_path / f"damaged.{ending}", bytes(data)) != "loaded"
    assert refused > 50


_pieces = st.one_of(
    st.sampled_from(
        [bytes([c]) for c in b"(t)]}0NaesudRbQ.\x81\x85\x86\x87\x88\x89\x8f\x90\x93\x94"]
    ),
    st.sampled_from([b"h\x00", b"q\x00", b"K\x07", b"\x8c\x01a", b"C\x02ab", b"ios\nsystem\n"]),
    st.sampled_from([hostile_files.named(m, n) for m, n in hostile_files.CALLS]),
    st.sampled_from(
        [
            hostile_files.named("torch_utils.persistence", "_reconstruct_persistent_obj"),
            hostile_files.named("torch._utils", "_rebuild_tensor_v2"),
            hostile_files.named("torch.storage", "_load_from_bytes"),
            hostile_files.named("numpy.core.multiarray", "scalar"),
            hostile_files.named("collections", "OrderedDict"),
            hostile_files.named("dnnlib.util", "EasyDict"),
            hostile_files.named("argparse", "Namespace"),
            hostile_files.named("numpy", "dtype"),
            hostile_files.named("torch", "Size"),
        ]
    ),
    st.binary(max_size=6),
)


@settings(
    max_examples=200,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(st.lists(_pieces, max_size=40).map(b"".join))
@example(b"]h\x00")
def test_any_sequence_of_instructions_gives_plain_data_or_a_sentence(program):
    try:
        _, end = read_pickle(memoryview(b"\x80\x02" + program + b"."), source="fuzz.pkl")
    except UserError as error:
        end, sentence = 1, str(error)
    else:
        sentence = "fuzz.pkl: plain data"
    assert sentence.startswith("fuzz.pkl: ")
    assert 0 < end <= len(program) + 3
