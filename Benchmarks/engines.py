"""The network once, by OpenVINO or ONNX Runtime, as a server like ddpm-bench.

usage: engines.py CASE BATCH ENGINE     CASE: denoise-…; ENGINE: openvino, openvino-bf16, onnxruntime

The network goes to ONNX by PyTorch's own exporter. Prints `ready`, then for each line on standard input runs it once and prints the
milliseconds.
"""
import os
import sys
import tempfile
import warnings

import torch

import serving

case, batch, engine = sys.argv[1], int(sys.argv[2]), sys.argv[3]
model, side = serving.network(case)
model.eval()


class Prediction(torch.nn.Module):
    """The network's output as a tensor, which exporters want."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, sample, timestep):
        return self.network(sample, timestep).sample


x0 = torch.rand(batch, model.config.in_channels, side, side) * 2 - 1
t = torch.full((batch,), 500)
with tempfile.TemporaryDirectory() as folder:
    file = os.path.join(folder, "network.onnx")
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        expected = Prediction(model)(x0, t).numpy()
        torch.onnx.export(Prediction(model), (x0, t), file, input_names=["sample", "timestep"], opset_version=17, dynamo=False)
    inputs = {"sample": x0.numpy(), "timestep": t.numpy()}
    if engine.startswith("openvino"):
        import openvino

        hint = "bf16" if engine.endswith("bf16") else "f32"
        compiled = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "LATENCY"})
        request = compiled.create_infer_request()

        def unit():
            request.infer(inputs, share_inputs=True, share_outputs=True)
            return request.get_output_tensor(0).data
    else:
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])

        def unit():
            return session.run(None, inputs)[0]

    # What computes something else is no peer.
    error = float(abs(unit() - expected).max() / abs(expected).max())
    if error > (0.05 if engine.endswith("bf16") else 1e-3):
        sys.exit(f"{engine} is {error:.2g} off")
unit()
serving.serve(unit)
