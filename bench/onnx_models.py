"""Raw weight sets of ../shared/models as ONNX files: `convert(name, folder) -> Path`.

    python -m bench.onnx_models FOLDER     converts all, and checks them

Their networks are written here in torch by the layouts in their READMEs, since no library at hand
has them. Checked: the same outputs from torch and from ONNX Runtime, and top-1 on
../shared/data/imagenet_samples beside what the README states.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.cases import SHARED
from headstart.features.traced import silence

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
PLAIN = {"image_mean": [0.0, 0.0, 0.0], "image_std": [1.0, 1.0, 1.0]}


class Fire(nn.Module):
    """SqueezeNet's module: squeeze by 1x1, expand by 1x1 and 3x3 side by side."""

    def __init__(self, inside: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inside, squeeze, 1)
        self.expand1x1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3x3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, value: Tensor) -> Tensor:
        value = self.squeeze(value).relu()
        return torch.cat([self.expand1x1(value).relu(), self.expand3x3(value).relu()], 1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.1 (Iandola et al., 2016), named as in torchvision."""

    def __init__(self) -> None:
        super().__init__()

        def pool() -> nn.Module:
            return nn.MaxPool2d(3, 2, ceil_mode=True)

        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(),
            Fire(64, 16, 64), Fire(128, 16, 64), pool(),
            Fire(128, 32, 128), Fire(256, 32, 128), pool(),
            Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
        )  # fmt: skip
        self.classifier = nn.Sequential(nn.Dropout(), nn.Conv2d(512, 1000, 1), nn.ReLU())

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.features(pixels)
        return maps.mean((2, 3)), self.classifier(maps).mean((2, 3))


# (width, kernel, 2 where a pooling follows) of Tiny Darknet's convolutions but the last.
DARKNET = (
    (16, 3, 2), (32, 3, 2), (16, 1, 1), (128, 3, 1), (16, 1, 1), (128, 3, 2), (32, 1, 1),
    (256, 3, 1), (32, 1, 1), (256, 3, 2), (64, 1, 1), (512, 3, 1), (64, 1, 1), (512, 3, 1),
    (128, 1, 1),
)  # fmt: skip


class Darknet(nn.Module):
    """Tiny Darknet (Redmon); the keys of the weights are conv1 … conv16 and bn1 … bn15."""

    def __init__(self) -> None:
        super().__init__()
        inside = 3
        for at, (width, kernel, _) in enumerate(DARKNET, 1):
            conv = nn.Conv2d(inside, width, kernel, padding=kernel // 2, bias=False)
            self.add_module(f"conv{at}", conv)
            self.add_module(f"bn{at}", nn.BatchNorm2d(width, eps=0.001))
            inside = width
        self.conv16 = nn.Conv2d(inside, 1000, 1)

    def forward(self, value: Tensor) -> tuple[Tensor, Tensor]:
        wide = value
        for at, (_, _, pool) in enumerate(DARKNET, 1):
            value = getattr(self, f"bn{at}")(getattr(self, f"conv{at}")(value))
            value = nn.functional.leaky_relu(value, 0.1)
            value = nn.functional.max_pool2d(value, 2) if pool == 2 else value
            wide = value if at == 14 else wide  # 512 wide: the last before it narrows to 128
        return wide.mean((2, 3)), self.conv16(value).mean((2, 3))


class Basic(nn.Module):
    """A block of CIFAR's ResNet, with the shortcut that has no parameters (option A)."""

    def __init__(self, inside: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.stride, self.lacking = stride, (width - inside) // 2

    def forward(self, value: Tensor) -> Tensor:
        found = self.bn2(self.conv2(self.bn1(self.conv1(value)).relu()))
        if self.lacking:
            value = value[:, :, :: self.stride, :: self.stride]
            value = nn.functional.pad(value, (0, 0, 0, 0, self.lacking, self.lacking))
        return (found + value).relu()


class CifarResNet(nn.Module):
    """ResNet-56 for 32 x 32 pictures (He et al., CVPR 2016, section 4.2)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        inside = 16
        for at, width in enumerate((16, 32, 64), 1):
            blocks = []
            for block in range(9):
                blocks.append(Basic(inside, width, 2 if at > 1 and block == 0 else 1))
                inside = width
            self.add_module(f"layer{at}", nn.Sequential(*blocks))
        self.linear = nn.Linear(64, 10)

    def forward(self, value: Tensor) -> tuple[Tensor, Tensor]:
        value = self.bn1(self.conv1(value)).relu()
        for name in ("layer1", "layer2", "layer3"):
            value = getattr(self, name)(value)
        pooled = value.mean((2, 3))
        return pooled, self.linear(pooled)


@dataclass(frozen=True, slots=True)
class Raw:
    """One weight set: its network, how pictures are made for it, and what its README states."""

    build: Callable[[], nn.Module]
    side: int
    resized: int  # shorter side before the crop
    normal: dict[str, list[float]]
    pretrained_on: str
    licence: str
    top1: float | None = None  # on imagenet_samples

    def settings(self) -> dict[str, Any]:
        return {
            "image_processor_type": "ViTImageProcessor", "do_resize": True, "resample": 2,
            "size": {"shortest_edge": self.resized}, "do_center_crop": True,
            "crop_size": {"height": self.side, "width": self.side},
            "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True, **self.normal,
        }  # fmt: skip


RAW = {
    "squeezenet1_1": Raw(SqueezeNet, 224, 256, IMAGENET, "ImageNet-1k", "bsd", 0.62),
    "darknet_tiny": Raw(Darknet, 224, 256, PLAIN, "ImageNet-1k", "mit", 0.656),
    "cifar10_resnet56": Raw(CifarResNet, 32, 32, IMAGENET, "CIFAR-10", "bsd-2-clause"),
}


# ILSVRC-2012 classes that are a class of CIFAR-10: to see that its predictions are sane.
CIFAR_OF = {404: 0, 817: 1, 751: 1, 555: 9, 569: 9, 717: 9, 864: 9, 867: 9, 510: 8, 628: 8, 724: 8}
CIFAR_OF |= dict.fromkeys((*range(7, 25), *range(80, 101), *range(127, 147)), 2)
CIFAR_OF |= dict.fromkeys(range(281, 286), 3) | dict.fromkeys(range(151, 269), 5)
CIFAR_OF |= dict.fromkeys(range(30, 33), 6)


def network(name: str) -> nn.Module:
    """Return the network in torch with its weights; every tensor of the file must fit."""
    from safetensors.torch import load_file

    module = RAW[name].build()
    weights = load_file(SHARED / "models" / name / "model.safetensors")
    found = module.load_state_dict(weights, strict=False)
    lacking = [key for key in found.missing_keys if not key.endswith("num_batches_tracked")]
    if lacking or found.unexpected_keys:
        raise ValueError(f"{name}: lacking {lacking[:3]}, unknown {found.unexpected_keys[:3]}")
    return module.eval()


def convert(name: str, folder: Path) -> Path:
    """Write `folder/name.onnx`, outputs "features" (n, d) and "logits"; returns its path.

    Preprocessing, licence and origin stand in the file's own metadata.
    """
    import onnx

    raw = RAW[name]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    with torch.no_grad(), silence():
        torch.onnx.export(
            network(name), (torch.zeros(2, 3, raw.side, raw.side),), str(path), dynamo=False,
            input_names=["pixels"], output_names=["features", "logits"], opset_version=17,
            dynamic_axes={key: {0: "n"} for key in ("pixels", "features", "logits")},
        )  # fmt: skip
    model = onnx.load(path)
    model.graph.name = name
    for key, value in (
        ("preprocessor_config", json.dumps(raw.settings())),
        ("pretrained_on", raw.pretrained_on), ("licence", raw.licence),
    ):  # fmt: skip
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path


def check(name: str, path: Path) -> dict[str, Any]:
    """Return the largest difference from torch, and top-1 on imagenet_samples.

    Of the network for CIFAR-10: on the pictures there whose class is, or lies within, one of its.
    """
    import csv

    import headstart.sources as sources
    from headstart.data.modality import modality

    backbone, plain = sources.load(f"onnx:{path}#logits"), network(name)
    place = SHARED / "data" / "imagenet_samples"
    with (place / "labels.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    decode = modality("image").decode
    truth, said, gaps = [], [], []
    for start in range(0, len(rows), 50):
        part = rows[start : start + 50]
        images = [decode(place / "images" / row["file"], backbone.spec) for row in part]
        batch = backbone.preprocess(images)
        found = backbone.embed(batch).numpy()
        with torch.no_grad():
            expected = plain(batch["pixel_values"])[1].numpy()
        gaps.append(np.abs(found - expected).max() / np.abs(expected).max())
        said += found.argmax(1).tolist()
        truth += [int(row["class_index"]) for row in part]
    facts = {"largest relative difference": float(max(gaps))}
    answers = np.asarray(said)
    if RAW[name].top1 is None:
        kept = np.asarray([row for row, label in enumerate(truth) if label in CIFAR_OF])
        facts["pictures of its classes"] = len(kept)
        facts["top-1"] = float(np.mean(answers[kept] == [CIFAR_OF[truth[row]] for row in kept]))
        return facts
    facts["top-1"], facts["stated"] = float(np.mean(answers == truth)), RAW[name].top1
    return facts


if __name__ == "__main__":
    for known in RAW:
        print(known, check(known, convert(known, Path(sys.argv[1]))))
