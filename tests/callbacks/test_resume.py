"""A second start continues the first one, or says why it cannot."""

import importlib
import json
import linecache

import pytest
import torch
from torch import nn

from lightning_inpaint.callbacks import (
    CompletionFigure,
    CompletionWriter,
    EnergyTable,
    Gallery,
    Summary,
    UncertaintyMaps,
    finished_ids,
)
from lightning_inpaint.callbacks.resume import whole_batches
from lightning_inpaint.errors import UserError
from lightning_inpaint.generators.identity import weights_digest
from tests.callbacks.made_up import files_below

IDS = ["a", "b", "cat/c", "d", "e"]


def everything(folder, **options):
    return [
        CompletionWriter(str(folder), **options),
        UncertaintyMaps(),
        EnergyTable(),
        CompletionFigure(),
        Gallery(),
    ]


def contents(root):
    return {name: (root / name).read_bytes() for name in files_below(root)}


def start(predict, callbacks, module, data):
    predict(callbacks, module=module, data=data)
    return module.predicted


def test_resumed_run_ends_with_the_same_files(tmp_path, predict, made_up, made_up_data):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    start(predict, everything(whole), made_up(chains=2), made_up_data(IDS))
    with pytest.raises(KeyError):
        start(predict, everything(broken), made_up(chains=2, dies_at=2), made_up_data(IDS))
    assert finished_ids(broken) == set(IDS[:4])
    assert start(predict, everything(broken), made_up(chains=2), made_up_data(IDS)) == ["e"]
    assert contents(whole) == contents(broken)


def test_finished_run_is_finished_again_without_a_picture_to_do(
    tmp_path, predict, made_up, made_up_data, capsys
):
    start(predict, everything(tmp_path), made_up(), made_up_data(IDS))
    before = contents(tmp_path)
    (tmp_path / "energies.csv").unlink()
    callbacks = [*everything(tmp_path), Summary()]
    assert start(predict, callbacks, made_up(), made_up_data(IDS)) == []
    assert contents(tmp_path) == before
    assert "0 now, 5 in an earlier start" in capsys.readouterr().out


def test_more_pictures_continue_a_run(tmp_path, predict, made_up, made_up_data):
    start(predict, everything(tmp_path), made_up(), made_up_data(IDS[:2]))
    assert start(predict, everything(tmp_path), made_up(), made_up_data(IDS)) == IDS[2:]


@pytest.mark.parametrize(
    ("module", "data", "words"),
    [
        ({"seed": 1}, {}, "model.seed was 0 and is 1"),
        ({"chains": 2}, {}, "model.chains was 1 and is 2"),
        ({}, {"kind": "center"}, "data.kind was 'right_half' and is 'center'"),
    ],
)
def test_changed_setting_is_named(tmp_path, predict, made_up, made_up_data, module, data, words):
    start(predict, everything(tmp_path), made_up(), made_up_data(IDS))
    before = contents(tmp_path)
    with pytest.raises(UserError, match=words) as caught:
        start(predict, everything(tmp_path), made_up(**module), made_up_data(IDS, **data))
    assert "--overwrite" in str(caught.value)
    assert "--output_dir" in str(caught.value)
    assert contents(tmp_path) == before


def test_changed_generator_is_noticed(tmp_path, predict, made_up, made_up_data):
    start(predict, everything(tmp_path), made_up(), made_up_data(IDS))
    other = made_up()
    nn.init.constant_(other.generator.weight, 0.25)
    with pytest.raises(UserError, match="the generator's weights are others"):
        start(predict, everything(tmp_path), other, made_up_data(IDS))


def test_overwrite_replaces_the_run(tmp_path, predict, made_up, made_up_data):
    start(predict, everything(tmp_path), made_up(chains=3), made_up_data(IDS))
    (tmp_path / "raw/mine.txt").write_text("not ours")
    callbacks = everything(tmp_path, overwrite=True)
    assert start(predict, callbacks, made_up(seed=1), made_up_data(IDS[:2])) == IDS[:2]
    assert files_below(tmp_path / "raw") == ["a.png", "b.png", "mine.txt"]
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["model.seed"] == 1


def test_other_versions_are_mentioned_and_not_refused(tmp_path, predict, made_up, made_up_data):
    start(predict, everything(tmp_path), made_up(), made_up_data(IDS[:2]))
    run = json.loads((tmp_path / "run.json").read_text())
    run["versions"]["torch"] = "1.0"
    (tmp_path / "run.json").write_text(json.dumps(run))
    with pytest.warns(UserWarning, match=r"begun with other versions \(torch was '1\.0' and is '"):
        assert start(predict, everything(tmp_path), made_up(), made_up_data(IDS)) == IDS[2:]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"settings": 1}'])
