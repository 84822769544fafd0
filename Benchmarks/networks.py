"""The two networks of the benchmark in diffusers, as ddpm-bench and the presets build them, and the work that is done with them."""
import torch
from diffusers import DDIMScheduler, UNet2DModel

paper = dict(downsample_padding=0, flip_sin_to_cos=False, freq_shift=1, norm_eps=1e-6, attention_head_dim=None)


def cifar10():
    return UNet2DModel(
        sample_size=32, in_channels=3, out_channels=3, block_out_channels=(128, 256, 256, 256), layers_per_block=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"), **paper)


def mnist():
    return UNet2DModel(
        sample_size=28, in_channels=1, out_channels=1, block_out_channels=(32, 64, 64), layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"), **paper)


def of(case):
    """The network of a case such as denoise-mnist, and the side of its images."""
    return (cifar10(), 32) if case.endswith("cifar10") else (mnist(), 28)


class Optimizer:
    """Adam, with gradients clipped to norm 1 and a moving average of the weights."""

    def __init__(self, parameters, rate):
        self.parameters = list(parameters)
        self.adam = torch.optim.Adam(self.parameters, lr=rate, fused=True)
        self.average = [p.detach().clone() for p in self.parameters]

    def update(self, loss, decay):
        """Backward and one step."""
        self.adam.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.adam.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)


def training(network, x0, narrow):
    """One step of training, with noise drawn anew; under autocast to bfloat16 where it is narrow."""
    optimizer = Optimizer(network.parameters(), rate=2e-4)
    signal = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0).float().to(x0.device)
    t = torch.arange(len(x0), device=x0.device) * 999 // len(x0)

    def unit():
        noise = torch.randn_like(x0)
        level = signal[t].view(-1, 1, 1, 1)
        with torch.autocast(x0.device.type, torch.bfloat16, enabled=narrow):
            output = network(level.sqrt() * x0 + (1 - level).sqrt() * noise, t).sample
        optimizer.update(((output.float() - noise) ** 2).mean(), decay=0.999)

    return unit


def sampling(predict, start, steps):
    """DDIM from noise, with predict(x, t) for ε."""
    scheduler = DDIMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    scheduler.set_timesteps(steps)

    def unit():
        x = start
        for t in scheduler.timesteps:
            x = scheduler.step(predict(x, t.to(x.device)), t, x).prev_sample

    return unit
