"""One case of the benchmark in PyTorch and diffusers, as a server like ddpm-bench.

usage: pytorch.py CASE BATCH MODE     MODE: eager, channels_last, compile; with -bf16: under autocast to bfloat16

Prints `ready`, then for each line on standard input does one unit of work and prints its milliseconds.
"""
import sys

import torch
from diffusers import DDIMScheduler

import networks
import serving

case, batch, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
narrow, mode = mode.endswith("-bf16"), mode.removesuffix("-bf16")
model, side = serving.network(case)
channels = model.config.in_channels
x0 = torch.rand(batch, channels, side, side) * 2 - 1
if mode == "channels_last":
    model = model.to(memory_format=torch.channels_last)
    x0 = x0.to(memory_format=torch.channels_last)
network = torch.compile(model) if mode == "compile" else model

if case.startswith("train"):
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr=2e-4)
    average = [p.detach().clone() for p in parameters]
    alphas_cumprod = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0).float()
    t = torch.tensor([i * 999 // max(1, batch) for i in range(batch)])

    def unit():
        noise = torch.randn_like(x0)
        a = alphas_cumprod[t].view(-1, 1, 1, 1)
        xt = a.sqrt() * x0 + (1 - a).sqrt() * noise
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            output = network(xt, t).sample
        loss = ((output.float() - noise) ** 2).mean()
        networks.update(loss, parameters, optimizer, average, decay=0.999)
else:
    model.eval()
    scheduler = DDIMScheduler(num_train_timesteps=1000, beta_schedule="linear")

    def predict(x, t):
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            return network(x, t).sample.float()

    @torch.inference_mode()
    def unit():
        if case.startswith("denoise"):
            return predict(x0, 500)
        scheduler.set_timesteps(50)
        x = x0
        for t in scheduler.timesteps:
            x = scheduler.step(predict(x, t), t, x).prev_sample

unit()
unit()
serving.serve(unit)
