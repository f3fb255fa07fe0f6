"""`complete`: what the command line does, from Python, in memory."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

import cli
from lightning_inpaint import UserError, complete
from lightning_inpaint.generators import save_generator
from lightning_inpaint.optim import MAP

RANDOM = np.random.default_rng(0)
PHOTO = RANDOM.integers(0, 256, (20, 30, 3), dtype=np.uint8)
HOLE = np.zeros((20, 30), bool)
HOLE[5:12, 8:20] = True
FEW = {"sampler": "map", "sampler_options": {"steps": 3}}


def test_several_completions_of_a_large_picture(tiny_generator):
    result = complete(PHOTO, HOLE, n=4, generator=tiny_generator, **FEW)
    assert result.chains == 4
    assert len(result) == 1
    assert [image.size for image in result.images[0]] == [(30, 20)] * 4
    for k in range(4):
        np.testing.assert_array_equal(result.array(0, k)[~HOLE], PHOTO[~HOLE])
    assert not np.array_equal(result.array(0, 0)[HOLE], result.array(0, 1)[HOLE])


def test_paths_arrays_pictures_and_tensors_give_the_same(tiny_generator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("photo.png")
    Image.fromarray(HOLE).save("hole.png")
    tensor = torch.from_numpy(PHOTO).permute(2, 0, 1) / 255
    forms = [("photo.png", "hole.png"), (Image.fromarray(PHOTO), HOLE), (PHOTO / 255, HOLE * 255)]
    forms.append((tensor, torch.from_numpy(HOLE)))
    results = [complete(*form, id="p", generator=tiny_generator, **FEW).array(0) for form in forms]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])


def test_it_is_what_the_command_line_writes(tiny_generator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(PHOTO).save("photo.png")
    Image.fromarray(HOLE).save("hole.png")
    save_generator(tiny_generator, tmp_path / "g.safetensors", "float32")
    options = "--data FolderMasks --data.images photo.png --data.masks hole.png --data.label bee"
    options += " --model.generator g.safetensors --model.chains 2 --model.seed 5"
    options += " --model.sampler map --model.sampler.steps 3 --trainer.enable_progress_bar false"
    assert cli.main(["predict", *options.split(), "--trainer.accelerator", "cpu"]) == 0
    result = complete(
        "photo.png",
        "hole.png",
        chains=2,
        label="bee",
        seed=5,
        generator="g.safetensors",
        device="cpu",
        **FEW,
    )
    for k in range(2):
        written = np.asarray(Image.open(f"outputs/composites/photo_c{k + 1:02d}.png"))
        np.testing.assert_array_equal(result.array(0, k), written)


def test_a_batch_of_sizes_and_kinds(tiny_generator):
    grey = RANDOM.integers(0, 256, (9, 11), dtype=np.uint8)
    small = RANDOM.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    result = complete(
        [PHOTO, grey, small], "right_half", label=["ant", None, 2], generator=tiny_generator, **FEW
    )
    assert result.id == ["0", "1", "2"]
    assert result.label.tolist() == [0, -1, 2]
    assert [image[0].size for image in result.images] == [(30, 20), (11, 9), (8, 8)]
    assert result.images[1][0].mode == "L"
    assert result["1"].id == ["1"]
    assert [part.id[0] for part in result] == result.id
    assert torch.equal(result[[2, 0]].energy, result.energy[[2, 0]])


def test_several_masks_for_one_picture(tiny_generator):
    result = complete(PHOTO, ["left_half", HOLE], generator=tiny_generator, **FEW)
    assert len(result) == 2


def test_presets_and_options_that_overrule_them(tiny_generator):
    result = complete(
        PHOTO, HOLE, config="map", sampler_options={"steps": 4}, generator=tiny_generator
    )
    assert result.steps == 4
    other = complete(
        PHOTO,
        HOLE,
        generator=tiny_generator,
        slack=0.2,
        truncation=0.5,
        sampler=lambda p: MAP(p, steps=4, noise_std=0.01, anchor="origin"),
    )
    assert torch.equal(result.raw, other.raw)


def test_saved_files_are_the_pictures(tiny_generator, tmp_path):
    result = complete(PHOTO, HOLE, n=2, id="a/b", generator=tiny_generator, **FEW)
    paths = result.save(tmp_path)
    assert [str(path.relative_to(tmp_path)) for path in paths] == ["a/b_c01.png", "a/b_c02.png"]
    np.testing.assert_array_equal(np.asarray(Image.open(paths[1])), result.array(0, 1))


def test_callbacks_see_the_walk(tiny_generator):
    import pytorch_lightning as pl

    class Watch(pl.Callback):
        steps = 0

        def on_sampler_step(self, trainer, pl_module, state):
            Watch.steps = state.step

    complete(PHOTO, HOLE, generator=tiny_generator, callbacks=[Watch()], report_every=1, **FEW)
    assert Watch.steps == 3


def test_a_sampler_of_ones_own_by_its_import_path(tiny_generator, tmp_path, monkeypatch):
    class Own(MAP):
        pass

    (module := ModuleType("own_samplers")).Own = Own
    monkeypatch.setitem(sys.modules, "own_samplers", module)
    config = "model: {sampler: {class_path: own_samplers.Own, init_args: {lr: 0.05}}}"
    (tmp_path / "own.yaml").write_text(config)
    given = {"generator": tiny_generator, "sampler_options": {"steps": 3}}
    by_name = complete(PHOTO, HOLE, sampler="own_samplers.Own", **given)
    by_file = complete(PHOTO, HOLE, config=tmp_path / "own.yaml", **given)
    assert by_name.steps == by_file.steps == 3
    assert not torch.equal(by_name.latents, by_file.latents)
    complete(PHOTO, HOLE, sampler="lightning_inpaint.optim.mode.MAP", **given)


def test_nothing_is_written(tiny_generator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    complete(PHOTO, HOLE, generator=tiny_generator, **FEW)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"trunc": 1}, "did you mean truncation"),
        ({"config": "fats"}, "the presets are default, exact, fast"),
        ({"sampler": "mpa", "sampler_options": None}, "the samplers are"),
        ({"sampler_options": {"stps": 1}}, "did you mean steps"),
        ({"device": "gpuu"}, "auto, cpu, cuda"),
        ({"label": "bat"}, "unknown class 'bat'"),
        ({"fit": "squeeze"}, "must be one of resize"),
        ({"batch_size": 0}, "at least 1"),
        ({"n": 2, "chains": 2}, "one of them"),
        ({"id": ["a", "b"]}, "2 ids for 1 pictures"),
        ({"image": "nothing.png"}, "no such file"),
        ({"image": PHOTO / 127.5 - 1}, r"\(image \+ 1\) / 2"),
        ({"image": []}, "empty list"),
        ({"mask": "rigth_half"}, "did you mean right_half"),
        ({"mask": np.zeros((4, 4))}, "picture's 30 x 20 or the generator's 8 x 8"),
        ({"mask": [HOLE, HOLE], "image": [PHOTO] * 3}, "2 masks for 3 pictures"),
    ],
)
def test_a_mistake_gets_one_sentence(tiny_generator, options, words):
    given = {"image": PHOTO, "mask": HOLE, "generator": tiny_generator, **FEW, **options}
    with pytest.raises(UserError, match=words) as caught:
        complete(**given)
    assert "\n" not in str(caught.value)
