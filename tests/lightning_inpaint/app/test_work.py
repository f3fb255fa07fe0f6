"""What the page asks for, without a browser: walks that are watched and stopped, and what is made of them."""

import json
import queue
import threading
import time
import zipfile

import numpy as np
import pytest
from PIL import Image

from lightning_inpaint import UserError
from lightning_inpaint.app import show, work
from lightning_inpaint.app.work import (
    Finished,
    Progress,
    Request,
    command_line,
    python_lines,
    walk,
)
from lightning_inpaint.generators import save_generator

PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
HOLE = np.zeros((20, 30), np.uint8)
HOLE[5:12, 8:20] = 255


@pytest.fixture
def request_(tiny_generator, tmp_path):
    path = tmp_path / "g.safetensors"
    save_generator(tiny_generator, path, "float32")
    return Request(PHOTO, HOLE, str(path), chains=2, label="bee", seed=3)


def walking():
    return [thread for thread in threading.enumerate() if thread.name == "completion"]


def test_a_walk_tells_how_far_it_is_and_what_came_of_it(request_, tmp_path):
    *moving, done = walk(request_)
    assert all(isinstance(event, Progress) for event in moving)
    shown = [event.done for event in moving]
    assert shown == sorted(set(shown))
    assert set(shown) <= set(range(1, 61))
    assert 0 < sum(event.preview is not None for event in moving) <= 25
    assert isinstance(done, Finished)
    known = HOLE == 0
    np.testing.assert_array_equal(done.result.array(0)[known], np.asarray(PHOTO)[known])
    assert len(show.captions(done)) == 2
    assert "dB" in show.captions(done)[0]
    assert show.spread(done) is not None
    assert show.curve(done).size[0] > 100
    assert "2 completions" in show.words(done, request_)
    with zipfile.ZipFile(show.archive(done, request_, tmp_path)) as archive:
        record = json.loads(archive.read("records/picture.json"))
        names = set(archive.namelist())
    listed = {each[kind] for each in record["completions"] for kind in ("composite", "raw")}
    assert listed | {record["input"], "mask.png", "again.sh", "again.py"} <= names
    assert record["settings"]["model.seed"] == 3
    assert not any("picture" in str(value) for value in record["settings"].values())


def test_every_step_is_reported_and_some_with_a_preview(request_):
    reports = queue.Queue()
    work._complete(request_, work._Watch(reports, threading.Event()))
    moving = list(reports.queue)
    assert all(isinstance(event, Progress) for event in moving)
    assert [event.done for event in moving] == list(range(1, 61))
    assert 15 <= sum(event.preview is not None for event in moving) <= 25


def test_of_reports_that_wait_the_last_preview_is_kept():
    reports, preview = queue.Queue(), np.zeros((2, 2, 3), np.uint8)
    for each in (Progress(1, 3, 5.0, preview), Progress(2, 3, 4.0, None)):
        reports.put(each)
    assert work._newest(reports) == Progress(2, 3, 4.0, preview)


def test_of_reports_that_wait_the_newest_is_shown(request_):
    events = walk(request_)
    next(events)
    while walking():
        time.sleep(0.01)
    (done,) = events
    assert isinstance(done, Finished)


def test_a_walk_that_nobody_waits_for_stops(request_):
    events = walk(request_)
    assert isinstance(next(events), Progress)
    assert walking()
    events.close()
    assert not walking()


def test_nothing_painted_is_said(request_):
    empty = Request(PHOTO, np.zeros_like(HOLE), request_.generator)
    with pytest.raises(UserError, match="nothing is painted"):
        list(walk(empty))
    assert not walking()


def test_the_lines_to_copy_do_the_same(request_, tmp_path, monkeypatch):
    import shlex

    import cli

    monkeypatch.chdir(tmp_path)
    PHOTO.save("picture.png")
    Image.fromarray(HOLE).save("mask.png")
    *_, done = walk(request_)
    names = {}
    exec(python_lines(request_), names)
    np.testing.assert_array_equal(names["result"].array(0, 1), done.result.array(0, 1))
    words = shlex.split(command_line(request_))
    assert words[:2] == ["lightning-inpaint", "predict"]
    if "fast" in words:  # a preset by name
        from lightning_inpaint.configs import preset_path

        words[words.index("fast")] = str(preset_path("fast"))
    assert cli.main([*words[1:], "--trainer.enable_progress_bar", "false"]) == 0
    written = np.asarray(Image.open("outputs/composites/picture_c02.png"))
    np.testing.assert_array_equal(written, done.result.array(0, 1))
