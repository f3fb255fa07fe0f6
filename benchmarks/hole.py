"""What presets put into the hole: Frechet distance, intended class, diversity, and the pictures.

    PYTHONPATH=. python benchmarks/hole.py --images pictures.zip --limit 32 --chains 8 --figure hole.png

For real pictures with one kind of mask, one row per preset: Frechet distance of the composites to other
real pictures (one completion of each picture at a time, the mean over them); the share of composites that
the bundled classifier puts into the picture's class (labels come from sub-folders); the mean over pictures
of the root-mean-square difference of two completions in the hole, on the scale [0, 1]; and the seam: the
mean step from a known pixel to its neighbour in the hole, over that of the originals. CFID is the Frechet
distance given the known part (arXiv:2103.11521), of pairs of a picture's features and those of the same
picture with a grey hole, both along their --directions widest directions in other real pictures. The first
row is the original pictures. --judges classifier,mobilenet adds a network of ImageNet that
took no part in training (``evaluate --help``). The figure shows, for each of eight pictures, original,
masked, and two completions of each preset. --part 2 takes other pictures than --part 1.
--presets takes YAML files, too. Evaluations are the mean over the chains.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from presets import hardware, picture_sets, preset
from torch import Tensor, nn
from torchvision.utils import make_grid, save_image

from lightning_inpaint import Completions
from lightning_inpaint.datamodules import FolderMasks
from lightning_inpaint.evaluation import (
    Classifier,
    conditional_frechet_distance,
    feature_spaces,
    frechet_distance,
    load_judge,
)
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


class HoleJudge:
    """Distances of composites to real pictures in one network's features.

    Args:
        network: uint8 pictures to features.
        others: uint8 (M, C, H, W), real pictures that are not completed.
        whole, masks: the pictures that are (N, C, H, W), and their masks (1 = fill).
        directions: widest directions in which the conditional distance is taken.
    """

    def __init__(
        self, network: nn.Module, others: Tensor, whole: Tensor, masks: Tensor, directions: int
    ) -> None:
        self.network = network
        self.real = self.features(others)
        holes = masks[torch.arange(len(others)) % len(masks)].bool()
        self.answers = widest(self.real, directions)
        self.questions = widest(self.features(torch.where(holes, 128, others)), directions)
        self.whole = self.features(whole)
        self.condition = self.features(torch.where(masks.bool(), 128, whole)) @ self.questions

    @torch.no_grad()
    def features(self, pictures: Tensor) -> Tensor:
        """Feature vectors of uint8 pictures (N, 3, H, W)."""
        return torch.cat([self.network(part) for part in pictures.split(500)])

    def distances(self, drawn: Tensor) -> tuple[float, float]:
        """Frechet distance and CFID of composites (N, chains, C, H, W), the mean over the chains.

        A Frechet distance depends on the number of pictures: as many at a time as there are originals.
        """
        each = self.features(drawn.flatten(0, 1)).unflatten(0, drawn.shape[:2]).unbind(1)
        plain = [frechet_distance(self.real, one) for one in each]
        basis = self.answers
        given = [
            conditional_frechet_distance(self.whole @ basis, one @ basis, self.condition)
            for one in each
        ]
        return sum(plain) / len(each), sum(given) / len(each)


def widest(x: Tensor, directions: int) -> Tensor:
    """The directions (D, directions) in which vectors (N, D) vary most."""
    return torch.linalg.svd(x - x.mean(dim=0), full_matrices=False).Vh[:directions].T


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
    parser.add_argument("--judges", default="classifier", help="or classifier,mobilenet")
    parser.add_argument(
        "--directions", type=int, default=8, help="of CFID; a quarter of --limit at most"
    )
    parser.add_argument("--figure", help="PNG of the first eight pictures")
    given = parser.parse_args()
    sets = picture_sets(
        given.generator, given.images, given.mask, given.limit, given.batch_size, given.part
    )
    judge = load_judge()
    classifier = judge.classifier
    batches = list(sets["real"].predict_dataloader())
    real = others(given, {name for b in batches for name in b["id"]})
    whole = torch.cat([b["image"] for b in batches])
    print(f"{len(whole)} pictures x {given.chains} completions, {given.mask}; {hardware()}")
    labels = torch.cat([b["label"] for b in batches])
    masks = torch.cat([b["mask"] for b in batches])
    if 4 * given.directions > len(whole):
        parser.error(
            f"--directions {given.directions} wants --limit {4 * given.directions} or more"
        )
    spaces = feature_spaces(given.judges, judge)
    judges = [HoleJudge(x.network, real, whole, masks, given.directions) for x in spaces]
    for k, space in enumerate(spaces):
        print(f"judge {k + 1}: {space.label}")
    heading = "  ".join(f"Frechet {k + 1}  CFID {k + 1}" for k in range(len(spaces)))
    print(f"{'preset':10} known dB  {heading}  class %  diversity  seam  evaluations, s a chain")
    natural = seam(whole, masks)
    row = "  ".join(f"{x:9.3f}  {y:6.3f}" for x, y in (j.distances(whole[:, None]) for j in judges))
    print(f"{'originals':10} {'':8}  {row}  {100 * accuracy(classifier, whole, labels):7.1f}")
    columns = [whole[:8], torch.where(batches[0]["mask"].bool(), 128, batches[0]["image"])[:8]]
    for name in given.presets.split(","):
        module = preset(name, given.generator, chains=given.chains)
        began = time.perf_counter()
        results = [r for batch in batches if (r := module.predict_step(batch)) is not None]
        seconds = (time.perf_counter() - began) / (len(whole) * given.chains)
        spent = torch.cat([r.diagnostics["gradient_evaluations"].flatten() for r in results])
        drawn = torch.cat([r.composite.flatten(0, 1) for r in results])
        repeated = labels.repeat_interleave(given.chains)
        pairs = [j.distances(drawn.unflatten(0, (-1, given.chains))) for j in judges]
        row = "  ".join(f"{x:9.3f}  {y:6.3f}" for x, y in pairs)
        print(
            f"{Path(name).stem:10} {torch.cat([r.psnr for r in results]).median():8.1f}  {row}  "
            f"{100 * accuracy(classifier, drawn, repeated):7.1f} "
            f"{torch.cat([diversity(r) for r in results]).mean():10.3f} "
            f"{seam(drawn, masks.repeat_interleave(given.chains, 0)) / natural:5.2f} "
            f"{spent.mean():12.0f}  {seconds:.2f}",
            flush=True,
        )
        columns += [results[0].composite[:8, k] for k in (0, given.chains - 1)]
    if given.figure:
        shown = torch.stack(columns, dim=1).flatten(0, 1).float() / 255
        save_image(make_grid(shown, len(columns), 2), Path(given.figure))
        print(f"wrote {given.figure}")


if __name__ == "__main__":
    main()
