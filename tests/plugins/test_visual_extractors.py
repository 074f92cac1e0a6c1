"""Extractors: trained on categories, or with weights that are there, fit, and are what their name says."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from serving import serving

from recshield.core.errors import BadData, BadValue, FetchFailed
from recshield.core.seeds import generator
from recshield.data.categories import Categories
from recshield.data.images import Images
from recshield.data.transfer import Patience
from recshield.matrix.fitting import state_hash
from recshield.testing.probes import disturbed_random_state, watched_random_state
from recshield_visual import ResNet18, ResNet18Config, ResNet50, ResNet50Config, SmallCNN, SmallCNNConfig
from recshield_visual import weights as files
from recshield_visual.labels import auc

QUICK = SmallCNNConfig(width=0.25, epochs=6, batch=16, least=5)


def pictures(n_items: int = 120) -> tuple[Images, Categories]:
    """Return 16 x 16 noise with a red or a blue tinge, which the first two categories name; the third is rare."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(60, 160, (n_items, 16, 16, 3)).astype(np.uint8)
    is_red = np.arange(n_items) % 2 == 0
    pixels[is_red, :, :, 0] += 60
    pixels[~is_red, :, :, 2] += 60
    labels = np.stack([is_red, ~is_red, np.arange(n_items) == 4], axis=1)
    return Images(pixels, np.ones(n_items, bool)), Categories(("red", "blue", "rare"), labels)


def fitted(config: SmallCNNConfig = QUICK, seed: int = 0) -> tuple[SmallCNN, dict[str, object]]:
    images, categories = pictures()
    model = SmallCNN(images.size, 3, config, generator(seed, "start"))
    return model, dict(model.fit(images, categories, generator(seed, "fit")))


def test_smallcnn_learns_what_can_be_seen_and_names_what_it_left_out() -> None:
    model, facts = fitted()
    assert facts["auc"] > 0.95
    assert facts["trained"] == ["red", "blue"]
    assert facts["dropped"] == ["rare"]
    assert (facts["n_train"], facts["n_held"]) == (102, 18)
    json.dumps(facts)
    images, _ = pictures()
    with torch.no_grad():
        odds = model.classes(images.read(torch.tensor([0, 1])))
    assert odds.shape == (2, 3)
    assert odds[0, 0] > odds[0, 1]
    assert odds[1, 1] > odds[1, 0]
    assert odds[0, 2] == odds[1, 2] < -3, "a category left out stays at the log odds of its share"
    assert not model.training
    assert model.width == 64
    assert model(images.read(torch.tensor([0]))).shape == (1, 64)


def test_smallcnn_gives_the_same_bits_twice_and_draws_from_its_own_generator() -> None:
    states = []
    for disturbance in (1, 2):
        with disturbed_random_state(disturbance), watched_random_state("extractor 'smallcnn'"):
            states.append(state_hash(fitted()[0]))
    assert states[0] == states[1]
    assert state_hash(fitted(seed=1)[0]) != states[0]


def test_folded_batch_norm_is_batch_norm() -> None:
    model, _ = fitted()
    pixels = pictures()[0].read(torch.arange(30))
    with torch.no_grad():
        wanted = model.layers((pixels - model.mean) / model.deviation).mean(dim=(2, 3))
        assert float((model(pixels) - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def test_the_gradient_through_folded_layers_is_that_through_the_layers() -> None:
    model, _ = fitted()
    pixels, slopes = pictures()[0].read(torch.arange(30)), torch.randn(30, model.width, generator=generator(3))
    found = []
    for is_frozen in (False, True):
        model.requires_grad_(not is_frozen)
        leaf = pixels.clone().requires_grad_()
        found += torch.autograd.grad((model(leaf) * slopes).sum(), leaf)
    assert float(found[0].abs().max()) > 0
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5 * float(found[0].abs().max()))


def test_weights_that_are_not_frozen_have_a_gradient_in_evaluation() -> None:
    model, _ = fitted()
    model.requires_grad_()
    model(pictures()[0].read(torch.arange(4))).sum().backward()
    assert bool(model.layers.conv1.weight.grad.any())


def test_missing_images_and_items_without_a_category_are_left_out() -> None:
    images, categories = pictures()
    is_there = np.arange(120) >= 20
    labels = categories.labels.copy()
    labels[100:] = False
    model = SmallCNN(images.size, 3, dataclasses.replace(QUICK, held=0.0), generator(0))
    facts = model.fit(Images(images.pixels, is_there), Categories(categories.names, labels), generator(0))
    assert (facts["n_train"], facts["n_held"], facts["auc"]) == (80, 0, None)
    wanted = images.pixels[is_there].reshape(-1, 3).astype(np.float64) / 255
    assert model.mean.flatten().numpy() == pytest.approx(wanted.mean(axis=0), abs=1e-6)
    assert model.deviation.flatten().numpy() == pytest.approx(wanted.std(axis=0), abs=1e-6)


def test_nothing_to_train_on_is_an_error() -> None:
    images, categories = pictures()
    model = SmallCNN(images.size, 3, QUICK, generator(0))
    with pytest.raises(BadValue, match="is trained on the categories of items, and the data set has none; name a pre"):
        model.fit(images, None, generator(0))
    with pytest.raises(BadValue, match="has 0 images with a category to train on and no category with 5 of them"):
        model.fit(Images(images.pixels, np.zeros(120, bool)), categories, generator(0))
    with pytest.raises(BadValue, match="extractor 'smallcnn': dropout is 1; it is at least 0 and below 1"):
        SmallCNNConfig(dropout=1)


def test_auc_is_that_of_scikit_learn_ties_included() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(0, 9, 200).astype(float), rng.random(200) < 0.3
    assert auc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores))
    assert np.isnan(auc(scores, np.zeros(200, bool)))


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Return weights of torchvision's ResNet-18, drawn at random."""
    with torch.random.fork_rng():
        model = torchvision.models.resnet18(weights=None)
    return {name: held + 0.01 if held.is_floating_point() else held for name, held in model.state_dict().items()}


