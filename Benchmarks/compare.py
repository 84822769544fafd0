"""Runs the benchmark's cases with our binary and with PyTorch in turn, A B A B, and prints medians, ratios and spread.

Both programs stay alive over a case and take turns, one unit of work each (the smallest cases a few), so that a machine whose speed drifts treats them alike.
Every PyTorch mode is run; the fastest by median counts.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

here = os.path.dirname(os.path.abspath(__file__))
bench = os.path.join(here, ".build/release/ddpm-bench")
command = os.path.join(here, "../.build/release/ddpm")
modes = ["eager", "channels_last", "compile"]

# Units of work in one turn, of which the median counts: where one takes milliseconds, the other side's threads are still spinning
# when it begins.
units_per_turn = {
    "denoise-mnist-1": 25, "denoise-mnist-8": 15, "denoise-mnist-64": 5, "denoise-cifar10-1": 5, "denoise-cifar10-8": 3, "train-mnist-64": 3,
    "sample-mnist-1": 3}

# name, batch, rounds
cases = [
    ("train-cifar10", 8, 5), ("train-cifar10", 32, 2), ("train-mnist", 64, 9),
    ("denoise-cifar10", 1, 9), ("denoise-cifar10", 8, 7), ("denoise-cifar10", 64, 2),
    ("denoise-mnist", 1, 15), ("denoise-mnist", 8, 15), ("denoise-mnist", 64, 9),
    ("sample-mnist", 1, 5), ("sample-mnist", 8, 5), ("sample-mnist", 64, 2),
    ("sample-cifar10", 1, 3), ("sample-cifar10", 8, 1),
]


class Server:
    def __init__(self, *arguments):
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self.process.stdout.readline().strip()
        if line != "ready":
            raise RuntimeError(f"{' '.join(arguments)}: did not start")
        self.times = []

    def turn(self, units):
        times = []
        for _ in range(units):
            self.process.stdin.write("unit\n")
            self.process.stdin.flush()
            times.append(float(self.process.stdout.readline()))
        self.times.append(statistics.median(times))

    def close(self):
        """Ends the process; its peak resident memory in MiB."""
        with open(f"/proc/{self.process.pid}/status") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        self.process.communicate("quit\n")
        return peak / 1024

    @property
    def median(self):
        return statistics.median(self.times)


def spread(times):
    return f"{min(times):.3g}–{max(times):.3g}"


def run_case(name, batch, rounds, names):
    ours = Server(bench, name, str(batch))
    theirs = {}
    for mode in names:
        try:
            theirs[mode] = Server(sys.executable, os.path.join(here, "pytorch.py"), name, str(batch), mode)
        except RuntimeError as error:
            print(f"  {error}", file=sys.stderr)
    units = units_per_turn.get(f"{name}-{batch}", 1)
    for _ in range(rounds):
        for mode in theirs:
            ours.turn(units)
            theirs[mode].turn(units)
    best = min(theirs, key=lambda mode: theirs[mode].median)
    pairs = [a / b for a, b in zip(theirs[best].times, ours.times)]
    result = dict(
        case=name, batch=batch, ours_ms=ours.median, ours_spread=spread(ours.times), pytorch_ms=theirs[best].median,
        pytorch_spread=spread(theirs[best].times), mode=best, ratio=theirs[best].median / ours.median, pair_ratios=spread(pairs),
        modes={mode: server.median for mode, server in theirs.items()})
    result["ours_mib"] = ours.close()
    result["pytorch_mib"] = min(server.close() for server in theirs.values())
    return result


def compare_precisions(name, batch, rounds):
    """A row of our float32 and our bfloat16 in turn."""
    ours = [Server(bench, name, str(batch), precision) for precision in ("float32", "bfloat16")]
    for _ in range(max(rounds, 3)):
        for server in ours:
            server.turn(units_per_turn.get(f"{name}-{batch}", 1))
    pairs = spread([a / b for a, b in zip(*(server.times for server in ours))])
    times = [f"{server.median:.4g} ({spread(server.times)})" for server in ours]
    ratio = ours[0].median / ours[1].median
    memory = [f"{server.close():.0f}" for server in ours]
    return f"| {name}, batch {batch} | {' | '.join(times)} | **{ratio:.2f}×** {pairs} | {' | '.join(memory)} |"


def whole_process(arguments, environment=None):
    """Seconds and peak MiB of a process from start to end."""
    start = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(arguments)}: exit status {status}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def startup(model, rounds):
    """From the start of the process to an image after one denoising step."""
    script = (
        "import sys, torch\nfrom diffusers import DDIMPipeline\n"
        "p = DDIMPipeline.from_pretrained(sys.argv[1]); p.set_progress_bar_config(disable=True)\n"
        "p(batch_size=1, num_inference_steps=1).images[0].save(sys.argv[2])\n")
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = [], []
        us = [command, "sample", model, "--count", "1", "--sampler", "ddim", "--steps", "1", "--out", folder + "/a.png"]
        them = [sys.executable, "-c", script, model, folder + "/b.png"]
        whole_process(us), whole_process(them)
        for _ in range(rounds):
            ours.append(whole_process(us))
            theirs.append(whole_process(them))
    a, b = (statistics.median(t for t, _ in runs) for runs in (ours, theirs))
    return dict(
        case="start-up to first step", batch=1, ours_ms=a * 1e3, ours_spread=spread([t * 1e3 for t, _ in ours]), pytorch_ms=b * 1e3,
        pytorch_spread=spread([t * 1e3 for t, _ in theirs]), mode="eager", ratio=b / a, pair_ratios="",
        ours_mib=max(m for _, m in ours), pytorch_mib=min(m for _, m in theirs))


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo") as info:
        memory = int(info.readline().split()[1]) >> 20
    # Not imported here: a child's peak memory would begin with this process's.
    versions = subprocess.check_output(
        [sys.executable, "-c", "import diffusers, torch; print(torch.__version__, diffusers.__version__)"], text=True).split()
    return (f"{model}, {len(os.sched_getaffinity(0))} cores, {memory} GiB; Linux {platform.release()}; "
            f"PyTorch {versions[0]}, diffusers {versions[1]}")


def row(r):
    name = r["case"] + (f", batch {r['batch']}" if "-" in r["case"] and not r["case"].startswith("start") else "")
    return (f"| {name} | {r['ours_ms']:.4g} ({r['ours_spread']}) | {r['pytorch_ms']:.4g} ({r['pytorch_spread']}) {r['mode']} "
            f"| **{r['ratio']:.1f}×** {r['pair_ratios']} | {r['ours_mib']:.0f} | {r['pytorch_mib']:.0f} | {r['pytorch_mib'] / r['ours_mib']:.1f}× |")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--only", default="", help="cases whose name contains this")
parser.add_argument("--modes", default=",".join(modes), help="PyTorch modes to run")
parser.add_argument("--model", help="a pipeline directory, for the start-up case")
parser.add_argument("--json", help="also write the results here")
parser.add_argument("--precisions", action="store_true", help="our float32 and our bfloat16 in turn, without PyTorch")
arguments = parser.parse_args()

if arguments.precisions:
    print("| case | float32, ms (spread) | bfloat16, ms (spread) | ratio, pair by pair | float32, MiB | bfloat16, MiB |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, batch, rounds in cases:
        if arguments.only in f"{name}-{batch}":
            print(compare_precisions(name, batch, rounds), flush=True)
    sys.exit()

print(f"{machine()}; {time.strftime('%Y-%m-%d')}\n", flush=True)
print("| case | ours, ms (spread) | PyTorch's best, ms (spread) | ratio, pair by pair | ours, MiB | PyTorch, MiB | ratio |")
print("|---|---|---|---|---|---|---|", flush=True)
results = []
for name, batch, rounds in cases:
    if arguments.only in f"{name}-{batch}":
        results.append(run_case(name, batch, rounds, arguments.modes.split(",")))
        print(row(results[-1]), flush=True)
if arguments.model and arguments.only in "startup":
    results.append(startup(arguments.model, 5))
    print(row(results[-1]), flush=True)
if arguments.json:
    with open(arguments.json, "w") as file:
        json.dump(results, file, indent=2)
