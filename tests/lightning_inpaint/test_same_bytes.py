"""A picture's result is the same to the last bit, whoever its neighbours are."""

from functools import partial

import pytest
import torch
from torch import nn

from lightning_inpaint import LatentInpainter
from lightning_inpaint.inference.speed import has_bfloat16
from lightning_inpaint.noise import ChainStreams
from lightning_inpaint.optim import MAP, AnnealedHMC, Langevin, Particles, PluginDiffusion, Search
from lightning_inpaint.steady import SteadyLinear, elementwise, product

PICTURES = 13


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def bundled():
    return LatentInpainter().generator


class Foreign(nn.Module):
    """A network as people make them: a linear layer, transposed convolutions, a tanh."""

    z_dim, num_classes, resolution, img_channels = 20, 0, 12, 3

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(20, 24 * 9)
        self.layers = nn.Sequential(
            *(nn.ConvTranspose2d(24, 16, 4, 2, 1), nn.BatchNorm2d(16), nn.ReLU()),
            *(nn.ConvTranspose2d(16, 3, 4, 2, 1), nn.Tanh()),
        )

    def forward(self, z):
        return self.layers(self.first(z).view(-1, 24, 3, 3))


class Layers(nn.Sequential):
    """Nothing but linear layers, wide enough for a processor to take other ways for other batches."""

    z_dim, num_classes, resolution, img_channels = 20, 0, 16, 3

    def __init__(self):
        torch.manual_seed(0)
        hidden = nn.Linear(20, 256), nn.ReLU(), nn.Linear(256, 512), nn.ReLU()
        super().__init__(*hidden, nn.Linear(512, 768), nn.Tanh(), nn.Unflatten(1, (3, 16, 16)))


NETWORKS = {"foreign": Foreign, "layers": Layers}


def batch_of(rows, side, labels=True):
    random = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (PICTURES, 3, side, side), generator=random, dtype=torch.uint8)
    mask = (torch.rand(PICTURES, 1, side, side, generator=random) > 0.5).float()
    label = torch.arange(PICTURES) % 10 if labels else torch.full((PICTURES,), -1)
    rows = list(rows)
    names = [f"p{i}" for i in rows]
    return {"image": image[rows], "mask": mask[rows], "label": label[rows], "id": names}


def ends(module, parts, labels=True):
    """Latents, energies and pictures by name, of batches of these rows."""
    side, found = module.generator.resolution, {}
    for rows in parts:
        done = module.predict_step(batch_of(rows, side, labels))
        for i, name in enumerate(done.id):
            found[name] = (done.latents[i], done.energy[i], done.trace[:, i], done.composite[i])
    assert len(found) == PICTURES
    return found


def equal(one, other):
    for name, values in one.items():
        for mine, theirs in zip(values, other[name], strict=True):
            assert torch.equal(mine, theirs), name


WHOLE = [range(PICTURES)]
PARTS = {
    "one by one": [[i] for i in range(PICTURES)],
    "backwards": [range(PICTURES - 1, -1, -1)],
    "by threes": [range(i, min(i + 3, PICTURES)) for i in range(0, PICTURES, 3)],
    "five and eight": [[7, 1, 12, 3, 0], [2, 4, 5, 6, 8, 9, 10, 11]],
}
SAMPLERS = {
    "annealed_hmc": partial(AnnealedHMC, steps=6, warm_up=4, leapfrog=2),
    "map": partial(MAP, steps=12, anchor="start"),
    "stopping": partial(MAP, steps=12, stop_psnr=12.0),
    "langevin": partial(Langevin, steps=12, measures=2),
    "plugin": partial(PluginDiffusion, steps=12, num_samples=2, xstart_temp=1.0),
    "particles": partial(Particles, steps=4),
    "search": partial(
        Search, steps=31, screen=4, descent=4, newton=3, trajectories=9, rounds=3, leapfrog=2
    ),
}


