"""How the pages are made of this checkout: where the docstrings are, and what roles of Sphinx become."""

import re
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.plugins import event_priority

ROOT = Path(__file__).parents[1]
_together = tempfile.TemporaryDirectory()


@event_priority(100)  # before the plugin looks where they are
def on_config(config: Any) -> Any:
    """Show the package as it is installed: two of its folders lie beside it here."""
    package = Path(_together.name, "lightning_inpaint")
    package.mkdir(exist_ok=True)
    for path in [
        *(ROOT / "lightning_inpaint").iterdir(),
        *(ROOT / n for n in ("callbacks", "datamodules")),
    ]:
        link = package / path.name
        if not link.exists():
            link.symlink_to(path)
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [_together.name]
    return config


def on_page_content(html: str, **_: Any) -> str:
    """Turn ``:class:`Name``` into ``Name``."""
    return re.sub(
        r":(?:func|class|mod|meth|attr|data):<code>~?\.*([^<]*)</code>", r"<code>\1</code>", html
    )
