"""Runs the benchmark's cases with our binary and with others in turn, A B A B, and prints medians, ratios and spread.

The programs stay alive over a case and take turns, one unit of work each (the smallest cases a few), so that a machine whose speed drifts treats them alike.
There are two classes, each with a table: what computes in 32 bits, and what rounds products to bfloat16. Of the others of a class all are run, and the
fastest by median counts.
"""
import argparse
import importlib.metadata
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
# PyTorch's modes, and engines that run a trained network only.
peers = {
    "float32": ["eager", "channels_last", "compile", "openvino", "onnxruntime"],
    "bfloat16": ["eager-bf16", "channels_last-bf16", "compile-bf16", "openvino-bf16"],
}
engines = {"openvino", "onnxruntime", "openvino-bf16"}

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
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        self.times = []

    def starts(self):
        """Waits until it is ready; whether it is. Where it is not, says why."""
        if self.process.stdout.readline().strip() == "ready":
            return True
        self.errors.seek(0)
        print(f"  {' '.join(self.process.args)}: {(self.errors.read().splitlines() or ['did not start'])[-1]}", file=sys.stderr)
        return False

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


def ready(*arguments):
    """One of our programs."""
    server = Server(bench, *arguments)
    if not server.starts():
        sys.exit(1)
    return server


def run_case(name, batch, rounds, precision, names):
    """A row of ours and the others in turn; None where no other does this work."""
    # Alone, while it times its algorithms; the others choose theirs without a stopwatch and start all at once.
    ours = ready(name, str(batch), precision)
    programs = {mode: "engines.py" if mode in engines else "pytorch_cpu.py" for mode in names if mode not in engines or name.startswith("denoise")}
    theirs = {mode: Server(sys.executable, os.path.join(here, program), name, str(batch), mode) for mode, program in programs.items()}
    theirs = {mode: server for mode, server in theirs.items() if server.starts()}
    if not theirs:
        ours.close()
        return None
    units = units_per_turn.get(f"{name}-{batch}", 1)
    for _ in range(rounds):
        for mode in theirs:
            ours.turn(units)
            theirs[mode].turn(units)
    best = min(theirs, key=lambda mode: theirs[mode].median)
    # Ours has a turn before each of theirs.
    before = ours.times[list(theirs).index(best)::len(theirs)]
    pairs = [a / b for a, b in zip(theirs[best].times, before)]
    result = dict(
        case=f"{name}, batch {batch}", precision=precision, ours_ms=ours.median, ours_spread=spread(ours.times), best_ms=theirs[best].median,
        best_spread=spread(theirs[best].times), mode=best, ratio=theirs[best].median / ours.median, pair_ratios=spread(pairs),
        others={mode: server.median for mode, server in theirs.items()})
    result["ours_mib"] = ours.close()
    result["least_mib"] = min(server.close() for server in theirs.values())
    return result


def compare_precisions(name, batch, rounds):
    """A row of our float32 and our bfloat16 in turn."""
    ours = [ready(name, str(batch), precision) for precision in ("float32", "bfloat16")]
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
        case="start-up to first step", precision="float32", ours_ms=a * 1e3, ours_spread=spread([t * 1e3 for t, _ in ours]), best_ms=b * 1e3,
        best_spread=spread([t * 1e3 for t, _ in theirs]), mode="eager", ratio=b / a, pair_ratios="",
        others={"eager": b * 1e3}, ours_mib=max(m for _, m in ours), least_mib=min(m for _, m in theirs))


def machine():
    with open("/proc/cpuinfo") as info:
        model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.machine())
    with open("/proc/meminfo") as info:
        memory = int(info.readline().split()[1]) >> 20
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ["torch", "diffusers", "openvino", "onnxruntime"])
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {memory} GiB; Linux {platform.release()}; {versions}"


def row(r):
    others = ", ".join(f"{mode} {time / r['ours_ms']:.1f}×" for mode, time in r["others"].items() if mode != r["mode"])
    return (f"| {r['case']} | {r['ours_ms']:.4g} ({r['ours_spread']}) | {r['best_ms']:.4g} ({r['best_spread']}) {r['mode']} "
            f"| **{r['ratio']:.1f}×** {r['pair_ratios']} | {others} | {r['ours_mib']:.0f} | {r['least_mib']:.0f} | {r['least_mib'] / r['ours_mib']:.1f}× |")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--only", default="", help="cases whose name contains this")
parser.add_argument("--modes", help="others to run, of " + ", ".join(m for names in peers.values() for m in names))
parser.add_argument("--precision", choices=list(peers), help="one class of the two")
parser.add_argument("--rounds", type=int, default=15, help="at most so many turns of each a case")
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
results = []
for precision, names in peers.items():
    if arguments.precision not in (None, precision):
        continue
    if arguments.modes:
        names = [name for name in names if name in arguments.modes.split(",")]
    print(f"\n{precision}\n\n| case | ours, ms (spread) | the best other, ms (spread) | ratio, pair by pair | the rest | ours, MiB | the least other, MiB | ratio |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for name, batch, rounds in cases:
        if arguments.only in f"{name}-{batch}" and (result := run_case(name, batch, min(rounds, arguments.rounds), precision, names)):
            results.append(result)
            print(row(result), flush=True)
    if arguments.model and arguments.only in "startup" and precision == "float32":
        results.append(startup(arguments.model, 5))
        print(row(results[-1]), flush=True)
if arguments.json:
    with open(arguments.json, "w") as file:
        json.dump(results, file, indent=2)
