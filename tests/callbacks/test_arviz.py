"""``--writer.arviz true``: what ArviZ reads is what the chains drew."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lightning_inpaint import LatentInpainter
from lightning_inpaint.callbacks.arviz import inference_data, write_arviz
from lightning_inpaint.errors import ArgumentError, UserError

xarray = pytest.importorskip("xarray")


def completed(generator, **options):
    module = LatentInpainter(generator, latents="z", truncation=1.0, slack=None, **options)
    image = torch.randint(0, 256, (2, 3, 8, 8), generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 1, 8, 8)
    mask[..., 4:] = 1
    batch = {"image": image.to(torch.uint8), "mask": mask, "id": ["a/b", "c"], "label": [0, 1]}
    return module.predict_step(batch)


def test_groups_and_names_are_those_of_the_schema(tiny_generator, tmp_path) -> None:
    from lightning_inpaint.optim import HMC

    result = completed(tiny_generator, chains=3, sampler=lambda u: HMC(u, steps=20, leapfrog=2))
    path = write_arviz(result, 1, tmp_path / "c.nc")
    read = xarray.open_datatree(path, engine="h5netcdf")
    assert set(read.children) == {"posterior", "sample_stats", "observed_data"}
    assert read.attrs["picture"] == "c"
    hole, lp = read["posterior/hole"], read["sample_stats/lp"]
    assert hole.dims == ("chain", "draw", "row", "column", "channel")
    assert hole.shape == (3, 10, 4, 4, 3)
    assert lp.dims == ("chain", "draw")
    assert read["posterior"].coords["chain"].values.tolist() == [0, 1, 2]
    # the last draw is the completion: chains by number here, by energy there
    order = result.chain[1].argsort()
    last = -result.energy[1][order] / (2 * result.noise_std**2)
    np.testing.assert_allclose(lp.values[:, -1], last.numpy(), rtol=1e-5)
    raw = result.raw[1][order].float() / 127.5 - 1
    cell = raw[:, :, 0:2, 6:8]
    free = (cell.abs() < 1).all(dim=3).all(dim=2).numpy()  # nothing was clipped
    assert free.sum() > 4
    drawn = hole.values[:, -1, 0, 3]
    np.testing.assert_allclose(drawn[free], cell.mean(dim=(2, 3)).numpy()[free], atol=0.01)
    for name in ("acceptance_rate", "step_size", "diverging"):
        assert read[f"sample_stats/{name}"].dims == ("chain",)
    assert read["observed_data/image"].shape == (8, 8, 3)
    assert read["observed_data/mask"].values[:, 4:].min() == 1


def test_rhat_of_the_file_is_the_one_in_the_record(tiny_generator) -> None:
    stats = pytest.importorskip("arviz_stats.base").array_stats
    from lightning_inpaint.optim import HMC

    result = completed(tiny_generator, chains=3, sampler=lambda u: HMC(u, steps=40, leapfrog=2))
    tree = inference_data(result, 0)
    hole = tree["posterior/hole"].values[:, :, :, 2:].reshape(3, 20, -1)
    cells = [float(stats.rhat(hole[:, :, i])) for i in range(hole.shape[2])]
    energy = float(stats.rhat(tree["sample_stats/lp"].values))
    recorded = float(result.diagnostics["rhat"][0, 0])
    assert recorded == pytest.approx(max(energy, float(np.median(cells))), rel=0.02)


def test_a_sampler_without_draws_is_refused(tiny_generator) -> None:
    from lightning_inpaint.optim import MAP

    result = completed(tiny_generator, chains=2, sampler=lambda u: MAP(u, steps=3))
    with pytest.raises(UserError, match="needs a sampler that makes 8 draws"):
        inference_data(result, 0)


def test_the_writer_puts_a_file_beside_each_picture(tiny_generator, tmp_path) -> None:
    from lightning_inpaint import complete
    from lightning_inpaint.callbacks import CompletionWriter

    image, mask = np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.uint8) * 255

    def run(n: int, folder: str) -> None:
        writer = CompletionWriter(str(tmp_path / folder), arviz=True)
        options = {"steps": 20, "leapfrog": 2}
        made = {"generator": tiny_generator, "sampler": "hmc", "sampler_options": options}
        complete(image, mask, n, label="ant", id="cat/a", callbacks=[writer], device="cpu", **made)

    run(2, "two")
    read = xarray.open_datatree(tmp_path / "two/arviz/cat/a.nc", engine="h5netcdf")
    assert read["posterior/hole"].sizes["chain"] == 2
    with pytest.raises(ArgumentError, match="needs draws of two chains at least") as refused:
        run(1, "one")
    assert refused.value.flagged().startswith("--writer.arviz of CompletionWriter needs draws")
