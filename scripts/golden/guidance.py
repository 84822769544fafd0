#!/usr/bin/env python3
"""Golden values of Tests/DiffusionTests/Golden/guidance.json: diffusers' guidance and its rescale_noise_cfg, in float64.

Needs: pip install numpy
Usage: guidance.py OUT_DIR
"""
import json, sys
import numpy as np

random = np.random.default_rng(0)


def rescale_noise_cfg(noise_cfg, noise_pred_text, guidance_rescale):
    """As diffusers/pipelines/stable_diffusion/pipeline_stable_diffusion.py; torch's std divides by n - 1."""
    axes = tuple(range(1, noise_cfg.ndim))
    std_text = noise_pred_text.std(axis=axes, keepdims=True, ddof=1)
    std_cfg = noise_cfg.std(axis=axes, keepdims=True, ddof=1)
    noise_pred_rescaled = noise_cfg * (std_text / std_cfg)
    return guidance_rescale * noise_pred_rescaled + (1 - guidance_rescale) * noise_cfg


conditional = random.standard_normal((3, 2, 3, 3)).astype(np.float32)
unconditional = (0.8 * conditional + 0.3 * random.standard_normal((3, 2, 3, 3)) - 0.1).astype(np.float32)
c, u = conditional.astype(np.float64), unconditional.astype(np.float64)
cases = []
for scale in (0, 0.5, 1.5, 3, 7.5):
    for rescale in (0, 0.3, 0.7, 1):
        guided = u + scale * (c - u)
        if rescale > 0: guided = rescale_noise_cfg(guided, c, rescale)
        cases.append({"scale": scale, "rescale": rescale, "guided": [round(x, 9) for x in guided.ravel().tolist()]})
doc = {"conditional": conditional.ravel().tolist(), "unconditional": unconditional.ravel().tolist(), "cases": cases}
json.dump(doc, open(f"{sys.argv[1]}/guidance.json", "w"))
