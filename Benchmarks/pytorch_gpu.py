"""PyTorch and diffusers on one GPU, on the work of `xla-check train` and `xla-check sample`. Prints rows of a Markdown table.

usage: pytorch_gpu.py [train|sample] BATCH STEPS [PRECISION/MODE,…]

Modes: channels_last throughout; eager, compiled, and compiled with CUDA graphs; products of bfloat16 (autocast) and of TF32.
"""
import statistics
import sys
import time

import torch
from diffusers import DDIMScheduler

import networks

work, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
wanted = sys.argv[4].split(",") if len(sys.argv) > 4 else None
device = torch.device("cuda")
torch.backends.cudnn.benchmark = True


def timed(unit):
    torch.cuda.synchronize()
    start = time.perf_counter()
    unit()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def training(network, parameters, narrow):
    x0 = (torch.rand(batch, 3, 32, 32, device=device) * 2 - 1).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(parameters, lr=2e-4, fused=True)
    average = [p.detach().clone() for p in parameters]
    signal = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0).float().to(device)
    t = torch.tensor([i * 999 // batch for i in range(batch)], device=device)

    def unit():
        noise = torch.randn_like(x0)
        level = signal[t].view(-1, 1, 1, 1)
        with torch.autocast("cuda", torch.bfloat16, enabled=narrow):
            output = network(level.sqrt() * x0 + (1 - level).sqrt() * noise, t).sample
        networks.update(((output.float() - noise) ** 2).mean(), parameters, optimizer, average, decay=0.9999)

    return unit


def sampling(network, narrow):
    scheduler = DDIMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    scheduler.set_timesteps(steps)

    @torch.no_grad()
    def unit():
        x = torch.randn(batch, 3, 32, 32, device=device).to(memory_format=torch.channels_last)
        for t in scheduler.timesteps:
            with torch.autocast("cuda", torch.bfloat16, enabled=narrow):
                output = network(x, t.to(device)).sample
            x = scheduler.step(output.float(), t, x).prev_sample

    return unit


print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}")
for narrow in (True, False):
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    for mode in ("eager", "default", "reduce-overhead"):
        if wanted and f"{'bfloat16' if narrow else 'TF32'}/{mode}" not in wanted:
            continue
        try:
            torch._dynamo.reset()
            torch.cuda.reset_peak_memory_stats()
            model = networks.cifar10().to(device, memory_format=torch.channels_last)
            network = model if mode == "eager" else torch.compile(model, mode=mode)
            unit = training(network, list(model.parameters()), narrow) if work == "train" else sampling(network, narrow)
            start = time.perf_counter()
            for _ in range(3):
                timed(unit)
            warm = time.perf_counter() - start
            times = [timed(unit) for _ in range(steps if work == "train" else 3)]
            median = statistics.median(times)
            peak = torch.cuda.max_memory_allocated() >> 20
            figure = f"{median:.2f} ({min(times):.2f})" if work == "train" else f"{median / 1e3:.3f} s, {batch / median * 1e3:.0f} images/s"
            print(f"| PyTorch, {mode}, {'bfloat16' if narrow else 'TF32'} | {warm:.0f} | {peak} | {figure} |", flush=True)
            del model, network, unit
        except Exception as error:  # one mode that fails says so and leaves the others
            print(f"| PyTorch, {mode}, {'bfloat16' if narrow else 'TF32'} | failed: {str(error).splitlines()[0][:200]} |", flush=True)
