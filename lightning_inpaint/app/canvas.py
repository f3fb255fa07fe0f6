"""What the page's editor holds: a picture, and what is painted on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from .show import enlarged, in_own_file

__all__ = ["BRUSH", "SIDE", "WRONG_FILE", "background_of", "editor_value", "is_enlarged", "painted"]

BRUSH = "#e0218a"
SIDE = 512  # of the editor's canvas before a picture is opened


def editor_value(background: Image.Image, hole: Image.Image | None = None) -> dict[str, Any]:
    """The editor with a picture and, if there is one, a hole painted on it (mode L, 255 = fill)."""
    layers = []
    background = in_own_file(background)
    composite = background.convert("RGBA")
    if hole is not None:
        layer = Image.new("RGBA", background.size, BRUSH)
        layer.putalpha(hole)
        layers.append(in_own_file(layer))
        composite = Image.alpha_composite(composite, layer)
    return {"background": background, "layers": layers, "composite": in_own_file(composite)}


def background_of(editor: dict[str, Any] | None) -> Image.Image | None:
    """The picture that was opened, in RGB over white; None where there is none."""
    background = (editor or {}).get("background")
    if background is None:
        return None
    if background.mode == "RGBA":
        white = Image.new("RGBA", background.size, "white")
        white.alpha_composite(background)
        background = white
    return background.convert("RGB")


def painted(editor: dict[str, Any] | None, size: tuple[int, int]) -> np.ndarray:
    """What is painted on any layer: uint8 (H, W), 255 = fill."""
    mask = np.zeros((size[1], size[0]), np.uint8)
    for layer in (editor or {}).get("layers") or ():
        alpha = layer.convert("RGBA").getchannel("A").resize(size, Image.Resampling.NEAREST)
        mask |= np.where(np.asarray(alpha) > 127, np.uint8(255), np.uint8(0))
    return mask


def is_enlarged(background: Image.Image, original: Any) -> bool:
    """Whether the editor shows a small picture that the page has drawn, and not another."""
    if original is None:
        return False
    drawn = enlarged(original).convert("RGB")
    return drawn.size == background.size and drawn.tobytes() == background.tobytes()


# The editor says nothing about a file that the browser cannot show; this does, and keeps the picture. It also
# takes pasted pictures to the editor, wherever the focus is.
WRONG_FILE = """
() => {
  const say = name => {
    const p = document.createElement("p");
    p.textContent = `${name} is no picture that can be opened here: give a PNG, JPEG, WebP, GIF or BMP file.`;
    const box = document.createElement("div");
    box.setAttribute("role", "alert");
    box.append(p);
    document.querySelector("#wrong").replaceChildren(box);
  };
  const quiet = () => document.querySelector("#wrong").replaceChildren();
  const inEditor = event => event.target.closest && event.target.closest("#editor");
  const kind = file => file.type.startsWith("image/");
  document.addEventListener("change", event => {
    const input = event.target;
    if (!inEditor(event) || input.type !== "file" || event.looked || !input.files.length) return;
    event.stopImmediatePropagation();
    const file = input.files[0];
    createImageBitmap(file).then(() => {
      quiet();
      const again = new Event("change", {bubbles: true});
      again.looked = true;
      input.dispatchEvent(again);
    }, () => { say(file.name); input.value = ""; });
  }, true);
  for (const [name, files] of [["drop", "dataTransfer"], ["paste", "clipboardData"]])
    document.addEventListener(name, event => {
      const file = event[files] && event[files].files[0];
      if (!file || (name === "drop" && !inEditor(event))) return;
      const input = document.querySelector("#editor input[type=file]");
      const pasted = name === "paste" && kind(file) && input;
      if (!kind(file) || pasted) { event.stopImmediatePropagation(); event.preventDefault(); }
      if (!kind(file)) say(file.name);
      else if (!pasted) createImageBitmap(file).then(quiet, () => say(file.name));
      else {  // by itself the editor takes one only while it is empty
        const box = new DataTransfer();
        box.items.add(file);
        input.files = box.files;
        input.dispatchEvent(new Event("change", {bubbles: true}));
      }
    }, true);
}
"""
