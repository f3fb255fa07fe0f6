"""A mistake at the command line is one sentence with what was perhaps meant."""

import pytest
import torch

import cli

MISTAKES = [
    (
        "--data.images x",
        "--data.images is no option of GeneratedMasks: it needs --data FolderMasks.",
    ),
    ("--images x", "with --data FolderMasks there is --data.images."),
    ("--model.chians 3", "--model.chians is no option: did you mean --model.chains?"),
    ("--chains 3", "did you mean --model.chains?"),
    ("--trainer.accelrator cpu", "did you mean --trainer.accelerator?"),
    ("--model.samplr.steps 3", "did you mean --model.sampler.steps?"),
    ("--model.sampler hmc --model.sampler.stps 3", "of HMC: did you mean --model.sampler.steps?"),
    ("--model.sampler.warm_up 3", "MAP has no option 'warm_up': it belongs to annealed_hmc."),
    ("--data FolderMasks --data.imags x", "of FolderMasks: did you mean --data.images?"),
    ("--trainer.logger CSVLogger --trainer.logger.savedir x", "--trainer.logger.save_dir?"),
    ("--trainer.logger.save_dir x", "needs a class before it: --trainer.logger CLASS."),
    ("--model.chains 2.5", "--model.chains is 2.5, and must be a whole number."),
    (
        "--model.sampler.steps 2.5",
        "--model.sampler.steps is 2.5, and must be a whole number or null.",
    ),
    ("--data.num many", "--data.num is many, and must be a whole number."),
    ("--data.limit a", "--data.limit is a, and must be a whole number or null."),
    ("--data.batch_size a", "--data.batch_size is a, and must be auto or a whole number."),
    ("--model.slack wide", "--model.slack is wide, and must be a number, a list or null."),
    ("--model.weights Gema", "must be G_ema or G; did you mean G_ema?"),
    ("--overwrite maybe", "--overwrite is maybe, and must be true or false."),
    ("--model.chains", "--model.chains needs a value: a whole number."),
    ("--model.sampler", "--model.sampler needs a value: diffusion,"),
    ("--model.sampler hcm", "--model.sampler hcm: there is no such class; did you mean hmc?"),
    ("--model.sampler nowhere.Sampler", "cannot be imported (No module named 'nowhere')."),
    ("--model.sampler torch.optim.SGD", "torch.optim.SGD: this is no ChainOptimizer."),
    ("--data FolderMask", "--data FolderMask: there is no such class; did you mean FolderMasks?"),
    ("--data FolderMasks", "--data FolderMasks needs --data.images."),
    ("--config fats", "did you mean fast?"),
    ("--config {model:", "--config: while parsing"),
    ("picture.png", "pictures are given by --data FolderMasks --data.images"),
    ("--trainer.precision 17", "--trainer.precision is 17, and must be 64, 32,"),
    ("--trainer.devices none", "--trainer.devices none:"),
    ("--trainer.max_epochs x", "--trainer.max_epochs is x, and must be a whole number or null."),
]
REFUSED = [  # by the class itself, when it is made
    ("--data.num 0", "--data.num is 0, and must be at least 1."),
    ("--data.num_workers -1", "--data.num_workers is -1, and must be at least 0."),
    ("--data FolderMasks --data.images x --data.batch_size 0", "--data.batch_size is 0"),
    ("--data FolderMasks --data.images nowhere", "no such file or folder (--data.images)."),
    ("--animate -1", "--animate is -1, and must not be negative."),
    ("--data CIFAR10Masks --data.split valid", "--data.split is valid, and must be test or train."),
]
SETTINGS = [
    ("model: {chians: 3}", "--model.chians is no option: did you mean --model.chains?"),
    ("modle: {chains: 3}", "--modle.chains is no option: did you mean --model.chains?"),
    ("model: {chains: 2.5}", "job.yaml: --model.chains is 2.5, and must be a whole number."),
    ("model: {sampler: {class_path: HMCC}}", "--model.sampler HMCC: there is no such class"),
    ("model: {sampler: {class_path: hmc, init_args: {stps: 1}}}", "mean --model.sampler.steps?"),
    ("data: {class_path: FolderMasks, init_args: {imges: a}}", "did you mean --data.images?"),
    ("data: {images: a}", "it needs --data FolderMasks."),
    ("model: [", "job.yaml: not YAML: while parsing"),
    ("model: 3", "--model must be a mapping"),
    ("a sentence", "job.yaml: holds no settings"),
    ("", "job.yaml: holds no settings"),
]


def sentence(capsys, *words):
    """What is said of the mistake; nothing else may be."""
    capsys.readouterr()
    assert cli.main(list(words)) == 2
    output = capsys.readouterr()
    assert not output.out
    assert len(output.err.splitlines()) == 1, output.err
    return output.err


