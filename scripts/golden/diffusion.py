#!/usr/bin/env python3
"""Golden values of Tests/DiffusionTests/Golden, computed by diffusers (its tables replaced by float64 ones), numpy and mpmath.

Needs: pip install numpy torch diffusers mpmath
Usage: diffusion.py OUT_DIR
"""
import json, math, sys
import mpmath as mp
import numpy as np
import torch
import diffusers
from diffusers.schedulers.scheduling_ddim import rescale_zero_terminal_snr

torch.set_default_dtype(torch.float64)
SHAPE = (2, 1, 4, 4)


def betas64(c):
    """The float64 tables that diffusers would have, had it not rounded them to float32."""
    T, a, b = c["num_train_timesteps"], c["beta_start"], c["beta_end"]
    name = c["beta_schedule"]
    if name == "linear": betas = np.linspace(a, b, T)
    elif name == "scaled_linear": betas = np.linspace(a ** .5, b ** .5, T) ** 2
    elif name == "sigmoid": betas = 1 / (1 + np.exp(-np.linspace(-6, 6, T))) * (b - a) + a
    elif name == "squaredcos_cap_v2":
        f = lambda u: math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2
        betas = np.array([min(1 - f((i + 1) / T) / f(i / T), 0.999) for i in range(T)])
    elif name == "laplace":
        def f(u):
            snr = math.exp(-0.5 * math.copysign(1, 0.5 - u) * math.log(1 - 2 * abs(0.5 - u) + 1e-6))
            return math.sqrt(snr / (1 + snr))
        betas = np.array([min(1 - f((i + 1) / T) / f(i / T), 0.999) for i in range(T)])
    betas = torch.tensor(betas)
    return rescale_zero_terminal_snr(betas) if c.get("rescale_betas_zero_snr") else betas


def network(x, t, learned):
    """Any smooth function of (x, t) serves: both sides compute it. t counts from 0."""
    y = t / 1000 * x + 0.2 * torch.sin(3 * x + t / 100)
    return torch.cat([y, torch.sin(2 * x + t / 300)], 1) if learned else y


def write_schedules(out):
    doc = {}
    for name in ("linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"):
        c = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02, beta_schedule=name, rescale_betas_zero_snr=True)
        doc[f"zero_snr/{name}"] = betas64(c).tolist()
    T = 200
    doc["laplace"] = betas64(dict(num_train_timesteps=T, beta_start=0, beta_end=0, beta_schedule="laplace")).tolist()
    doc["const"] = (0.02 * np.ones(T)).tolist()
    doc["jsd"] = (1.0 / np.linspace(T, 1, T)).tolist()
    for name, fraction in (("warmup10", .1), ("warmup50", .5)):
        b = 0.02 * np.ones(T); n = int(T * fraction); b[:n] = np.linspace(1e-4, 0.02, n); doc[name] = b.tolist()
    doc["linear/rescaled"] = np.linspace(1e-4 * 1000 / T, 0.02 * 1000 / T, T).tolist()
    json.dump(doc, open(f"{out}/schedules.json", "w"))


def write_timesteps(out):
    """[n, count, sum, sum of (i + 1) t_i] of the lists that diffusers visits, t counted from 0; short ones in full."""
    rows = []
    for T in (1000, 100):
        for spacing in ("leading", "linspace", "trailing"):
            for kind, cls in (("levels", diffusers.DDIMScheduler), ("intervals", diffusers.DPMSolverMultistepScheduler)):
                for offset in (0, 1) if spacing == "leading" else (0,):
                    s = cls(num_train_timesteps=T, timestep_spacing=spacing, steps_offset=offset)
                    ns = [n for n in list(range(1, 121)) + [125, 128, 200, 243, 250, 256, 300, 333, 334, 400, 499, 500, 512, 625, 666, 750, 900, 999, 1000] if n <= T]
                    lists = []
                    for n in ns:
                        s.set_timesteps(n); t = s.timesteps.long().tolist()
                        lists.append([n, len(t), sum(t), sum((i + 1) * v for i, v in enumerate(t)), min(t), max(t), len(set(t))])
                    s.set_timesteps(13)
                    rows.append(dict(T=T, spacing=spacing, counting=kind, offset=offset, lists=lists, thirteen=s.timesteps.long().tolist()))
    json.dump(rows, open(f"{out}/timesteps.json", "w"))


