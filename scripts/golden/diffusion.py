#!/usr/bin/env python3
"""Golden values of Tests/DiffusionTests/Golden and Tests/DiffusersTests/Golden, computed by diffusers (its tables replaced by float64
ones), numpy, scipy and mpmath.

Needs: pip install numpy scipy mpmath torch==2.* diffusers==0.42.1
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
                        timesteps=[int(t) for t in dict.fromkeys(s.timesteps.tolist())], **kw))
    doc += solver_runs(draw)
    json.dump(doc, open(f"{out}/runs.json", "w"))


class InDouble:
    """A module whose float32 is float64: diffusers then computes in Double throughout."""
    def __init__(self, module, double): self.module, self.float32 = module, double
    def __getattr__(self, name): return getattr(self.module, name)


def solver_runs(draw):
    """Whole runs in Double. "matches" marks those in which diffusers' rule is off, so that it has to be asked for."""
    names = "DDPM DDIM DPMSolverMultistep DPMSolverSinglestep UniPCMultistep PNDM DEISMultistep LMSDiscrete EulerDiscrete EulerAncestralDiscrete HeunDiscrete"
    D, I, M, S, U, P, E, L, Eu, A, H = [getattr(diffusers, f"{n}Scheduler") for n in names.split()]
    sigma_form = (L, Eu, A, H)
    v0 = dict(prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing")
    vcos = dict(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2")
    linear = dict(beta_start=1e-4, beta_end=0.02)
    karras, exponential, beta = [{f"use_{k}_sigmas": True} for k in ("karras", "exponential", "beta")]
    runs = [
        ("dpm-karras", M, 15, karras, {}, False),
        ("dpm-exponential-floored", M, 12, exponential, {}, True),
        ("dpm-beta-floored-heun", M, 12, dict(beta, solver_type="heun"), {}, True),
        ("dpm-karras-cosine-floored", M, 12, dict(vcos, **karras), {}, True),
        ("dpm-v-cosine", M, 15, vcos, {}, False),
        ("dpm-order3", M, 20, dict(solver_order=3), {}, True),
        ("dpm-order3-8", M, 8, dict(solver_order=3, solver_type="heun"), {}, True),
        ("dpm-order3-karras-sigma_min", M, 15, dict(karras, solver_order=3, final_sigmas_type="sigma_min"), {}, True),
        ("sde-16", M, 16, dict(algorithm_type="sde-dpmsolver++"), {}, False),
        ("sde-heun-sigma_min-8", M, 8, dict(algorithm_type="sde-dpmsolver++", solver_type="heun", final_sigmas_type="sigma_min"), {}, False),
        ("sde-order1-trailing", M, 10, dict(algorithm_type="sde-dpmsolver++", solver_order=1, timestep_spacing="trailing"), {}, False),
        ("sde-karras-euler_at_final", M, 10, dict(karras, algorithm_type="sde-dpmsolver++", euler_at_final=True), {}, False),
        ("sde-v-zero_snr", M, 8, dict(v0, algorithm_type="sde-dpmsolver++"), {}, False),
        ("2s-20", S, 20, {}, {}, False),
        ("2s-heun-9", S, 9, dict(solver_type="heun"), {}, False),
        ("2s-sigma_min-10", S, 10, dict(final_sigmas_type="sigma_min"), {}, False),
        ("2s-cosine-clipped", S, 12, dict(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1, lower_order_final=True), {}, False),
        ("2s-thresholding", S, 11, dict(prediction_type="sample", thresholding=True, sample_max_value=1.2), {}, False),
        ("3s-12", S, 12, dict(solver_order=3), {}, False),
        ("3s-heun-11", S, 11, dict(solver_order=3, solver_type="heun"), {}, False),
        ("3s-karras-13", S, 13, dict(karras, solver_order=3), {}, False),
        ("3s-v-cosine", S, 12, dict(vcos, solver_order=3, solver_type="heun"), {}, False),
        ("unipc-20", U, 20, {}, {}, False),
        ("unipc-order3-12", U, 12, dict(solver_order=3), {}, False),
        ("unipc-bh1-8", U, 8, dict(solver_type="bh1", final_sigmas_type="sigma_min"), {}, False),
        ("unipc-order1-sigma_min", U, 10, dict(solver_order=1, final_sigmas_type="sigma_min"), {}, False),
        ("unipc-uncorrected-leading", U, 10, dict(disable_corrector=[0, 1, 4], timestep_spacing="leading", steps_offset=1), {}, False),
        ("unipc-order3-bh1-sigma_min", U, 9, dict(solver_order=3, solver_type="bh1", lower_order_final=False, final_sigmas_type="sigma_min"), {}, False),
        ("unipc-v-zero_snr", U, 15, dict(v0, solver_order=3), {}, False),
        ("unipc-v-cosine", U, 15, vcos, {}, False),
        ("unipc-thresholding", U, 12, dict(prediction_type="sample", thresholding=True, sample_max_value=1.2), {}, False),
        ("unipc-karras", U, 10, dict(karras, sigma_min=0.02, sigma_max=90.0), {}, False),
        ("unipc-exponential-floored", U, 12, dict(exponential, final_sigmas_type="sigma_min"), {}, True),
        ("unipc-beta-floored", U, 10, beta, {}, True),
        ("pndm-20", P, 20, {}, {}, False),
        ("pndm-10-alpha1", P, 10, dict(set_alpha_to_one=True, beta_schedule="scaled_linear"), {}, False),
        ("plms-20", P, 20, dict(skip_prk_steps=True), {}, False),
        ("plms-25-offset1-alpha1", P, 25, dict(skip_prk_steps=True, steps_offset=1, set_alpha_to_one=True), {}, False),
        ("plms-trailing-8", P, 8, dict(skip_prk_steps=True, timestep_spacing="trailing", set_alpha_to_one=True), {}, False),
        ("deis-20", E, 20, {}, {}, True),
        ("deis-order3-12", E, 12, dict(solver_order=3), {}, True),
        ("deis-order3-trailing", E, 16, dict(solver_order=3, timestep_spacing="trailing"), {}, True),
        ("deis-order1", E, 10, dict(solver_order=1), {}, True),
        ("deis-v-cosine", E, 10, dict(vcos, lower_order_final=False), {}, True),
        ("deis-karras", E, 12, dict(karras, solver_order=3), {}, True),
        ("deis-beta-thresholding", E, 12, dict(beta, thresholding=True, sample_max_value=1.5), {}, True),
        ("lms-10", L, 10, {}, {}, False),
        ("lms-12-between", L, 12, {}, {}, True),
        ("lms-trailing-scaled", L, 10, dict(timestep_spacing="trailing"), {}, True),
        ("lms-leading-v-cosine", L, 10, dict(vcos, timestep_spacing="leading", steps_offset=1), {}, False),
        ("lms-karras", L, 10, karras, {}, False),
        ("lms-exponential-trailing", L, 12, dict(exponential, timestep_spacing="trailing"), {}, False),
        ("lms-beta", L, 12, beta, {}, False),
        ("euler-all", Eu, 1000, {}, {}, False),
        ("euler-15-between", Eu, 15, {}, {}, True),
        ("euler-1", Eu, 1, {}, {}, True),
        ("euler-sigma_min-trailing", Eu, 10, dict(timestep_spacing="trailing", final_sigmas_type="sigma_min"), {}, False),
        ("euler-v-zero_snr", Eu, 10, v0, {}, False),
        ("euler-sample-karras", Eu, 10, dict(karras, prediction_type="sample", sigma_min=0.03, sigma_max=50.0), {}, False),
        ("euler-exponential-leading", Eu, 10, dict(exponential, timestep_spacing="leading"), {}, False),
        ("euler-beta-v-cosine", Eu, 10, dict(vcos, **beta), {}, False),
        ("ancestral-10", A, 10, {}, {}, False),
        ("ancestral-12-between", A, 12, {}, {}, True),
        ("ancestral-v-zero_snr", A, 10, v0, {}, False),
        ("ancestral-leading-offset1", A, 8, dict(timestep_spacing="leading", steps_offset=1), {}, False),
        ("heun-7-between", H, 7, linear, {}, True),
        ("heun-karras", H, 8, dict(karras), {}, False),
        ("heun-v-cosine", H, 10, vcos, {}, False),
        ("heun-clipped-trailing", H, 8, dict(linear, clip_sample=True, clip_sample_range=0.7, timestep_spacing="trailing"), {}, False),
        ("heun-sample-beta", H, 8, dict(linear, prediction_type="sample", timestep_spacing="trailing", **beta), {}, False),
        ("heun-exponential-v", H, 8, dict(linear, prediction_type="v_prediction", **exponential), {}, False),
        ("ddim-linspace-stride", I, 20, dict(timestep_spacing="linspace"), dict(eta=0.0), True),
        ("ddim-trailing-stride", I, 12, dict(timestep_spacing="trailing", set_alpha_to_one=False), dict(eta=0.3), True),
        ("ddim-1", I, 1, {}, dict(eta=0.0), True),
        ("ddpm-fixed_large-noisy_end", D, 10, dict(variance_type="fixed_large", timestep_spacing="trailing"), {}, True),
        ("ddpm-learned_range-noisy_end", D, 8, dict(variance_type="learned_range", timestep_spacing="trailing"), {}, True),
    ]
    import scipy.integrate
    for cls in (D, I, M, S, U, P, E, L, Eu, A, H):
        module = sys.modules[cls.__module__]
        module.torch, module.np = InDouble(torch, torch.float64), InDouble(np, np.float64)
    quad = scipy.integrate.quad
    sys.modules[L.__module__].integrate = type("integrate", (), dict(quad=staticmethod(lambda f, a, b, epsrel: quad(f, float(a), float(b)))))
    doc = []
    for name, cls, n, cfg, kw, matches in runs:
        s = cls(**cfg)
        s.alphas_cumprod = torch.cumprod(1 - betas64(s.config), 0)
        if s.config.get("rescale_betas_zero_snr") and cls not in (D, I): s.alphas_cumprod[-1] = 2 ** -24
        if cls is S: s.lambda_t = 0.5 * torch.log(s.alphas_cumprod / (1 - s.alphas_cumprod))
        if cls in (I, P): s.final_alpha_cumprod = torch.tensor(1.0) if s.config.set_alpha_to_one else s.alphas_cumprod[0]
        noises = []
        def tape(shape, **k):
            z = torch.tensor(draw()); noises.append(z.flatten().tolist()); return z
        sys.modules[cls.__module__].randn_tensor = tape
        s.set_timesteps(n)
        x = torch.tensor(draw()); xT = x.flatten().tolist()
        # x_T to x̄ = x/√ᾱ; as diffusers itself does it where it is to be matched.
        if cls in sigma_form: x = x * (s.init_noise_sigma if matches else (s.sigmas[0] ** 2 + 1) ** .5)
        for t in s.timesteps:
            xin = s.scale_model_input(x, t) if cls in sigma_form else x
            x = s.step(network(xin, t.double(), s.config.get("variance_type") == "learned_range"), t, x, **kw).prev_sample
        final = x * s.alphas_cumprod[0] ** .5 if cls is Eu and s.config.final_sigmas_type == "sigma_min" else x
        told = s.timesteps.double().tolist()
        if cls is H: told = told[:1] + told[1::2]
        if cls is P: told = sorted(set(told), reverse=True) if s.config.skip_prk_steps else s._timesteps[::-1].tolist()
        doc.append(dict(name=name, config=s.to_json_string(), n=n, initial=xT, noise=noises, matches=matches,
                        final=[float(f"{v:.10g}") for v in final.flatten().tolist()],
                        timesteps=[] if n == 1000 else [round(t, 9) for t in told], **kw))
    for name, n, cfg, churn in (("edm-karras", 12, dict(linear, **karras), (30, 0.01, 1, 1.007)), ("edm-all", 10, linear, (2, 0, 1e6, 1.0))):
        s = H(**cfg)
        s.alphas_cumprod = torch.cumprod(1 - betas64(s.config), 0)
        doc.append(edm_run(name, s, n, churn, draw))
    return doc


def edm_run(name, s, n, churn, draw):
    """Algorithm 2 of Karras et al. 2022, written out, at the levels of diffusers' HeunDiscreteScheduler."""
    s.set_timesteps(n)
    sigmas = s.sigmas[[0] + list(range(1, 2 * n - 2, 2))].double().tolist()
    logs = np.log(np.array(((1 - s.alphas_cumprod) / s.alphas_cumprod) ** 0.5))
    noises = []
    def denoise(x, sigma):
        t = float(s._sigma_to_t(np.array([sigma]), logs)[0])
        return x - sigma * network(x / (sigma ** 2 + 1) ** .5, torch.tensor(t), False)
    xT = torch.tensor(draw())
    x = xT * (sigmas[0] ** 2 + 1) ** .5
    for sigma, following in zip(sigmas, sigmas[1:] + [0.0]):
        gamma = min(churn[0] / n, 2 ** .5 - 1) if churn[1] <= sigma <= churn[2] else 0
        hat = min(sigma * (1 + gamma), math.exp(logs[-1]))
        if hat > sigma * (1 + 1e-9):
            z = torch.tensor(draw()); noises.append(z.flatten().tolist())
            x = x + (hat ** 2 - sigma ** 2) ** .5 * churn[3] * z
        d = (x - denoise(x, hat)) / hat
        y = x + (following - hat) * d
        if following > 0: y = x + (following - hat) * (d + (y - denoise(y, following)) / following) / 2
        x = y
    return dict(name=name, config=s.to_json_string(), n=n, initial=xT.flatten().tolist(), noise=noises, churn=list(churn), matches=False,
                final=[float(f"{v:.10g}") for v in x.flatten().tolist()], timesteps=[])


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
