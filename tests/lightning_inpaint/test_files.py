"""Files appear whole, whoever else writes them."""

import json
import multiprocessing
import os
import subprocess
import sys

import pytest

from lightning_inpaint.files import is_temporary, persist, whole_file, write_bytes, write_json

WRITES = 300


def write_often(path, number):
    data = bytes([number]) * 5000
    for _ in range(WRITES):
        write_bytes(path, data)


def test_two_processes_may_write_one_path(tmp_path):
    path = tmp_path / "deep/file"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_often, args=(path, k)) for k in (1, 2)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if path.exists():
            seen.add(path.read_bytes())
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert seen <= {bytes([k]) * 5000 for k in (1, 2)}
    assert os.listdir(path.parent) == ["file"]


def test_json_arrives_and_is_persisted(tmp_path):
    write_json(tmp_path / "a.json", {"a": "ü"})
    persist([tmp_path / "a.json"])
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": "ü"}


def test_remains_of_a_killed_process_are_removed_with_the_next_file(tmp_path):
    path = tmp_path / "weights"
    code = (
        "import os, sys\nfrom lightning_inpaint.files import whole_file\n"
        "with whole_file(sys.argv[1]) as temporary:\n"
        "    temporary.write_bytes(b'half')\n    os._exit(9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == 9
    (left,) = os.listdir(tmp_path)
    assert is_temporary(left)
    with whole_file(path) as temporary:
        temporary.write_bytes(b"whole")
    assert os.listdir(tmp_path) == ["weights"]


def test_a_writer_that_fails_keeps_what_was_there(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(b"before")

    def fail():
        with whole_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert os.listdir(tmp_path) == ["weights"]
    assert path.read_bytes() == b"before"
