"""How long training takes to a given likelihood on MNIST: PyTorch and this program, one after the other, by the same recipe.

usage: likelihood.py MNIST_FOLDER [--steps 2000] [--ours 2000,8000] [--limit 64] [--initialization ddpm] [--out FOLDER]

The recipe is that of `ddpm train --preset mnist`: batches of 64, Adam at 1e-3 with 200 steps of warm-up and half a cosine, gradients clipped to 1,
an average of the weights. Both begin with the same weights, which this program draws; the order of the images, noise and t are each side's own.
Minutes are those of training alone, without start-up and files. Each model is then evaluated by `ddpm evaluate --variance fixed_small`: all 1,000
timesteps of the first test images.
"""
import argparse
import gzip
import json
import math
import os
import subprocess
import sys
import time

here = os.path.dirname(os.path.abspath(__file__))
command = os.path.join(here, "../.build/release/ddpm")
batch, rate, warmup = 64, 1e-3, 200


def images(folder):
    """The training images, (60000, 1, 28, 28) in [-1, 1]."""
    import torch
    path = os.path.join(folder, "train-images-idx3-ubyte")
    data = open(path, "rb").read() if os.path.exists(path) else gzip.open(path + ".gz").read()
    return torch.frombuffer(bytearray(data[16:]), dtype=torch.uint8).reshape(-1, 1, 28, 28).float() / 127.5 - 1


def train_pytorch(folder, steps, out, weights):
    """Trains from weights in a file, saves a pipeline; the minutes."""
    import torch
    from diffusers import DDPMPipeline, DDPMScheduler
    from safetensors.torch import load_file

    import networks
    torch.manual_seed(0)
    data, model = images(folder), networks.mnist()
    model.load_state_dict(load_file(weights))
    optimizer = networks.Optimizer(model.parameters(), rate)
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    epochs = -(-steps * batch // len(data))
    order = torch.cat([torch.randperm(len(data)) for _ in range(epochs)]).split(batch)
    start = time.perf_counter()
    for k in range(1, steps + 1):
        x0 = data[order[k - 1]]
        noise, t = torch.randn_like(x0), torch.randint(0, 1000, (batch,))
        loss = ((model(scheduler.add_noise(x0, noise, t), t).sample - noise) ** 2).mean()
        progress = max(0, k - warmup) / max(1, steps - warmup)
        for group in optimizer.adam.param_groups:
            group["lr"] = rate * min(k / warmup, 1) * 0.5 * (1 + math.cos(math.pi * progress))
        optimizer.update(loss, decay=min(0.999, (1 + k) / (10 + k)))
        if k == 1 or k % 500 == 0:
            print(f"  PyTorch: step {k}, loss {loss.item():.4f}, {(time.perf_counter() - start) / 60:.1f} min", file=sys.stderr)
    minutes = (time.perf_counter() - start) / 60
    with torch.no_grad():
        for parameter, value in zip(optimizer.parameters, optimizer.average):
            parameter.copy_(value)
    DDPMPipeline(model, scheduler).save_pretrained(out)
    return minutes


def train_ours(folder, steps, out):
    """The same by this program, which keeps its first weights as checkpoint 0."""
    subprocess.run(
        [command, "train", "--preset", "mnist", "--data", folder, "--steps", str(steps), "--sample-every", "0", "--checkpoint-every", str(steps),
         "--initialization", arguments.initialization, "--out", out, "--force"], check=True, stdout=subprocess.DEVNULL)
    with open(os.path.join(out, "metrics.jsonl")) as lines:
        return json.loads(lines.readlines()[-1])["seconds"] / 60


def evaluate(model, folder, limit):
    path = os.path.join(model, "bound.json")
    subprocess.run(
        [command, "evaluate", model, "--data", folder, "--limit", str(limit), "--variance", "fixed_small", "--json", path], check=True,
        stdout=subprocess.DEVNULL)
    with open(path) as file:
        return json.load(file)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder")
parser.add_argument("--steps", type=int, default=2000, help="of PyTorch")
parser.add_argument("--ours", default="2000,8000", help="of this program, one run each")
parser.add_argument("--limit", type=int, default=64, help="test images")
parser.add_argument("--initialization", default="ddpm", choices=["ddpm", "diffusers"], help="first weights: the paper's, or PyTorch's")
parser.add_argument("--out", default="runs/likelihood", help="where the models go")
arguments = parser.parse_args()
if arguments.limit < 2:
    parser.error("--limit: one image has no standard error; at least 2")

print("| trained by | steps | minutes | bits/dim |")
print("|---|---|---|---|", flush=True)


def row(name, steps, minutes, model):
    bound = evaluate(model, arguments.folder, arguments.limit)
    print(f"| {name} | {steps:,} | {minutes:.1f} | {bound['bits_per_dim']:.3f} ± {bound['bits_per_dim_standard_error']:.3f} |", flush=True)


for steps in [int(steps) for steps in arguments.ours.split(",") if steps]:
    model = os.path.join(arguments.out, f"ours-{steps}")
    row("ddpm", steps, train_ours(arguments.folder, steps, model), model)
if arguments.steps:
    model = os.path.join(arguments.out, f"pytorch-{arguments.steps}")
    first = os.path.join(arguments.out, "first")
    train_ours(arguments.folder, 1, first)
    weights = os.path.join(first, "checkpoints/step-00000000/weights.safetensors")
    row("PyTorch", arguments.steps, train_pytorch(arguments.folder, arguments.steps, model, weights), model)
