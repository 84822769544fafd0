"""One case of the benchmark in PyTorch and diffusers, as a server like ddpm-bench.

usage: pytorch_cpu.py CASE BATCH MODE

MODE: eager, channels_last or compile; followed by -bf16, training is under autocast to bfloat16, and else the network is held in it.
Prints `ready`, then for each line on standard input does one unit of work and prints its milliseconds.
"""
import sys

import torch

import networks
import serving

case, batch, mode = sys.argv[1], int(sys.argv[2]), sys.argv[3]
narrow, mode = mode.endswith("-bf16"), mode.removesuffix("-bf16")
model, side = networks.of(case)
x = torch.rand(batch, model.config.in_channels, side, side) * 2 - 1
if mode == "channels_last":
    model = model.to(memory_format=torch.channels_last)
    x = x.to(memory_format=torch.channels_last)
network = torch.compile(model) if mode == "compile" else model

if case.startswith("train"):
    unit = warm = networks.training(network, x, narrow)
else:
    model.eval()
    dtype = torch.bfloat16 if narrow else torch.float32
    model.to(dtype)
    if mode == "compile":
        import torch._inductor.config

        # Weights that stay as they are may be laid out as it likes.
        torch._inductor.config.freezing = True

    def predict(x, t):
        return network(x.to(dtype), t).sample.float()

    warm = torch.inference_mode()(lambda: predict(x, torch.tensor(500)))
    unit = warm if case.startswith("denoise") else torch.inference_mode()(networks.sampling(predict, x, steps=50))

warm()
warm()
serving.serve(unit)
