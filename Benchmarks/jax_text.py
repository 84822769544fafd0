"""Times a program that `xla-check emit` wrote under JAX's own runtime: the same text, the same compiler. It is compiled first, and timed
after the gate (gate.py).

usage: jax_text.py FILE STEPS
"""
import re
import statistics
import sys
import time

import jax
import numpy as np
from jax._src import compiler
from jax._src.interpreters import mlir as jax_mlir
from jax._src.lib import xla_client
from jaxlib.mlir import ir

import gate

text, steps = open(sys.argv[1]).read(), int(sys.argv[2])
device = jax.devices()[0]
options = compiler.get_compile_options(num_replicas=1, num_partitions=1)
start = time.perf_counter()
with jax_mlir.make_ir_context():
    module = ir.Module.parse(text)
    executable = compiler.backend_compile_and_load(
        device.client, module, xla_client.DeviceList((device,)), options, [])
print(f"JAX {jax.__version__} on {device.device_kind}: compiled in {time.perf_counter() - start:.0f} s")

head = text[text.index("@main("):text.index("->")]
arguments, donated = [], []
for number, match in enumerate(re.finditer(r"%\w+: tensor<([^>]*)>( \{tf.aliasing_output = (\d+))?", head)):
    *shape, element = match[1].split("x")
    shape = tuple(map(int, shape))
    value = np.ones(shape, np.int32) if element == "i32" else np.random.default_rng(number).normal(0, 0.05, shape).astype(np.float32)
    arguments.append(jax.device_put(np.abs(value), device))
    if match[3]:
        donated.append((number, int(match[3])))
gate.wait()
times = []
for _ in range(steps):
    start = time.perf_counter()
    results = executable.execute(arguments)
    np.asarray(results[-1])
    times.append((time.perf_counter() - start) * 1e3)
    for number, result in donated:
        arguments[number] = results[result]
late = times[3:] or times
print(f"| JAX, {sys.argv[1]} | {statistics.median(late):.2f} ({min(late):.2f}) |")
