"""The GAN's parts: networks, game, augmentation, watch, and scores on cases with known answers."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm  # type: ignore[import-untyped]
from torch import Tensor, nn

from datasets.types import ClassMap
from tasks.dcgan.comparison import compare
from tasks.dcgan.model import (
    Gan,
    augment,
    discriminator_loss,
    generator_loss,
    mirror_some,
    undecided_loss,
)
from tasks.dcgan.networks import Discriminator, Generator, from_bytes, to_bytes
from tasks.dcgan.sampling import generate, load_generator, make_card, make_latents, numbers_of
from tasks.dcgan.scores import frechet_distance, kernel_distance, nearest, neighbourhoods, score
from tasks.dcgan.spec import GanFitSpec, GanLossSpec, GanSpec
from tasks.dcgan.task import Watch, Window, variety
from tasks.weights.card import Card
from tasks.weights.file import save_weights

SMALL = GanSpec(size=32, latent=8, width=4)


def gaussian(rng: np.random.Generator, mean: Any, factor: Any, count: int = 400) -> Any:
    """Points whose sample mean and covariance are exactly ``mean`` and factor @ factor.T."""
    points = rng.standard_normal((count, len(mean)))
    points -= points.mean(axis=0)
    white = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points.T))).T
    return white @ np.asarray(factor).T + mean


def test_frechet_of_gaussians_that_vary_along_the_axes(rng: np.random.Generator) -> None:
    one = gaussian(rng, [0.0, 0.0, 0.0], np.diag([1.0, 2.0, 3.0]))
    two = gaussian(rng, [1.0, -2.0, 0.0], np.diag([2.0, 2.0, 0.5]), 300)
    assert frechet_distance(one, two) == pytest.approx(1 + 4 + (1 - 2) ** 2 + 0 + (3 - 0.5) ** 2)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(one, one[:100]) > 0


def test_frechet_of_gaussians_that_lie_askew(rng: np.random.Generator) -> None:
    factors = [rng.standard_normal((4, 4)) for _ in range(2)]
    means = [rng.standard_normal(4) for _ in range(2)]
    one, two = (gaussian(rng, m, f) for m, f in zip(means, factors, strict=True))
    first, second = (f @ f.T for f in factors)
    expected = np.square(means[0] - means[1]).sum()
    expected += np.trace(first + second - 2 * sqrtm(first @ second).real)
    assert frechet_distance(one, two) == pytest.approx(expected)


def test_frechet_of_features_that_never_vary(rng: np.random.Generator) -> None:
    """Dead channels leave covariances without an inverse."""
    one = np.zeros((20, 6))
    one[:, 0] = rng.standard_normal(20)
    assert frechet_distance(one, one + 2) == pytest.approx(4 * 6)


def test_kernel_distance_by_the_definition(rng: np.random.Generator) -> None:
    one, two = rng.standard_normal((5, 3)), rng.standard_normal((4, 3)) + 1

    def kernel(a: Any, b: Any) -> float:
        return float((a @ b / 3 + 1) ** 3)

    own = [
        np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
        for x in (one, two)
    ]
    across = np.mean([kernel(a, b) for a in one for b in two])
    assert kernel_distance(one, two)[0] == pytest.approx(own[0] + own[1] - 2 * across)


@pytest.mark.slow
def test_kernel_distance_is_unbiased_and_knows_its_error(rng: np.random.Generator) -> None:
    """Over many draws of one distribution it is 0, although each has few points."""
    draws = [
        kernel_distance(rng.standard_normal((30, 4)), rng.standard_normal((40, 4)))
        for _ in range(300)
    ]
    values, errors = np.array(draws).T
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    assert values.min() < 0
    apart = [
        kernel_distance(rng.standard_normal((60, 4)), rng.standard_normal((60, 4)) + 1)
        for _ in range(100)
    ]
    values, errors = np.array(apart).T
    assert values.min() > 0
    assert errors.mean() == pytest.approx(values.std(), rel=0.35)


def test_neighbourhoods_by_hand() -> None:
    """On a line, k = 1. Balls of the photos 0, 1, 2, 10: radii 1, 1, 1, 8."""
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    fake = np.array([[0.5], [3.5], [30.0], [31.0]])
    found = neighbourhoods(real, fake, 1)
    # 0.5 lies in the balls of 0 and 1, 3.5 in that of 10, the others in none.
    assert found["precision"] == 2 / 4
    assert found["density"] == 3 / 4
    assert found["coverage"] == 3 / 4
    # Balls of the fakes: radii 3, 3, 1, 1. 0, 1, 2 and 10: the first three are in one.
    assert found["recall"] == 3 / 4


def test_neighbourhoods_of_collapsed_pictures(rng: np.random.Generator) -> None:
    """All on one photo: precise, but they cover next to nothing."""
    real = rng.standard_normal((50, 2)) * 10
    fake = real[:1] + rng.standard_normal((50, 2)) * 1e-6
    found = neighbourhoods(real, fake, 5)
    assert found["precision"] == 1
    assert found["recall"] == 1 / 50, "that one image"
    assert found["coverage"] < 0.5
    same = neighbourhoods(real, real + 1e-9, 5)
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)


def test_scores_together(rng: np.random.Generator) -> None:
    real = rng.standard_normal((40, 3))
    figures = score(real, real + 5)
    assert figures["precision"] == figures["coverage"] == 0
    assert figures["frechet"] == pytest.approx(75)
    with pytest.raises(ValueError, match="40 images and 4 generated images are too few"):
        score(real, real[:4])
    assert nearest(real, real[[7, 3]]).tolist() == [7, 3]


@pytest.mark.parametrize("size", [32, 64, 128])
def test_shapes(size: int) -> None:
    gan = Gan(GanSpec(size=size, latent=8, width=2), 3, GanLossSpec())
    labels = torch.tensor([0, 2])
    pictures = gan.generator(torch.randn(2, 8), labels)
    assert pictures.shape == (2, 3, size, size)
    assert pictures.abs().max() <= 1
    assert gan.discriminator(pictures, labels).shape == (2,)


def test_both_networks_know_the_class() -> None:
    generator, judge = Generator(SMALL, 2), Discriminator(SMALL, 2, normalised=False)
    nn.init.normal_(generator.norms[0].scale.weight)
    latents = torch.randn(1, 8).repeat(2, 1)
    made = generator.eval()(latents, torch.tensor([0, 1]))
    assert not torch.allclose(made[0], made[1])
    photo = torch.randn(1, 3, 32, 32).repeat(2, 1, 1, 1)
    assert judge(photo, torch.tensor([0, 1])).diff() != 0


@pytest.mark.slow
def test_spectral_norm_holds_each_layer() -> None:
    free, held = (Discriminator(SMALL, 2, normalised=on) for on in (False, True))
    for network, limit in ((free, False), (held, True)):
        for layer in (*network.downs, network.last, network.of_class):
            with torch.no_grad():
                if limit:
                    layer.parametrizations.weight.original.mul_(50)
                else:
                    layer.weight.mul_(50)
            for _ in range(200):  # Each use of the weight is one power iteration.
                weight = layer.weight
            norm = float(torch.linalg.matrix_norm(weight.detach().flatten(1), ord=2))
            assert (norm == pytest.approx(1, abs=0.02)) == limit


def test_losses_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.5]), torch.tensor([-3.0, 0.0])
    assert discriminator_loss(real, fake, "hinge") == pytest.approx((0 + 0.5) / 2 + (0 + 1) / 2)
    assert generator_loss(fake, "hinge") == pytest.approx(1.5)
    by_hand = -np.log(1 / (1 + np.exp([3.0, 0.0]))).mean()
    assert generator_loss(fake, "logistic") == pytest.approx(by_hand)
    assert undecided_loss("hinge") == 2
    assert undecided_loss("logistic") == pytest.approx(2 * np.log(2))


def test_r1_of_a_linear_discriminator() -> None:
    """Its slope is its weight, everywhere."""
    gan = Gan(SMALL, 2, GanLossSpec(r1=4.0, r1_every=8, diff_augment=()))
    weight = nn.Parameter(torch.randn(3, 32, 32))

    class Linear(nn.Module):
        def forward(self, pictures: Tensor, labels: Tensor) -> Tensor:
            return (pictures * weight).sum(dim=(1, 2, 3))

    gan.discriminator = Linear()  # type: ignore[assignment]
    penalty = gan.slope_penalty(torch.randn(5, 3, 32, 32), torch.zeros(5, dtype=torch.int64))
    squared = float(weight.detach().square().sum())
    assert float(penalty.detach()) == pytest.approx(4 / 2 * 8 * squared, rel=1e-5)
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert torch.allclose(gradient, 4 * 8 * weight)


def test_augmentation_is_differentiable_and_bounded() -> None:
    torch.manual_seed(0)
    pictures = torch.rand(64, 3, 32, 32) + 0.5
    assert torch.equal(augment(pictures, ()), pictures)
    for policy in ("translation", "cutout", "colour"):
        given = pictures.clone().requires_grad_()
        changed = augment(given, (policy,))
        assert changed.shape == pictures.shape
        assert not torch.equal(changed, pictures)
        changed.sum().backward()
        assert given.grad.abs().sum() > 0
    shifted = augment(pictures, ("translation",))
    empty = (shifted == 0).all(dim=1).float()
    assert float(empty.all(dim=2).sum(dim=1).max()) == 4, "rows by an eighth at most"
    assert float(empty.all(dim=1).sum(dim=1).max()) == 4, "and columns"
    first = shifted[:, :, 4:-4, 4:-4]
    moved = any(
        torch.equal(first[0], pictures[0, :, 4 + y : 28 + y, 4 + x : 28 + x])
        for y in range(-4, 5)
        for x in range(-4, 5)
    )
    assert moved, "nothing but a shift"
    holes = (augment(pictures, ("cutout",)) == 0).all(dim=1).sum(dim=(1, 2))
    assert int(holes.max()) == 16 * 16
    assert int(holes.min()) >= 8 * 8
    turned = mirror_some(pictures)
    mirrored = [torch.equal(t, p.flip(2)) for t, p in zip(turned, pictures, strict=True)]
    kept = [torch.equal(t, p) for t, p in zip(turned, pictures, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert 10 < sum(mirrored) < 54


def test_real_and_generated_are_augmented_and_the_generator_gets_no_gradient_of_the_judge() -> (
    None
):
    gan = Gan(SMALL, 2, GanLossSpec(diff_augment=("cutout",)))
    seen: list[Tensor] = []
    gan.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    labels = torch.tensor([0, 1])
    fakes = gan.generator(torch.randn(2, 8), labels)
    loss, real, fake = gan.judge(torch.ones(2, 3, 32, 32), fakes, labels)
    assert real.shape == fake.shape == (2,)
    loss.backward()
    assert all(p.grad is None for p in gan.generator.parameters())
    gan.persuade(fakes, labels).backward()
    assert all(p.grad is not None for p in gan.generator.parameters())
    for pictures in seen:
        assert ((pictures == 0).all(dim=1).sum(dim=(1, 2)) >= 64).all(), "a hole in each"


@pytest.mark.slow
def test_it_learns_what_the_classes_look_like() -> None:
    """Two classes of one colour each, red and blue."""
    torch.manual_seed(0)
    gan = Gan(SMALL, 2, GanLossSpec(diff_augment=("translation",)))
    optimizers = [
        torch.optim.Adam(network.parameters(), 5e-3, (0.0, 0.9))
        for network in (gan.generator, gan.discriminator)
    ]
    labels = torch.arange(8) % 2
    colours = torch.tensor([[0.8, -0.8, -0.8], [-0.8, -0.8, 0.8]])
    photos = colours[labels][..., None, None].expand(-1, -1, 32, 32)
    for _ in range(180):
        fakes = gan.generator(torch.randn(8, 8), labels)
        loss, _, _ = gan.judge(photos, fakes, labels)
        optimizers[1].zero_grad()
        loss.backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        gan.persuade(fakes, labels).backward()
        optimizers[0].step()
    means = fakes.detach().mean(dim=(2, 3))
    red, blue = means[labels == 0].mean(dim=0), means[labels == 1].mean(dim=0)
    assert red[0] > red[2] + 0.2
    assert blue[2] > blue[0] + 0.2


def test_the_watch_says_why() -> None:
    over, fair = Window(0.99, 0.01, 0.02, 3.0, 0.8), Window(0.6, 0.4, 1.2, 0.8, 0.8)
    watch = Watch(30, undecided=2.0)
    assert not any(watch.look(w, 10) for w in (over, over, fair, over, over))
    later = Watch(30, undecided=2.0)
    later.load_state_dict(watch.state_dict())
    why = later.look(over, 10)
    assert "the discriminator is saturated: for 30 steps" in why
    assert "D(real) 0.990, D(fake) 0.010" in why
    alike = fair._replace(variety=0.01)
    watch = Watch(20, undecided=2.0)
    assert not watch.look(alike, 10)
    assert "the generator has collapsed" in watch.look(alike, 10)
    never = Watch(0, undecided=2.0)
    assert not any(never.look(over, 1000) for _ in range(5))


def test_variety_by_hand() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    photos = torch.tensor([-1.0, 1.0, 4.0, 8.0])[:, None, None, None].expand(4, 3, 2, 2)
    halved = torch.tensor([10.0, 11.0, -1.0, -3.0])[:, None, None, None].expand(4, 3, 2, 2)
    assert float(variety(halved, photos, labels, 2)) == pytest.approx(0.5)
    constant = torch.tensor([10.0, 10.0, -3.0, -3.0])[:, None, None, None].expand(4, 3, 2, 2)
    assert float(variety(constant, photos, labels, 3)) == 0
    assert float(variety(constant, photos, torch.arange(4), 4)) == 1


def test_pictures_are_functions_of_seed_class_and_number() -> None:
    torch.manual_seed(1)
    generator = Generator(SMALL, 3).eval()
    few = generate(generator, np.array([2, 0]), 5, "cpu").astype(int)
    many = generate(generator, np.array([0, 0, 2, 1]), 5, "cpu").astype(int)
    assert few.shape == (2, 32, 32, 3)
    assert np.abs(few - many[[2, 0]]).max() <= 1  # Of 255: batches of other sizes round otherwise.
    assert not torch.equal(make_latents(5, [0], [0], 8), make_latents(6, [0], [0], 8))
    assert numbers_of(np.array([1, 0, 1, 1, 0])).tolist() == [0, 0, 1, 2, 1]
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_bytes(from_bytes(levels)), levels)


@pytest.mark.slow
def test_arms_are_compared_seed_by_seed_and_photo_by_photo() -> None:
    base = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], dtype=bool)
    better = np.array([[1, 1, 1, 0], [1, 1, 0, 0]], dtype=bool)
    rows = compare({"real": base, "both": better})
    assert rows[0].top1.mean == pytest.approx(0.375)
    assert (rows[0].gain.mean, rows[0].gain.low) == (0, 0)
    # .5 and .25: the standard error is .125, and Student's t of one degree of freedom 12.706.
    assert rows[0].top1.low == pytest.approx(0.375 - 12.7062 * 0.125, abs=1e-4)
    assert rows[1].gain == pytest.approx((0.25, 0.25, 0.25))
    assert rows[1].gain_over_photos.mean == pytest.approx(0.25)
    assert rows[1].gain_over_photos.low == 0
    assert compare({"one": base[:1]})[0].top1 == (0.5, None, None)
    with pytest.raises(ValueError, match="arm 'both' has 2 runs on 3 images"):
        compare({"real": base, "both": better[:, :3]})


def test_weights_with_their_card(tmp_path: Any) -> None:
    torch.manual_seed(2)
    generator, classes = Generator(SMALL, 2).eval(), ClassMap((0, 1), ("cat", "dog"))
    card = make_card(SMALL, classes, "drawn")
    state = {f"generator.{name}": value for name, value in generator.state_dict().items()}
    save_weights(tmp_path / "g.safetensors", state, card)
    again, read = load_generator(tmp_path / "g.safetensors")
    assert read == card
    labels = np.array([0, 1])
    made = [generate(g, labels, 0, "cpu") for g in (generator, again)]
    assert np.array_equal(*made)
    other = Card("classification", {}, card.flavour, classes)
    save_weights(tmp_path / "c.safetensors", state, other)
    with pytest.raises(ValueError, match=r"are for classification; images are generated by"):
        load_generator(tmp_path / "c.safetensors")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GanSpec(size=48), "--size 48: choose one of 32, 64, 128"),
        (lambda: GanSpec(latent=0), "--latent 0 must be 1 or more"),
        (lambda: GanLossSpec(r1=-1), "--r1 -1 must be 0 or more"),
        (lambda: GanFitSpec(lr_generator=0), "--lr-generator 0 must be above 0"),
        (lambda: GanFitSpec(beta1=1), "--beta1 1 is not in"),
        (lambda: GanFitSpec(epochs=0), "--epochs 0 must be 1 or more"),
    ],
)
def test_impossible_numbers(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
