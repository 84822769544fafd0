"""The network once, by OpenVINO or ONNX Runtime, as a server like ddpm-bench.

usage: engines.py CASE BATCH ENGINE     CASE: denoise-…; ENGINE: openvino, openvino-bf16, onnxruntime

Prints `ready`, then for each line on standard input runs the network once and prints the milliseconds.
"""
import os
import subprocess
import sys
import tempfile

import numpy as np

import serving

case, batch, engine = sys.argv[1:]
threads = len(os.sched_getaffinity(0))  # the engines count a machine's, also where this process may use but some of them
with tempfile.TemporaryDirectory() as folder:
    # By another process, whose memory is not the engine's.
    subprocess.run([sys.executable, os.path.join(os.path.dirname(__file__), "export.py"), case, batch, folder], check=True, stdout=sys.stderr)
    file = os.path.join(folder, "network.onnx")
    with np.load(os.path.join(folder, "example.npz")) as example:
        inputs, expected = {name: example[name] for name in ["sample", "timestep"]}, example["expected"]
    if engine.startswith("openvino"):
        import openvino

        hint = "bf16" if engine.endswith("bf16") else "f32"
        compiled = openvino.Core().compile_model(file, "CPU", {
            "INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads})
        request = compiled.create_infer_request()

        def unit():
            request.infer(inputs, share_inputs=True, share_outputs=True)
            return request.get_output_tensor(0).data
    else:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

        def unit():
            return session.run(None, inputs)[0]

    # What computes something else is no peer. Rounded to bfloat16, a network of random weights is up to 5% off at its worst pixel.
    error = float(abs(unit() - expected).max() / abs(expected).max())
    if error > (0.1 if engine.endswith("bf16") else 1e-3):
        sys.exit(f"{engine} is {error:.2g} off")
unit()
serving.serve(unit)