def resnet(path: Path, **options: object) -> ResNet18:
    config = ResNet18Config(weights=f"file:{path}", **options)  # type: ignore[arg-type]
    return ResNet18((96, 64), 3, config, generator(0)).eval()


def read(model: ResNet18) -> dict[str, object]:
    return dict(model.fit(pictures()[0], None, generator(0)))


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_resnet18_is_torchvisions_transforms_and_network(
    state: dict[str, torch.Tensor], tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    model = resnet(path)
    assert read(model) == {"weights": hashlib.sha256(path.read_bytes()).hexdigest()}
    network = torchvision.models.resnet18(weights=None)
    network.load_state_dict(state)
    network.fc = torch.nn.Identity()
    network.eval()
    pixels = torch.rand((2, 3, 400, 300), generator=generator(0))  # larger than 256, so that antialiasing matters
    transforms = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    with torch.no_grad():
        wanted, found = network(transforms(pixels)), model(pixels)
    assert found.shape == (2, model.width) == (2, 512)
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def test_a_layer_before_the_last_and_the_gradient_of_pixels(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "w.safetensors")
    model = resnet(tmp_path / "w.safetensors", layer="layer3", resize=64, crop=0)
    read(model)
    network = torchvision.models.resnet18(weights=None)
    network.load_state_dict(state)
    network.eval()
    pixels = torch.rand((1, 3, 64, 64), generator=generator(0)).requires_grad_()
    weights = torchvision.models.ResNet18_Weights.DEFAULT.transforms()
    held = (pixels - torch.tensor(weights.mean).view(3, 1, 1)) / torch.tensor(weights.std).view(3, 1, 1)
    held = network.maxpool(network.relu(network.bn1(network.conv1(held))))
    wanted = network.layer3(network.layer2(network.layer1(held))).mean(dim=(2, 3))
    found = model(pixels)
    assert model.width == 256
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert not any(name.startswith("network.layer4") for name in model.state_dict())
    (slope,) = torch.autograd.grad(found.sum(), pixels)
    assert float(slope.abs().max()) > 0
    assert model.pipeline() == (
        "resnet18: shorter side to 64, antialiased; no crop; ImageNet's mean and deviation; mean of layer3; weights of "
        f"file:{tmp_path / 'w.safetensors'}"
    )


def test_the_fingerprint_is_the_hash_of_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    path.write_bytes(b"one")
    named = ResNet18Config(weights=f"file:{path}")
    assert ResNet18.fingerprint(named) == hashlib.sha256(b"one").hexdigest()
    path.write_bytes(b"two")
    assert ResNet18.fingerprint(named) == hashlib.sha256(b"two").hexdigest()
    assert ResNet50.fingerprint(ResNet50Config()).endswith("resnet50-11ad3fa6.pth")
    assert ResNet18.fingerprint(ResNet18Config(weights="train")) == ""


def test_missing_weights_are_an_error_and_never_start_values(tmp_path: Path) -> None:
    model = resnet(tmp_path / "none.pth")
    with pytest.raises(BadData) as caught:
        read(model)
    assert str(caught.value) == (
        f"{tmp_path / 'none.pth'}: there is no such file of weights; name one that is there, or write weights=default, "
        "weights=train or weights=(file:PATH)"
    )
    with pytest.raises(BadValue, match="extractor 'resnet18': weights 'imagenet' is not known; write weights=default"):
        ResNet18Config(weights="imagenet")


def spoil(state: dict[str, torch.Tensor], how: str) -> dict[str, torch.Tensor]:
    changed = dict(state)
    if how == "missing":
        del changed["layer1.0.conv1.weight"], changed["bn1.bias"]
    elif how == "unknown":
        changed["extra"] = torch.zeros(1)
    elif how == "shape":
        changed["conv1.weight"] = torch.zeros(64, 1, 7, 7)
    else:
        changed["bn1.bias"] = torch.full((64,), float("nan"))
    return changed


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("missing", "it lacks 'bn1.bias' and 1 more; give weights of the network that is named"),
        ("unknown", "it holds the unknown 'extra'; give weights of the network that is named"),
        ("shape", "it has another shape for 'conv1.weight'; give weights of the network that is named"),
        ("nan", "it holds values that are not finite; give weights of a trained network"),
    ],
)
def test_weights_that_do_not_fit_are_named(state: dict[str, torch.Tensor], tmp_path: Path, how: str, said: str) -> None:
    path = tmp_path / "w.safetensors"
    save_file(spoil(state, how), path)
    with pytest.raises(BadData) as caught:
        read(resnet(path))
    assert str(caught.value) == f"{path}: {said}"


