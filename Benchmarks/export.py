"""Writes a network of the benchmark to ONNX by PyTorch's own exporter, with an input and what PyTorch makes of it.

usage: export.py CASE BATCH FOLDER     writes network.onnx, and example.npz of sample, timestep and expected
"""
import os
import sys
import warnings

import numpy as np
import torch

import networks

case, batch, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
model, side = networks.of(case)
model.eval()


class Prediction(torch.nn.Module):
    """The network's output as a tensor, which exporters want."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, sample, timestep):
        return self.network(sample, timestep).sample


sample = torch.rand(batch, model.config.in_channels, side, side) * 2 - 1
timestep = torch.full((batch,), 500)
with warnings.catch_warnings(), torch.inference_mode():
    warnings.simplefilter("ignore")
    expected = Prediction(model)(sample, timestep)
    torch.onnx.export(
        Prediction(model), (sample, timestep), os.path.join(folder, "network.onnx"), input_names=["sample", "timestep"], opset_version=17,
        dynamo=False)
np.savez(os.path.join(folder, "example.npz"), sample=sample.numpy(), timestep=timestep.numpy(), expected=expected.numpy())
