"""What presets put into the hole: Frechet distance, intended class, diversity, and the pictures.

    PYTHONPATH=. python benchmarks/hole.py --images pictures.zip --limit 32 --chains 8 --figure hole.png

For real pictures with one kind of mask, one row per preset: Frechet distance of the composites to other
real pictures (one completion of each picture at a time, the mean over them); the share of composites that
the bundled classifier puts into the picture's class (labels come from sub-folders); the mean over pictures
of the root-mean-square difference of two completions in the hole, on the scale [0, 1]; and the seam: the
mean step from a known pixel to its neighbour in the hole, over that of the originals. The first row is the
original pictures. The figure shows, for each of eight pictures, original, masked, and two completions of
each preset. --part 2 takes other pictures than --part 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from presets import hardware, picture_sets, preset
from torch import Tensor
from torchvision.utils import make_grid, save_image

from lightning_inpaint import Completions
from lightning_inpaint.datamodules import FolderMasks
from lightning_inpaint.evaluation import Classifier, FeatureVectors, frechet_distance
from lightning_inpaint.evaluation.features import BUNDLED_CLASSIFIER
from lightning_inpaint.images.levels import from_uint8


def diversity(result: Completions) -> Tensor:
    """Root-mean-square difference of pairs of completions in the hole (mask 1 = fill), (N,)."""
    pictures = result.composite.float() / 255
    k = pictures.shape[1]
    if k < 2:
        return torch.full((len(pictures),), float("nan"))
    # The mean squared difference of two distinct rows is twice the unbiased variance.
    spread = 2 * pictures.var(dim=1) * result.mask
    values = result.mask.sum(dim=(1, 2, 3)) * pictures.shape[2]
    return (spread.sum(dim=(1, 2, 3)) / values).sqrt()


def seam(pictures: Tensor, mask: Tensor) -> float:
    """Mean absolute step of uint8 (N, 3, H, W) between known (mask 0) and filled (1) neighbours."""
    total = count = 0.0
    for dim in (2, 3):
        step = pictures.float().diff(dim=dim).abs()
        border = (mask.float().diff(dim=dim) != 0).expand_as(step)
        total += float(step[border].sum())
        count += float(border.sum())
    return total / count


@torch.no_grad()
def features(network: FeatureVectors, pictures: Tensor) -> Tensor:
    """Feature vectors of uint8 pictures (N, 3, H, W)."""
    return torch.cat([network(part) for part in pictures.split(500)])


@torch.no_grad()
def accuracy(classifier: Classifier, pictures: Tensor, labels: Tensor) -> float:
    """Share of uint8 pictures that the classifier puts into ``labels``."""
    scores = [classifier(from_uint8(part)) for part in pictures.split(500)]
    return float((torch.cat(scores).argmax(dim=1) == labels).float().mean())


def others(given: argparse.Namespace, left_out: set[str]) -> Tensor:
    """A third of the real pictures, uint8, without those of these ids."""
    data = FolderMasks(given.images, masks=given.mask, shard="2/3")
    data.setup("predict")
    return torch.cat(
        [
            b["image"][[i for i, name in enumerate(b["id"]) if name not in left_out]]
            for b in data.predict_dataloader()
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--generator", default="cifar10")
    parser.add_argument("--images", required=True, help="folder or zip of real pictures")
    parser.add_argument("--presets", default="seed,default,map")
    parser.add_argument("--mask", default="right_half")
    parser.add_argument("--limit", type=int, default=64)
    parser.add_argument("--part", type=int, default=1, help="which pictures")
    parser.add_argument("--chains", type=int, default=8)
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--figure", help="PNG of the first eight pictures")
    given = parser.parse_args()
    sets = picture_sets(
        given.generator, given.images, given.mask, given.limit, given.batch_size, given.part
    )
    classifier = Classifier.from_file(BUNDLED_CLASSIFIER)
    network = FeatureVectors(classifier)
    batches = list(sets["real"].predict_dataloader())
    real = features(network, others(given, {name for b in batches for name in b["id"]}))
    whole = torch.cat([b["image"] for b in batches])
    print(f"{len(whole)} pictures x {given.chains} completions, {given.mask}; {hardware()}")
    print("features: the bundled CIFAR-10 classifier")
    print(f"{'preset':10} known dB  Frechet  class %  diversity  seam")
    labels = torch.cat([b["label"] for b in batches])
    masks = torch.cat([b["mask"] for b in batches])
    natural = seam(whole, masks)
    row = f"{frechet_distance(real, features(network, whole)):8.2f} "
    print(f"{'originals':10} {'':8} {row}{100 * accuracy(classifier, whole, labels):8.1f}")
    columns = [whole[:8], torch.where(batches[0]["mask"].bool(), 128, batches[0]["image"])[:8]]
    for name in given.presets.split(","):
        module = preset(name, given.generator, chains=given.chains)
        results = [r for batch in batches if (r := module.predict_step(batch)) is not None]
        drawn = torch.cat([r.composite.flatten(0, 1) for r in results])
        repeated = labels.repeat_interleave(given.chains)
        # A Frechet distance depends on the number of pictures: as many at a time as there are originals.
        each = features(network, drawn).unflatten(0, (-1, given.chains)).unbind(1)
        distances = torch.tensor([frechet_distance(real, one) for one in each])
        print(
            f"{name:10} {torch.cat([r.psnr for r in results]).median():8.1f} "
            f"{distances.mean():8.2f} "
            f"{100 * accuracy(classifier, drawn, repeated):8.1f} "
            f"{torch.cat([diversity(r) for r in results]).mean():10.3f} "
            f"{seam(drawn, masks.repeat_interleave(given.chains, 0)) / natural:5.2f}",
            flush=True,
        )
        columns += [results[0].composite[:8, k] for k in (0, given.chains - 1)]
    if given.figure:
        shown = torch.stack(columns, dim=1).flatten(0, 1).float() / 255
        save_image(make_grid(shown, len(columns), 2), Path(given.figure))
        print(f"wrote {given.figure}")


if __name__ == "__main__":
    main()
