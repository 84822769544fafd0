#!/usr/bin/env python3
"""Loads pipelines that we wrote in Hugging Face diffusers and compares with our numbers. Run by check-diffusers.sh.

For each directory, in which our dissipation.json lies too: DDPMPipeline.from_pretrained must log no warning, parameters must have our names in our order, and the
output and every gradient must agree with PyTorch's. Saving it again from Python must give the same bytes.
"""
import logging, pathlib, sys, tempfile, warnings

import diffusers, torch
from diffusers import DDPMPipeline
from safetensors import safe_open
from safetensors.torch import load_file

TOLERANCE = {"output": 1e-4, "grad": 1e-3}


class Messages(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage())


def rms(x):
    return x.double().square().mean().sqrt().item()


def check(directory, messages):
    problems = [] if (directory / "dissipation.json").exists() else ["dissipation.json was not written"]
    messages.texts.clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Without this diffusers recommends the package accelerate, whatever it loads.
        unet = DDPMPipeline.from_pretrained(directory, low_cpu_mem_usage=False).unet
    problems += [f"warning: {w.message}" for w in caught] + [f"log: {text}" for text in messages.texts]
    unet.eval()
    names = [name for name, _ in unet.named_parameters()]

    with tempfile.TemporaryDirectory() as copy:
        unet.save_pretrained(copy)
        for name in ("config.json", "diffusion_pytorch_model.safetensors"):
            ours, theirs = directory / "unet" / name, pathlib.Path(copy) / name
            # diffusers notes where it loaded a model from; that line is all that may differ.
            keep = lambda path: [line for line in path.read_bytes().split(b"\n") if b"_name_or_path" not in line and b"_diffusers_version" not in line]
            if keep(ours) != keep(theirs):
                problems.append(f"diffusers writes another {name}")

    worst = {}
    for backend in ("cpu", "reference"):
        path = directory / f"io.{backend}.safetensors"
        io = load_file(path)
        with safe_open(path, "pt") as file:
            if file.metadata()["parameters"].split() != names:
                problems.append("the order of parameters differs")
        labels = {"class_labels": io["class_labels"]} if "class_labels" in io else {}
        unet.zero_grad()
        output = unet(io["sample"], io["timestep"], **labels).sample
        ((output - io["target"]) ** 2).mean().backward()
        expected = {"output": output.detach()}
        expected |= {f"grad.{name}": p.grad for name, p in unet.named_parameters() if p.requires_grad}
        if missing := expected.keys() - io.keys():
            problems.append(f"not computed: {sorted(missing)}")
        typical = rms(torch.cat([g.flatten() for name, g in expected.items() if name != "output"]))
        for name, value in expected.items():
            if name not in io:
                continue
            kind = name.split(".")[0]
            if kind == "grad" and rms(value) < 1e-5 * typical:  # zero but for rounding
                if rms(io[name]) >= 1e-4 * typical:
                    problems.append(f"{backend}: {name} should be zero")
                continue
            error = rms(io[name] - value) / rms(value)
            worst[backend, kind] = max(worst.get((backend, kind), 0), error)
            if not error <= TOLERANCE[kind]:
                problems.append(f"{backend}: {name} is off by {error:.1e}")
    shown = ", ".join(f"{backend} {kind} {error:.1e}" for (backend, kind), error in worst.items())
    print(f"{'FAIL' if problems else 'ok  '} {directory.name}: {len(names)} tensors; {shown}")
    for problem in problems:
        print(f"     {problem}")
    return not problems


if __name__ == "__main__":
    torch.set_num_threads(1)
    messages = Messages()
    diffusers.utils.logging.set_verbosity_warning()
    diffusers.utils.logging.disable_progress_bar()
    logging.getLogger("diffusers").addHandler(messages)
    directories = sorted(path for path in pathlib.Path(sys.argv[1]).iterdir() if (path / "model_index.json").exists())
    print(f"diffusers {diffusers.__version__}, torch {torch.__version__}, {len(directories)} pipelines")
    results = [check(directory, messages) for directory in directories]
    sys.exit(0 if results and all(results) else 1)
