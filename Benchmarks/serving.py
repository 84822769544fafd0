"""What the benchmark's Python programs have in common: a case by its name, and one unit of work for each line that asks for it."""
import sys
import time

import networks


def network(case):
    """The network of a case such as denoise-mnist, and the side of its images."""
    return (networks.cifar10(), 32) if case.endswith("cifar10") else (networks.mnist(), 28)


def serve(unit):
    """Prints `ready`, then for each line on standard input does one unit of work and prints its milliseconds."""
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        start = time.perf_counter()
        unit()
        print((time.perf_counter() - start) * 1e3, flush=True)
