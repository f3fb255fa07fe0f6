"""Folders and zips that hold what no one expects: a batch, or a line for each that is left out."""

import os
import warnings
import zipfile

import awkward_files as awkward
import pytest
from folders import loaded

from lightning_inpaint.datamodules import FolderMasks


@pytest.fixture(scope="module")
def awkward_folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("awkward")
    awkward.build(root)
    return root


def all_batches(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data.setup("predict")
        return [data.on_before_batch_transfer(b, 0) for b in data.predict_dataloader()]


def test_awkward_folder_gives_a_picture_or_a_line_for_each(awkward_folder):
    data = FolderMasks(str(awkward_folder), batch_size=7)
    batches = all_batches(data)
    ids = [name for batch in batches for name in batch["id"]]
    # besides the table: a link to a picture and a name that is not UTF-8
    assert len(ids) == len(awkward.GOOD) + 2
    # besides the table: an empty folder called x.png, a broken link and a pipe
    assert len(data.skipped) == len(awkward.BAD) + 3
    assert sum(len(batch["image"]) for batch in batches) == len(ids)
    for _, reason in data.skipped:
        assert reason.isprintable()
        assert str(awkward_folder) in reason
    sources = [source for batch in batches for source in batch["source"] if source is not None]
    assert all(source.path.isprintable() for source in sources)


def test_awkward_ids_make_distinct_harmless_file_names(awkward_folder):
    data = loaded(awkward_folder)
    assert len({name.casefold() for name in data.ids}) == len(data.ids)
    for name in data.ids:
        name.encode()  # no lone surrogates
        assert name.isprintable()
        parts = name.split("/")
        assert all(part not in ("", ".", "..") for part in parts)
    assert {"sub/deep/er", "sub_deep/er", "folder_png/inside"} <= set(data.ids)
    assert {"same_png~2", "same_bmp", "SAME_png", "Grüße 猫 🐈"} <= set(data.ids)


def test_awkward_zip(awkward_folder, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, (content, *_) in {**awkward.GOOD, **awkward.BAD}.items():
            archive.writestr(name, content)
        archive.writestr("../../evil.png", awkward.PNG)
        archive.writestr("/absolute.png", awkward.PNG)
        archive.writestr("windows\\style.png", awkward.PNG)
        archive.writestr("__MACOSX/._rgb.png", b"resource fork")
    data = FolderMasks(str(path))
    ids = [name for batch in all_batches(data) for name in batch["id"]]
    assert len(ids) == len(awkward.GOOD) + 1
    assert "windows/style" in ids
    assert len(data.skipped) == len(awkward.BAD) + 2
    assert {"evil.png", "absolute.png"} <= {name for name, _ in data.skipped}


def test_an_encrypted_zip_member_is_left_out(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", awkward.PNG)
    data = bytearray(path.read_bytes())
    data[6] |= 1  # flag bit 0: encrypted, in both headers
    data[data.find(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    module = FolderMasks(str(path))
    (batch,) = all_batches(module)
    assert batch["id"] == []
    assert "encrypted" in module.skipped[0][1]


def test_an_unreadable_sub_folder_is_listed(folder, monkeypatch):
    real = os.scandir

    def scandir(path):
        if str(path).endswith("cat"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.warns(UserWarning, match="left out"):
        data = loaded(folder)
    assert data.ids == ["Ship/deep/2", "a"]
    assert "cannot be read: Permission denied" in data.skipped[0][1]


def test_input_that_vanishes_is_listed(folder):
    data = loaded(folder)
    (folder / "a.png").unlink()
    (batch,) = data.predict_dataloader()
    assert batch["id"] == ["Ship/deep/2", "cat/1"]
    assert "no such file" in batch["skipped"][0][1]