def test_old_weights_of_another_head_are_read(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    kept = {name: held for name, held in state.items() if not name.endswith("num_batches_tracked")}
    save_file(kept | {"fc.weight": torch.zeros(5, 512), "fc.bias": torch.zeros(5)}, tmp_path / "w.safetensors")
    read(resnet(tmp_path / "w.safetensors"))


class Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("evil-was-here"),))


def test_a_file_that_is_no_state_dict_is_refused_and_never_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"conv1.weight": Evil()}, tmp_path / "evil.pth")
    (tmp_path / "text.safetensors").write_text("hello")
    torch.save({"epoch": 3}, tmp_path / "other.pth")
    for name, said in (
        ("evil.pth", "it cannot be read as weights (UnpicklingError); give safetensors or a state dict"),
        ("text.safetensors", "it cannot be read as weights (SafetensorError); give safetensors or a state dict"),
        ("other.pth", "it holds something else than named tensors; give safetensors or a state dict"),
    ):
        with pytest.raises(BadData) as caught:
            read(resnet(tmp_path / name))
        assert str(caught.value) == f"{tmp_path / name}: {said}"
    assert not (tmp_path / "evil-was-here").exists()
    monkeypatch.setattr(files, "WEIGHTS_BYTES", 3)
    with pytest.raises(BadData, match="the file of weights has 5 bytes; at most 3 are read"):
        read(resnet(tmp_path / "text.safetensors"))


def test_default_weights_are_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECSHIELD_CACHE", str(tmp_path))
    once = Patience(timeout=2.0, attempts=1, wait=0.0)
    good = hashlib.sha256(b"weights").hexdigest()[:8]
    with serving() as server:
        server.answers |= {f"net-{good}.pth": b"weights", "net-0000000f.pth": b"weights"}
        path = files.fetched("resnet18", server.url(f"net-{good}.pth"), once)
        assert path == tmp_path / "weights" / f"net-{good}.pth"
        assert path.read_bytes() == b"weights"
        files.fetched("resnet18", server.url(f"net-{good}.pth"), once)
        assert server.times(f"net-{good}.pth") == 1
        with pytest.raises(
            FetchFailed, match=r"net-0000000f.pth has the SHA-256 .*, not 0000000f\.\.\.; fetch it else"
        ):
            files.fetched("resnet18", server.url("net-0000000f.pth"), once)
        address = server.url("net-aaaaaaaa.pth")
    assert [one.name for one in (tmp_path / "weights").iterdir()] == [f"net-{good}.pth"]
    with pytest.raises(FetchFailed) as caught:
        files.fetched("resnet18", address, once)
    assert str(caught.value) == (
        f"extractor 'resnet18': its weights are not here: {address}: it cannot be reached (ConnectionError) in 1 "
        f"attempts; fetch it elsewhere and put it at {tmp_path / 'weights' / 'net-aaaaaaaa.pth'}, or write weights=train "
        "or weights=(file:PATH)"
    )


def test_resnet18_can_be_trained_here_and_then_has_class_scores() -> None:
    images, categories = pictures(40)
    config = ResNet18Config(weights="train", layer="layer1", resize=0, crop=0, epochs=1, batch=16, least=5)
    model = ResNet18(images.size, 3, config, generator(0, "start"))
    with watched_random_state("extractor 'resnet18'"):
        assert model.fit(images, categories, generator(0, "fit"))["trained"] == ["red", "blue"]
    assert model.classes(images.read(torch.tensor([0]))).shape == (1, 3)
    bare = ResNet18(images.size, 3, ResNet18Config(), generator(0))
    with pytest.raises(BadValue, match="with weights=default has no class scores of the items' categories; use"):
        bare.classes(images.read(torch.tensor([0])))


def test_resnet50_has_2048_features() -> None:
    config = ResNet50Config(weights="train", resize=0, crop=32)
    assert ResNet50((64, 64), 3, config, generator(0)).width == 2048
    assert ResNet50Config().resize == torchvision.models.ResNet50_Weights.DEFAULT.transforms().resize_size[0]
