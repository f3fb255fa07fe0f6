"""Guided diffusion: single steps against formulas, whole runs against a plain loop."""

import pytest
import torch
from torch import nn

from lightning_inpaint.noise import ChainStreams, Purpose
from lightning_inpaint.optim import ChainContext, Diffusion, PluginDiffusion
from lightning_inpaint.optim.guided import clip_gradient


class Quadratic:
    """E = |A u - y|^2 per chain, and its gradient, as a closure over a parameter."""

    def __init__(self, n=3, d=5, dtype=torch.float64):
        random = torch.Generator().manual_seed(1)
        self.a = torch.randn(4, d, generator=random, dtype=dtype)
        self.y = torch.randn(n, 4, generator=random, dtype=dtype)
        self.u = nn.Parameter(torch.randn(n, d, generator=random, dtype=dtype))
        self.streams = ChainStreams.grid(3, [f"p{i}" for i in range(n)], 1)

    def energy(self, u):
        return (u @ self.a.T - self.y).square().sum(dim=1)

    def gradient(self, u):
        return 2 * (u @ self.a.T - self.y) @ self.a

    def closure(self):
        self.u.grad = self.gradient(self.u.detach())
        return self.energy(self.u.detach())

    def group(self):
        return [{"params": [self.u], "context": ChainContext(self.streams)}]


