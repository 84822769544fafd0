"""PyTorch and diffusers on one GPU, on the work of `xla-check train` and `xla-check sample`. Prints rows of a Markdown table.

usage: pytorch_gpu.py WORK:BATCH:STEPS,… PRECISION/MODE,…

WORK is train or sample; PRECISION bfloat16 (autocast) or TF32; MODE eager, default or reduce-overhead (torch.compile, without and with
CUDA graphs). Memory is channels_last throughout. All is compiled first, and timed after the gate (gate.py).
"""
import statistics
import sys
import time

import torch
from diffusers import DDIMScheduler

import gate
import networks

device = torch.device("cuda")
torch.backends.cudnn.benchmark = True
# All that is prepared stays compiled.
torch._dynamo.config.recompile_limit = 64
torch._dynamo.config.automatic_dynamic_shapes = False
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True


def timed(unit):
    torch.cuda.synchronize()
    start = time.perf_counter()
    unit()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def training(network, parameters, batch, narrow):
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


def sampling(network, batch, steps, narrow):
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


prepared = []
for precision, mode in (way.split("/") for way in sys.argv[2].split(",")):
    for work, batch, steps in ((w, int(b), int(s)) for w, b, s in (unit.split(":") for unit in sys.argv[1].split(","))):
        row = f"| PyTorch, {mode}, {precision} | {work} {batch} "
        try:
            narrow = precision == "bfloat16"
            torch.cuda.reset_peak_memory_stats()
            held = torch.cuda.memory_allocated()
            model = networks.cifar10().to(device, memory_format=torch.channels_last)
            network = model if mode == "eager" else torch.compile(model, mode=mode)
            if work == "train":
                unit = training(network, list(model.parameters()), batch, narrow)
            else:
                unit = sampling(network, batch, steps, narrow)
            start = time.perf_counter()
            for _ in range(3):
                timed(unit)
            warm = time.perf_counter() - start
            peak = (torch.cuda.max_memory_allocated() - held) >> 20
            prepared.append((row + f"| {warm:.0f} | {peak} |", work, batch, steps, unit))
        except Exception as error:  # one mode that fails says so and leaves the others
            print(row + f"| failed: {str(error).splitlines()[0][:200]} |", flush=True)

gate.wait()
print(f"PyTorch {torch.__version__} on {torch.cuda.get_device_name()}")
for row, work, batch, steps, unit in prepared:
    times = [timed(unit) for _ in range(steps + 3 if work == "train" else 6)][3:]
    median = statistics.median(times)
    figure = f"{median:.2f} ({min(times):.2f})" if work == "train" else f"{median / 1e3:.3f} s, {batch / median * 1e3:.0f} images/s"
    print(f"{row} {figure} |", flush=True)
