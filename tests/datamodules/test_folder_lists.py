"""Lists of pictures in; batches out. Masks: white = fill."""

import json

import numpy as np
import pytest
from folders import loaded, mask, samples

from lightning_inpaint.errors import UserError


def test_csv(folder, masks, tmp_path):
    (tmp_path / "list.csv").write_text(
        "image,mask,label\n"
        "in/cat/1.png,masks/a.png,dog\n"
        "in/a.png,,\n"
        f"{folder / 'a.png'},center:0.25,9\n"
        "\n"
        "in/gone.png,,\n"
        "in/a.png,gone_mask.png,\n",
        encoding="utf-8",
    )
    data = loaded(tmp_path / "list.csv", masks="left_half", label="frog")
    (batch,) = data.predict_dataloader()
    assert batch["id"] == ["in/cat/1", "in/a_png", "in/a_png~2"]
    assert batch["label"].tolist() == [5, 6, 9]
    np.testing.assert_array_equal(batch["mask"][0, 0], mask(8) / 255)
    np.testing.assert_array_equal(batch["mask"][1, 0], 1 - mask(16) / 255)
    assert batch["mask"][2].sum() == 64
    assert [name for name, _ in batch["skipped"]] == ["in/gone", "in/a_png~3"]
    assert all("no such file" in reason for _, reason in batch["skipped"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("l.csv", "in/a.png\nin/cat/1.png\n"),
        ("l.csv", "\ufeffimage\r\nin/a.png\r\nin/cat/1.png\r\n"),
        ("l.csv", 'label,image\n,"in/a.png"\n,in/cat/1.png\n'),
        ("l.tsv", "image\tmask\nin/a.png\t\nin/cat/1.png\tright_half\n"),
        ("l.txt", "in/a.png\n\nin/cat/1.png"),
        ("l.jsonl", '{"image": "in/a.png"}\n{"image": "in/cat/1.png", "label": null}\n'),
    ],
)
def test_forms_of_lists(folder, tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert list(samples(tmp_path / name)) == ["in/a", "in/cat/1"]


def test_a_list_gives_what_its_folder_gives(folder):
    """So that a folder can be cut into lists, for array jobs."""
    plain = samples(folder, "strokes")
    (folder / "list.txt").write_text("a.png\ncat/1.png\nShip/deep/2.png\n")
    listed = samples(folder / "list.txt", "strokes")
    assert {name: item.label for name, item in listed.items()} == {
        name: item.label for name, item in plain.items()
    }
    for name, item in listed.items():
        np.testing.assert_array_equal(item.mask, plain[name].mask)
    (folder / "list.csv").write_text("image,label\ncat/1.png,-1\n")
    assert samples(folder / "list.csv")["cat/1"].label == -1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("l.csv", "image,label\na.png,sheep\n", r"l\.csv:2: unknown class 'sheep'"),
        ("l.csv", "image,label\na.png,10\n", r"l\.csv:2: class 10"),
        ("l.csv", "image,label\n,cat\n", r"l\.csv:2: there is no image"),
        ("l.csv", "image,label\n", r"l\.csv: the list is empty"),
        ("l.jsonl", '{"image": "a.png"}\n{"image": \n', r"l\.jsonl:2: not a line of JSON"),
        ("l.jsonl", "[1, 2]\n", r"l\.jsonl:1: expected an object"),
        ("l.jsonl", '{"mask": "a.png"}\n', r"l\.jsonl:1: there is no image"),
    ],
)
def test_wrong_lists_name_the_line(tmp_path, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        loaded(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_names_that_no_file_can_have(folder, tmp_path):
    (tmp_path / "l.jsonl").write_text(
        '{"image": "in/a.png"}\n{"image": "a\\u0000.png"}\n{"image": "\\ud800.png"}\n'
    )
    (batch,) = loaded(tmp_path / "l.jsonl").predict_dataloader()
    assert batch["id"] == ["in/a"]
    assert [name for name, _ in batch["skipped"]] == ["a%00", "%ED%A0%80"]
    assert all(reason.isprintable() for _, reason in batch["skipped"])


def test_a_list_that_is_not_text(tmp_path):
    (tmp_path / "l.csv").write_bytes(b"\xff\xfe\x00image")
    with pytest.raises(UserError, match="not UTF-8"):
        loaded(tmp_path / "l.csv")


def test_json_list_with_classes_of_another_generator(folder, tmp_path):
    path = tmp_path / "l.jsonl"
    path.write_text(json.dumps({"image": "in/a.png", "label": "tabby"}))
    assert samples(path, class_names=["hound", "Tabby"])["in/a"].label == 1
    assert samples(folder, class_names=["hound", "cat"])["cat/1"].label == 1