def test_one_step_is_the_closed_form_update():
    toy = Quadratic()
    before = toy.u.detach().clone()
    sampler = PluginDiffusion(toy.group(), steps=500, temp=0.7, xstart_temp=0.4, clip_std=1.5)
    sampler.step(toy.closure)

    betas = torch.linspace(1e-4, 0.02, 500, dtype=torch.float64)
    abar = torch.prod(1 - betas)
    xi = toy.streams.normal(0, 5, Purpose.SAMPLE, torch.float64)
    start = abar.sqrt() * before + (1 - abar).sqrt() * 0.4 * xi
    grad = abar.sqrt() * toy.gradient(start)
    grad = grad * torch.clamp(1.5 / grad.std(dim=1, keepdim=True), max=1)
    eps = toy.streams.normal(0, 5, Purpose.STEP, torch.float64)
    expected = (1 - betas[-1]).sqrt() * before - betas[-1] * grad / 0.7 + betas[-1].sqrt() * eps
    assert torch.allclose(toy.u.detach(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("over", ["picture", "batch"])
def test_the_whole_seed_preset_is_the_plain_loop(over):
    """A loop written from DESIGN's formulas, with the same noise, ends in the same latents."""
    toy = Quadratic(dtype=torch.float32)
    u = toy.u.detach().clone()
    sampler = PluginDiffusion(toy.group(), num_samples=2, xstart_temp=1.0, clip_over=over)
    for _ in range(sampler.steps):
        sampler.step(toy.closure)

    betas = torch.linspace(1e-4, 0.02, 500, dtype=torch.float64)
    abars = torch.cumprod(1 - betas, dim=0)
    for k in range(500):
        t = 499 - k
        grad = torch.zeros_like(u)
        for j in range(2):
            xi = toy.streams.normal(2 * k + j, 5, Purpose.SAMPLE)
            leaf = u.clone().requires_grad_(True)
            start = float(abars[t]) ** 0.5 * leaf + (1 - float(abars[t])) ** 0.5 * xi
            grad += torch.autograd.grad(-toy.energy(start).sum(), leaf)[0] / 2
        std = grad.std(dim=1, keepdim=True) if over == "picture" else grad.std()
        grad = torch.where(std > 5.0, grad * 5.0 / std, grad)
        eps = toy.streams.normal(k, 5)
        beta = float(betas[t])
        u = (1 - beta) ** 0.5 * u + beta * grad + beta**0.5 * eps
    assert torch.allclose(toy.u.detach(), u, rtol=1e-4, atol=1e-4)


def test_zero_temperature_is_gradient_descent_on_energy_plus_prior():
    """sqrt(1 - b) u - b grad E / temp is SGD at rate b whose weight decay is (1 - sqrt(1 - b)) / b."""
    toy, twin = Quadratic(), Quadratic()
    sampler = PluginDiffusion(toy.group(), steps=50, temp=2.0, clip_std=None, temperature=0.0)
    for k in range(50):
        beta = float(sampler.schedule.betas[k])
        abar = float(sampler.schedule.alphas_bar[k])
        decay = (1 - (1 - beta) ** 0.5) / beta
        descent = torch.optim.SGD([twin.u], lr=beta, weight_decay=decay)
        loss = twin.energy(abar**0.5 * twin.u).sum() / 2.0
        twin.u.grad = torch.autograd.grad(loss, twin.u)[0]
        descent.step()
        sampler.step(toy.closure)
    assert torch.allclose(toy.u, twin.u, rtol=0, atol=1e-12)


def test_inflated_guidance_widens_the_likelihood():
    toy = Quadratic()
    before = toy.u.detach().clone()
    sampler = Diffusion(toy.group(), steps=3, noise_std=0.5, spread=2.0, temperature=0.0)
    sampler.step(toy.closure)
    beta, abar = sampler.schedule.betas[0], sampler.schedule.alphas_bar[0]
    grad = abar.sqrt() * toy.gradient(abar.sqrt() * before)
    expected = (1 - beta).sqrt() * before - beta * grad / (2 * (0.25 + (1 - abar) * 4))
    assert torch.allclose(toy.u.detach(), expected, rtol=0, atol=1e-12)


def test_logmeanexp_is_the_gradient_of_the_log_of_the_mean_likelihood():
    toy = Quadratic()
    before = toy.u.detach().clone()
    sampler = Diffusion(toy.group(), 4, "logmeanexp", num_samples=6, noise_std=1.5, temperature=0.0)
    sampler.step(toy.closure)
    beta, abar = sampler.schedule.betas[0], sampler.schedule.alphas_bar[0]
    leaf = before.clone().requires_grad_(True)
    draws = [toy.streams.normal(k, 5, Purpose.SAMPLE, torch.float64) for k in range(6)]
    starts = [abar.sqrt() * leaf + (1 - abar).sqrt() * xi for xi in draws]
    log_mean = torch.logsumexp(torch.stack([-toy.energy(x) / 4.5 for x in starts]), dim=0)
    (guidance,) = torch.autograd.grad(log_mean.sum(), leaf)
    expected = (1 - beta).sqrt() * before + beta * guidance
    assert torch.allclose(toy.u.detach(), expected, rtol=0, atol=1e-10)


def test_clipping_per_picture_leaves_small_gradients_alone():
    grad = torch.stack([torch.linspace(-1, 1, 8), torch.linspace(-100, 100, 8)])
    clipped = clip_gradient(grad, 5.0, "picture")
    assert torch.equal(clipped[0], grad[0])
    assert float(clipped[1].std()) == pytest.approx(5.0, rel=1e-5)
    assert float(clip_gradient(grad, 5.0, "batch").std()) == pytest.approx(5.0, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"temp": -1.0}, "temp must be positive, got -1.0"),
        ({"temperature": -0.5}, "temperature must not be negative, got -0.5"),
        ({"xstart_temp": -0.5}, "xstart_temp must not be negative"),
        ({"num_samples": 0}, "num_samples must be at least 1"),
        ({"clip_std": 0.0}, "clip_std must be positive"),
        ({"clip_over": "row"}, "'row'"),
        ({"beta_end": 1.5}, "beta_end must lie in"),
    ],
)
def test_bad_settings_are_quoted(options, text):
    with pytest.raises(ValueError, match=text):
        PluginDiffusion(Quadratic().group(), **options)


def test_stepping_past_the_schedule_is_refused():
    toy = Quadratic()
    sampler = PluginDiffusion(toy.group(), steps=1)
    sampler.step(toy.closure)
    with pytest.raises(RuntimeError, match="1 steps"):
        sampler.step(toy.closure)


def test_settings_are_kept_where_torch_keeps_them():
    sampler = Diffusion(Quadratic().group(), steps=3, noise_std=0.2)
    assert sampler.defaults["noise_std"] == 0.2
