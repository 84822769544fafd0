"""What the benchmark's Python servers have in common: one unit of work for each line that asks for it."""
import sys
import time


def serve(unit):
    """Prints `ready`, then for each line on standard input does one unit of work and prints its milliseconds."""
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "quit":
            break
        start = time.perf_counter()
        unit()
        print((time.perf_counter() - start) * 1e3, flush=True)