def write_runs(out):
    rng = np.random.default_rng(0)
    draw = lambda: np.round(rng.normal(size=SHAPE), 3)
    D, I, M = diffusers.DDPMScheduler, diffusers.DDIMScheduler, diffusers.DPMSolverMultistepScheduler
    runs = [
        ("ddpm-fixed_large", D, 50, dict(variance_type="fixed_large"), {}),
        ("ddpm-fixed_small-trailing", D, 20, dict(variance_type="fixed_small", timestep_spacing="trailing"), {}),
        ("ddpm-learned_range-linspace", D, 25, dict(variance_type="learned_range", timestep_spacing="linspace"), {}),
        ("ddpm-v-zero_snr-trailing", D, 20, dict(prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"), {}),
        ("ddpm-sample-clip0.8-scaled_linear", D, 20, dict(prediction_type="sample", clip_sample_range=0.3, beta_schedule="scaled_linear"), {}),
        ("ddpm-thresholding-cosine", D, 20, dict(thresholding=True, sample_max_value=1.5, dynamic_thresholding_ratio=0.9, beta_schedule="squaredcos_cap_v2"), {}),
        ("ddpm-T100-all", D, 100, dict(num_train_timesteps=100, clip_sample=False), {}),
        ("ddim-eta0", I, 20, {}, dict(eta=0.0)),
        ("ddim-eta0.5", I, 20, {}, dict(eta=0.5)),
        ("ddim-eta1-rederived", I, 20, {}, dict(eta=1.0, use_clipped_model_output=True)),
        ("ddim-alpha0-offset1", I, 20, dict(set_alpha_to_one=False, steps_offset=1, clip_sample=False), dict(eta=0.0)),
        ("ddim-alpha0", I, 10, dict(set_alpha_to_one=False), dict(eta=0.0)),
        ("ddim-sample-trailing", I, 25, dict(prediction_type="sample", timestep_spacing="trailing"), dict(eta=0.3)),
        ("ddim-v-zero_snr-trailing", I, 25, dict(prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"), dict(eta=0.0)),
        ("dpm-20", M, 20, {}, {}),
        ("dpm-8-lower_order_final", M, 8, {}, {}),
        ("dpm-order1", M, 10, dict(solver_order=1), {}),
        ("dpm-heun-sigma_min", M, 18, dict(solver_type="heun", final_sigmas_type="sigma_min"), {}),
        ("dpm-sigma_min-9", M, 9, dict(final_sigmas_type="sigma_min"), {}),
        ("dpm-sigma_min-euler", M, 16, dict(final_sigmas_type="sigma_min", euler_at_final=True), {}),
        ("dpm-trailing", M, 10, dict(timestep_spacing="trailing", lower_order_final=False), {}),
        ("dpm-leading-offset1", M, 12, dict(timestep_spacing="leading", steps_offset=1), {}),
        ("dpm-v-zero_snr-trailing", M, 20, dict(prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"), {}),
        ("dpm-sample-thresholding", M, 15, dict(prediction_type="sample", thresholding=True, sample_max_value=1.2), {}),
        ("dpm-cosine-clipped", M, 15, dict(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1), {}),
        ("inverse-20", diffusers.DDIMInverseScheduler, 20, dict(clip_sample=False), {}),
        ("heun-10", diffusers.HeunDiscreteScheduler, 10, dict(beta_schedule="linear", beta_start=1e-4, beta_end=0.02), {}),
        ("euler-10", diffusers.EulerDiscreteScheduler, 10, dict(beta_schedule="linear", beta_start=1e-4, beta_end=0.02), {}),
    ]
    import diffusers.schedulers.scheduling_ddpm as sd, diffusers.schedulers.scheduling_ddim as si
    doc = []
    for name, cls, n, cfg, kw in runs:
        s = cls(**cfg)
        b = betas64(s.config); s.betas = b; s.alphas = 1 - b; s.alphas_cumprod = torch.cumprod(s.alphas, 0); s.one = torch.tensor(1.0)
        if cls is I: s.final_alpha_cumprod = torch.tensor(1.0) if s.config.set_alpha_to_one else s.alphas_cumprod[0]
        if cls is M:
            if s.config.rescale_betas_zero_snr: s.alphas_cumprod[-1] = 2 ** -24
            s.alpha_t = s.alphas_cumprod ** .5; s.sigma_t = (1 - s.alphas_cumprod) ** .5; s.lambda_t = torch.log(s.alpha_t) - torch.log(s.sigma_t)
        noises = []
        def tape(shape, **k):
            z = torch.tensor(draw()); noises.append(z.flatten().tolist()); return z
        sd.randn_tensor = si.randn_tensor = tape
        s.set_timesteps(n)
        if cls is M: s.sigmas = s.sigmas.double()
        x = torch.tensor(draw()); xT = x.flatten().tolist()
        sigma_form = name.startswith(("heun", "euler"))
        if sigma_form: x = x * (s.sigmas[0] ** 2 + 1) ** .5        # x_T to x̄ = x/√ᾱ
        learned = s.config.get("variance_type") == "learned_range"
        for t in s.timesteps:
            xin = s.scale_model_input(x, t) if sigma_form else x
            tt = t.double() if torch.is_tensor(t) else torch.tensor(float(t))
            x = s.step(network(xin.double(), tt, learned), t, x, **kw).prev_sample
        text = s.to_json_string()
        doc.append(dict(name=name, config=text, n=n, initial=xT, noise=noises, final=x.double().flatten().tolist(),
                        timesteps=[int(t) for t in s.timesteps], **kw))
    json.dump(doc, open(f"{out}/runs.json", "w"))


def write_normal(out):
    mp.mp.dps = 250
    Phi = lambda z: mp.erfc(-z / mp.sqrt(2)) / 2
    log_cdf = [[z, float(mp.log(Phi(mp.mpf(z))))] for z in
               [-1e4, -1000., -100., -40., -38.5, -37., -20.5, -20., -19.5, -10., -5., -1.5, -1., -0.5, 0., 0.5, 0.99, 1., 1.01, 2., 5., 8., 10., 20., 37.]]
    rows = []
    for logs in (-10., -7., -4., -2., 0., 1., 3.):
        for mean in (-30., -1.5, -1., -0.3, 0., 0.004, 0.7, 1., 2., 50.):
            for k in (0, 1, 60, 127, 128, 200, 254, 255):
                x = mp.mpf(k) / mp.mpf("127.5") - 1; m = mp.mpf(mean); s = mp.e ** mp.mpf(logs)
                a = -mp.inf if k == 0 else (x - mp.mpf(1) / 255 - m) / s
                b = mp.inf if k == 255 else (x + mp.mpf(1) / 255 - m) / s
                if a > 0: a, b = -b, -a                        # mirror: the lower tail keeps its digits
                tails = (Phi(a) if a > -mp.inf else 0) + (Phi(-b) if b < mp.inf else 0)
                log_p = mp.log1p(-tails) if b > 0 else mp.log(Phi(b) - (Phi(a) if a > -mp.inf else 0))
                rows.append([k, mean, logs, float(log_p)])
    json.dump({"log_cdf": log_cdf, "decoder": rows}, open(f"{out}/normal.json", "w"))


if __name__ == "__main__":
    out = sys.argv[1]
    write_schedules(out); write_timesteps(out); write_runs(out); write_normal(out)