def test_a_damaged_run_file_is_made_up_for_by_the_records(
    tmp_path, predict, made_up, made_up_data, text
):
    start(predict, everything(tmp_path), made_up(), made_up_data(IDS))
    before = contents(tmp_path)
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json, which .* is damaged: .*--overwrite true"):
        start(predict, everything(tmp_path), made_up(seed=1), made_up_data(IDS))
    with pytest.warns(UserWarning, match="damaged, and is written anew"):
        assert start(predict, everything(tmp_path), made_up(), made_up_data(IDS)) == []
    assert contents(tmp_path) == before


def test_a_missing_run_file_is_asked_about(tmp_path, predict, made_up, made_up_data):
    start(predict, everything(tmp_path), made_up(), made_up_data(IDS))
    (tmp_path / "run.json").unlink()
    before = contents(tmp_path)
    with pytest.raises(UserError, match=r"run\.json, which .* is not there: .*--overwrite true"):
        start(predict, everything(tmp_path), made_up(), made_up_data(IDS))
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text", ["", '{"id": "b", "ind', "[1]", '{"id": "b"}', "[" * 100_000])
def test_a_damaged_record_is_done_again(tmp_path, predict, made_up, made_up_data, text):
    start(predict, everything(tmp_path), made_up(chains=2), made_up_data(IDS))
    before = contents(tmp_path)
    (tmp_path / "records/b.json").write_text(text)
    data = made_up_data(IDS)
    assert start(predict, everything(tmp_path), made_up(chains=2), data) == ["a", "b"]
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["composites/b_c01.png", "uncertainty/b.npz", "inputs/b.png"])
@pytest.mark.parametrize("damage", ["gone", "empty", "short"])
def test_a_record_without_its_files_is_done_again(
    tmp_path, predict, made_up, made_up_data, name, damage
):
    start(predict, everything(tmp_path), made_up(chains=2), made_up_data(IDS))
    before = contents(tmp_path)
    path = tmp_path / name
    path.write_bytes({"empty": b""}.get(damage, path.read_bytes()[:-1]))
    if damage == "gone":
        path.unlink()
    assert finished_ids(tmp_path) == set(IDS) - {"b"}
    data = made_up_data(IDS)
    assert start(predict, everything(tmp_path), made_up(chains=2), data) == ["a", "b"]
    assert contents(tmp_path) == before


def test_changed_options_of_the_writer_are_named(tmp_path, predict, made_up, made_up_data):
    start(predict, everything(tmp_path), made_up(), made_up_data(IDS))
    with pytest.raises(UserError, match=r"writer\.format was 'png' and is 'jpeg'"):
        start(predict, everything(tmp_path, format="jpeg"), made_up(), made_up_data(IDS))
    with pytest.raises(UserError, match=r"writer\.blend was 'gradient' and is 'none'"):
        start(predict, everything(tmp_path, blend="none"), made_up(), made_up_data(IDS))
    same = everything(tmp_path, quality=20)  # png has none
    assert start(predict, same, made_up(), made_up_data(IDS)) == []


def test_code_of_a_module_that_changed_is_noticed(
    tmp_path, predict, made_up, made_up_data, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own.py").write_text("import torch\nclass Net(torch.nn.Linear):\n    pass\n")
    own = importlib.import_module("own")

    def begin():
        module = made_up()
        module.generator = own.Net(2, 2)
        torch.nn.init.ones_(module.generator.weight)
        torch.nn.init.ones_(module.generator.bias)
        return start(predict, everything(tmp_path / "out"), module, made_up_data(IDS))

    assert begin() == IDS
    (tmp_path / "own.py").write_text(
        "import torch\n\nclass Net(torch.nn.Linear): # mine\n    pass\n"
    )
    linecache.clearcache()
    assert begin() == []
    (tmp_path / "own.py").write_text("import torch\nclass Net(torch.nn.Linear):\n    a = 2\n")
    linecache.clearcache()
    with pytest.raises(UserError, match="the code of own has changed"):
        begin()


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 4])
@pytest.mark.parametrize("total", [1, 7, 24, 25])
def test_batches_of_a_resumed_run_are_batches_of_the_whole_run(total, batch_size, devices):
    ids = [f"{i}" for i in range(total)]

    def batches(served):
        starts = range(0, len(served), batch_size)
        return [tuple(served[start : start + batch_size]) for start in starts]

    for finished in (set(ids[: total // 2]), set(ids[::3]), set(ids[:-1]), set(ids), set()):
        left_out = whole_batches(ids, finished, batch_size, devices)
        served = [picture for picture in ids if picture not in left_out]
        assert left_out <= finished
        assert set(batches(served)) <= set(batches(ids))
        assert bool(served) == (finished != set(ids))
        assert not served or len(batches(served)) >= min(devices, len(batches(ids)))
        unfinished = [batch for batch in batches(ids) if not set(batch) <= finished]
        assert len(batches(served)) == max(
            len(unfinished), min(devices, len(batches(ids))) if unfinished else 0
        )


def test_weights_digest_follows_the_weights_alone():
    one, two = nn.Linear(3, 2), nn.Linear(3, 2)
    assert weights_digest(one) != weights_digest(two)
    two.load_state_dict(one.state_dict())
    assert weights_digest(one) == weights_digest(two)
