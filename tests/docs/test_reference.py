"""The reference is built from the docstrings, and a warning is an error."""

from pathlib import Path

import pytest

mkdocs = pytest.importorskip("mkdocs", reason="mkdocs is not installed: pip install -e .[docs]")
pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed: pip install -e .[docs]")

ROOT = Path(__file__).parents[2]


@pytest.mark.filterwarnings("ignore")
def test_it_is_built_without_a_warning(tmp_path):
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True)
    config.plugins.on_startup(command="build", dirty=False)
    build(config)
    reference = (tmp_path / "reference/index.html").read_text()
    for name in ("complete", "Completions", "LatentInpainter", "SamplerState"):
        assert f'id="lightning_inpaint.{name}"' in reference
    samplers = (tmp_path / "reference/samplers/index.html").read_text()
    from lightning_inpaint.optim import SAMPLERS

    for sampler in SAMPLERS.values():
        assert f'id="lightning_inpaint.optim.{sampler.__name__}"' in samplers
