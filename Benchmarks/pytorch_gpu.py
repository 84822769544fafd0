"""PyTorch and diffusers on one GPU, on the work of `xla-check train` and `xla-check sample`. Prints rows of a Markdown table.

usage: pytorch_gpu.py WORK:BATCH:STEPS,… PRECISION/MODE,…

WORK is train or sample; PRECISION bfloat16 (autocast) or TF32; MODE eager, default or reduce-overhead (torch.compile, without and with
CUDA graphs). Memory is channels_last throughout. All is compiled first, and timed after the gate (gate.py).
"""
import statistics
import sys
import time

import torch

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
            x = (torch.rand(batch, 3, 32, 32, device=device) * 2 - 1).to(memory_format=torch.channels_last)

            def predict(x, t, network=network, narrow=narrow):
                with torch.autocast("cuda", torch.bfloat16, enabled=narrow):
                    return network(x, t).sample.float()

            if work == "train":
                unit = networks.training(network, x, narrow)
            else:
                unit = torch.no_grad()(networks.sampling(predict, x, steps))
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