@pytest.mark.parametrize("network", ["bundled", *NETWORKS])
def test_batches_of_any_size_and_order_end_alike(network, bundled) -> None:
    generator = bundled if network == "bundled" else NETWORKS[network]()
    module = LatentInpainter(generator, sampler=SAMPLERS["annealed_hmc"])
    whole = ends(module, WHOLE)
    for parts in PARTS.values():
        equal(whole, ends(module, parts))


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("chains", [1, 3])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_kind_of_sampler_ends_alike(network, name, chains) -> None:
    module = LatentInpainter(NETWORKS[network](), sampler=SAMPLERS[name], chains=chains)
    equal(ends(module, WHOLE), ends(module, PARTS["five and eight"]))


@pytest.mark.skipif(not has_bfloat16(torch.device("cpu")), reason="no bfloat16 instructions here")
def test_rounded_convolutions_end_alike(bundled) -> None:
    module = LatentInpainter(bundled, sampler=partial(MAP, steps=6), precision="bfloat16")
    whole = ends(module, WHOLE)
    for parts in PARTS.values():
        equal(whole, ends(module, parts))
    torch.set_num_threads(2)
    equal(whole, ends(module, PARTS["five and eight"]))


def test_classes_that_are_not_given_and_chosen_starts_end_alike(bundled) -> None:
    module = LatentInpainter(bundled, sampler=partial(MAP, steps=3), warm_start=11)
    whole = ends(module, WHOLE, labels=False)
    equal(whole, ends(module, PARTS["five and eight"], labels=False))
    equal(whole, ends(module, PARTS["one by one"], labels=False))


def test_freed_places_end_alike(bundled) -> None:
    whole = ends(LatentInpainter(bundled, sampler=SAMPLERS["stopping"]), WHOLE)
    for slots in (1, 3, 8):
        few = LatentInpainter(bundled, sampler=SAMPLERS["stopping"], slots=slots, report_every=2)
        equal(whole, ends(few, WHOLE))


@pytest.mark.parametrize("network", ["bundled", *NETWORKS])
def test_one_thread_and_two_end_alike(network, bundled) -> None:
    generator = bundled if network == "bundled" else NETWORKS[network]()
    module = LatentInpainter(
        generator, sampler=partial(AnnealedHMC, steps=2, warm_up=1, leapfrog=1)
    )
    one = ends(module, WHOLE)
    torch.set_num_threads(2)
    equal(one, ends(module, PARTS["five and eight"]))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("count", [1, 7, 50, 20001])
def test_random_numbers_do_not_depend_on_the_rows_around(count, threads) -> None:
    torch.set_num_threads(threads)
    names = [f"p{i}" for i in range(PICTURES)]
    whole = ChainStreams(3, names, [0] * PICTURES).normal(5, count)
    for i in range(PICTURES):
        alone = ChainStreams(3, names[i : i + 1], [0]).normal(5, count)
        assert torch.equal(whole[i : i + 1], alone)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 31])
def test_products_and_functions_by_row(n) -> None:
    torch.manual_seed(0)
    x, matrix, bias = torch.randn(40, 96), torch.randn(96, 33), torch.randn(33)
    whole = product(x, matrix, bias, beta=2.0, alpha=0.5)
    assert torch.equal(product(x[:n], matrix, bias, beta=2.0, alpha=0.5), whole[:n])
    torch.testing.assert_close(whole, 0.5 * x @ matrix + 2 * bias, rtol=1e-4, atol=1e-4)
    assert torch.equal(elementwise(torch.sin, x[:n]), elementwise(torch.sin, x)[:n])
    assert elementwise(torch.exp, x[:n, :5].T).shape == (5, n)


@pytest.mark.parametrize(("inner", "outer"), [(512, 512), (3072, 192)])
def test_wide_products_by_row_on_one_thread_and_two(inner, outer) -> None:
    torch.manual_seed(0)
    x, matrix = torch.randn(40, inner), torch.randn(outer, inner).T
    whole = product(x, matrix)
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for n in (1, 8, 9, 16, 40):
            assert torch.equal(product(x[:n], matrix), whole[:n])


@pytest.mark.parametrize("shape", [(20,), (3, 20), (2, 5, 20), (0, 20)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_layers_take_whatever_form_they_take_elsewhere(shape, bias) -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(20, 7, bias=bias), torch.randn(shape)
    with SteadyLinear():
        found = layer(x)
    torch.testing.assert_close(found, layer(x))