@pytest.mark.parametrize(("words", "text"), MISTAKES)
def test_on_the_command_line(words, text, capsys):
    assert text in sentence(capsys, "predict", *words.split())


@pytest.mark.parametrize(("words", "text"), REFUSED)
def test_of_what_a_class_refuses(words, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert text in sentence(capsys, "predict", *words.split())


@pytest.mark.parametrize(("settings", "text"), SETTINGS)
def test_in_a_file_of_settings(settings, text, tmp_path, capsys):
    (tmp_path / "job.yaml").write_text(settings)
    assert text in sentence(capsys, "predict", "--config", str(tmp_path / "job.yaml"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_an_accelerator_that_is_not_there(capsys):
    words = ["--trainer.accelerator", "gpu"]
    assert "error: --trainer.accelerator gpu: " in sentence(capsys, "predict", *words)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("fit --model.resolutoin 8", "did you mean --model.resolution?"),
        ("fit --data.batch_size 2.5", "--data.batch_size is 2.5, and must be a whole number."),
        ("fit pictures.zip", "pictures are given by --data.path"),
        ("convert", "convert needs source and target."),
        ("convert a.pkl", "convert needs target."),
        (
            "convert a.pkl b.safetensors --dtype float8",
            "--dtype is float8, and must be float32 or float16",
        ),
        ("evaluate --sampels 3", "--sampels is no option: did you mean --samples?"),
        ("evaluate --samples few", "--samples is few, and must be a whole number."),
        ("sample --columns", "--columns needs a value: a whole number."),
        ("sample --columns 0", "--columns is 0, and must be at least 1."),
        (
            "sample --columns 1 --output .",
            "--output . is a folder, and must be the name of a picture.",
        ),
        (
            "sample --model.generator cifar10",
            "--model.generator is no option: write the generator without a flag, ",
        ),
        ("fit --model.lr 0", "--model.lr is no option: see --help."),
        ("fit --data.path nowhere", "nowhere: no such file or folder (--data.path)."),
        ("evaluate --path nowhere", "nowhere: no such file or folder (--path)."),
        ("app --port 99999", "--port is 99999, and must be 0 to 65535."),
        ("generators all", "'all' belongs to no option."),
        ("app --port x", "--port is x, and must be a whole number."),
        ("prdict", "'prdict' is no command: did you mean predict?"),
        ("photo.png", "'photo.png' is no command: take one of predict,"),
    ],
)
def test_of_the_other_commands(words, text, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert text in sentence(capsys, *words.split())


def test_a_sentence_about_a_generator_names_the_options_of_the_command(
    capsys, tmp_path, monkeypatch
):
    (tmp_path / "bright.py").write_text(
        "from torch import nn\n"
        "class Bright(nn.Sequential):\n"
        "    z_dim = 3\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Linear(3, 48), nn.Unflatten(1, (3, 4, 4)))\n"
        "        nn.init.constant_(self[0].bias, 300.0)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = sentence(capsys, "sample", "bright:Bright")
    assert "generator bright:Bright: its samples lie between 2" in text
    assert "--model" not in text
    assert "set --value_range to" in text


def test_an_option_that_stands_alone_is_true(capsys):
    words = ["--overwrite", "--data.invert_mask", "--model.compile", "--print_config"]
    assert cli.main(["predict", *words]) == 0
    printed = capsys.readouterr().out
    for name in ("overwrite", "invert_mask", "compile"):
        assert f"{name}: true" in printed


def test_no_sampler_is_chosen_for_the_model(capsys):
    """It knows better: another one where z is all there is."""
    assert cli.main(["predict", "--print_config"]) == 0
    assert "sampler: null" in capsys.readouterr().out
    assert cli.main(["predict", "--model.sampler.warm_up", "70", "--print_config"]) == 0
    printed = capsys.readouterr().out
    assert "class_path: lightning_inpaint.optim.ByLatents" in printed
    assert "warm_up: 70" in printed
    assert "leapfrog" not in printed


@pytest.mark.parametrize("words", [["--model.sampler", "hmc"], ["--model.sampler=HMC"]])
def test_a_chosen_sampler_has_its_own_defaults(words, capsys):
    assert cli.main(["predict", *words, "--print_config"]) == 0
    printed = capsys.readouterr().out
    assert "class_path: lightning_inpaint.optim.HMC" in printed
    assert "noise_std: 0.05" in printed
    assert "anchor" not in printed


def test_a_sampler_by_its_short_name_in_a_file(tmp_path, capsys):
    job = tmp_path / "job.yaml"
    job.write_text("model:\n  sampler: {class_path: hmc, init_args: {steps: 7}}\n")
    assert cli.main(["predict", "--config", str(job), "--print_config"]) == 0
    printed = capsys.readouterr().out
    assert "class_path: lightning_inpaint.optim.HMC" in printed
    assert "steps: 7" in printed
