"""How a network of one's own is written: as a text, a mapping, and from Python."""

import my_networks
import pytest
import torch
import yaml

from lightning_inpaint.errors import UserError
from lightning_inpaint.generators import load_generator
from lightning_inpaint.generators.spec import GeneratorSpec, looks_importable


@pytest.mark.parametrize(
    ("text", "args", "kwargs", "weights"),
    [
        ("a.b:C", (), {}, None),
        ("a.b.C", (), {}, None),
        ("a.b:C()", (), {}, None),
        ("a:C(1, -2.5, nz=3)", (1, -2.5), {"nz": 3}, None),
        ("a:C(x='(@#', y=\"it's\")@w.pt", (), {"x": "(@#", "y": "it's"}, "w.pt"),
        ("a:C(r=[1, (2, {'k': None})])@d/w.tar#k.l", (), {"r": [1, (2, {"k": None})]}, "d/w.tar#k.l"),
        ("a:C@w@2.pt", (), {}, "w@2.pt"),
        ("a:C(\n  nz=3,\n)\n", (), {"nz": 3}, None),
    ],
)  # fmt: skip
def test_texts(text, args, kwargs, weights):
    spec = GeneratorSpec.of(text)
    assert looks_importable(text)
    assert (spec.args, spec.kwargs, spec.weights) == (args, kwargs, weights)
    assert GeneratorSpec.of(spec.text) == spec


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a:C(nz=3", "bracket behind a:C is not closed"),
        ("a:C(nz=)", r"arguments cannot be read; write them as in a:C\(nz=100, act='relu'\)"),
        ("a:C(nz=2**9)", "argument nz is 2 .. 9, which is not evaluated"),
        ("a:C(act=relu)", "argument act is relu, which is not evaluated"),
        ("a:C(__import__('os').system('touch mark'))", "argument 1 is .*not evaluated"),
        ("a:C(**{'nz': 1})", r"write each argument out instead of \*\*"),
        ("a:C(nz=3)w.pt", "weights follow an @"),
        ("a:C@", "weights follow an @"),
        ("a:C(" + "(" * 500 + ")" * 500 + ")", "arguments cannot be read"),
    ],
)
def test_texts_that_are_wrong(text, sentence):
    with pytest.raises(UserError, match=sentence):
        GeneratorSpec.of(text)


@pytest.mark.parametrize(
    "form",
    [
        "my_networks:DCGAN(7, width=2)",
        {"class_path": "my_networks.DCGAN", "init_args": {"nz": 7, "width": 2}},
        {"class_path": "my_networks:DCGAN(7)", "init_args": {"width": 2}},
        {"class_path": my_networks.DCGAN, "init_args": {"nz": 7, "width": 2}},
        (my_networks.DCGAN, {"nz": 7, "width": 2}),
        ("my_networks:DCGAN", {"nz": 7, "width": 2}),
    ],
)
def test_all_forms_make_the_same(form):
    expected = load_generator(my_networks.DCGAN, nz=7, width=2)
    made = load_generator(form)
    z = torch.randn(2, 7)
    assert torch.equal(made(z), expected(z))


def test_a_text_that_yaml_took_for_a_mapping_is_a_text():
    text = "my_networks:Needy(nz=3, ngf={'a': 1})@w.pt"
    assert GeneratorSpec.of(yaml.safe_load(text)) == GeneratorSpec.of(text)


def test_a_network_that_stands_in_a_file():
    g = load_generator("my_networks:STANDING")
    assert g.module is not my_networks.STANDING
    assert torch.equal(g.module[0].weight, my_networks.STANDING[0].weight)
    assert (g.z_dim, g.img_channels, g.resolution) == (5, 1, 10)
    with pytest.raises(UserError, match="is a network and not a class"):
        load_generator("my_networks:STANDING(3)")


def test_methods_of_a_class_make_networks():
    assert load_generator("my_networks:Needy.of_name('small')").z_dim == 4


def test_a_module_is_taken_as_it_is():
    module = my_networks.DCGAN()
    assert load_generator(module).module is module


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ("my_networks:Needy", r"arguments nz and ngf: write 'my_networks:Needy\(nz=\.\.\., ngf=\.\.\.\)'"),
        ("my_networks:Needy(3)", r"needs the argument ngf: write 'my_networks:Needy\(3, ngf=\.\.\.\)'"),
        ("my_networks:Needy(nz=3, ngf=4, size=8)", "has no argument 'size'; it takes nz, ngf, act"),
        ("my_networks:Needy(1, 2, 3, 4)", "its arguments do not fit .too many positional"),
        ("my_networks:Lazy", "layers whose size is open until a first call"),
        ("my_networks:DCGAN@my_networks.py", "expected what torch.save or safetensors writes, but"),
        ("my_networks:Nedy", "has no class or function 'Nedy'; it has .*Needy"),
        ({"class_path": "my_networks.Needy"}, "needs the arguments nz and ngf"),
        ({"init_args": {}}, "names no class_path"),
        ({"class_path": "my_networks.Needy", "args": {}}, "has 'args'; its keys are"),
        ({"class_path": "my_networks.Needy", "init_args": [1]}, "init_args must be a mapping"),
        ((my_networks.Needy, 3), "a pair must be"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit(form, sentence):
    with pytest.raises(UserError, match=sentence):
        load_generator(form)


def test_nothing_is_evaluated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="not evaluated"):
        load_generator("my_networks:Needy(nz=open('mark', 'w'), ngf=4)")
    assert not (tmp_path / "mark").exists()


@pytest.mark.filterwarnings("default:.*weights are random")
@pytest.mark.parametrize(
    ("name", "warned"), [("DCGAN", True), ("Seeded", False), ("kept_network", False)]
)
def test_random_weights_are_said_to_be_random(name, warned, recwarn):
    torch.manual_seed(1)
    first = load_generator(f"my_networks:{name}")
    said = [str(w.message) for w in recwarn if "weights are random" in str(w.message)]
    assert bool(said) == warned
    before = torch.get_rng_state()
    z = torch.randn(2, 10)
    assert torch.equal(load_generator(f"my_networks:{name}")(z), first(z))  # the same each time
    torch.set_rng_state(before)
    assert torch.equal(z, torch.randn(2, 10))
