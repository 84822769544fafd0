#!/usr/bin/env python3
"""Golden values of Tests/DiffusionTests/Golden/exact.json: exact posteriors by numpy and scipy, entropies by mpmath's quadrature.

Needs: pip install numpy scipy mpmath
Usage: thermodynamics.py OUT_DIR
"""
import json, sys
import mpmath as mp
import numpy as np
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

rng = np.random.default_rng(14)


def mixture(d, K):
    """Random full covariances, and what q_t says at random points, straight from the definitions."""
    weights = rng.uniform(0.2, 1, K); means = rng.normal(size=(K, d))
    roots = rng.normal(size=(K, d, d)) * 0.4
    covariances = roots @ roots.transpose(0, 2, 1)
    w = weights / weights.sum()
    cases = []
    for abar in (0.999, 0.7, 0.1, 1e-3):
        for _ in range(3):
            x = rng.normal(size=d)
            V = abar * covariances + (1 - abar) * np.eye(d)
            joint = np.array([np.log(w[k]) + multivariate_normal.logpdf(x, np.sqrt(abar) * means[k], V[k]) for k in range(K)])
            logq = logsumexp(joint); r = np.exp(joint - logq)
            score = -sum(r[k] * np.linalg.solve(V[k], x - np.sqrt(abar) * means[k]) for k in range(K))
            centres = [means[k] + np.sqrt(abar) * covariances[k] @ np.linalg.solve(V[k], x - np.sqrt(abar) * means[k]) for k in range(K)]
            spreads = [covariances[k] - abar * covariances[k] @ np.linalg.solve(V[k], covariances[k]) for k in range(K)]
            mean = sum(r[k] * centres[k] for k in range(K))
            second = sum(r[k] * (spreads[k] + np.outer(centres[k], centres[k])) for k in range(K))
            cases.append(dict(abar=abar, x=x.tolist(), logDensity=logq, score=score.tolist(), mean=mean.tolist(),
                              variance=float(np.trace(second) - mean @ mean), responsibilities=r.tolist()))
    return dict(weights=weights.tolist(), means=means.ravel().tolist(), covariances=covariances.ravel().tolist(), dimension=d, cases=cases)


def points(d, N):
    p = rng.normal(size=(N, d)).astype(np.float32).astype(float)
    labels = rng.integers(0, 3, N)
    cases = []
    for abar in (0.99, 0.5, 0.01):
        for _ in range(3):
            x = np.sqrt(abar) * p[rng.integers(N)] + np.sqrt(1 - abar) * rng.normal(size=d)
            s = -((x - np.sqrt(abar) * p) ** 2).sum(1) / (2 * (1 - abar))
            r = np.exp(s - logsumexp(s)); mean = r @ p
            cases.append(dict(abar=abar, x=x.tolist(), logDensity=logsumexp(s) - np.log(N) - d / 2 * np.log(2 * np.pi * (1 - abar)),
                              mean=mean.tolist(), variance=float(r @ (p ** 2).sum(1) - mean @ mean),
                              entropy=float(-(r[r > 0] * np.log(r[r > 0])).sum()),
                              classes=[float(r[labels == c].sum()) for c in range(3)]))
    return dict(points=p.ravel().tolist(), labels=labels.tolist(), dimension=d, cases=cases)


def two_points(m, s2):
    """H(x_t), mmse_x and J of ½N(±m, s²) by quadrature with 30 digits."""
    mp.mp.dps = 30
    rows = []
    for abar in ("0.9", "0.5", "0.1"):
        a = mp.mpf(abar); root = mp.sqrt(a); v = a * s2 + 1 - a
        q = lambda x: (mp.npdf(x, root * m, mp.sqrt(v)) + mp.npdf(x, -root * m, mp.sqrt(v))) / 2
        ends = [-root * m - 12 * mp.sqrt(v), -root * m, 0, root * m, root * m + 12 * mp.sqrt(v)]
        H = mp.quad(lambda x: -q(x) * mp.log(q(x)), ends)
        p = lambda x: 1 / (1 + mp.exp(-2 * root * m * x / v))
        # Var(x_0 | x) = s²(1−ᾱ)/v + m'² of the two centres
        centre = lambda x, sign: sign * m + root * s2 / v * (x - sign * root * m)
        def variance(x):
            return s2 * (1 - a) / v + p(x) * (1 - p(x)) * (centre(x, 1) - centre(x, -1)) ** 2
        mmse = mp.quad(lambda x: q(x) * variance(x), ends)
        score = lambda x: (-(x - root * m) * p(x) - (x + root * m) * (1 - p(x))) / v
        J = mp.quad(lambda x: q(x) * score(x) ** 2, ends)
        rows.append(dict(abar=float(a), entropy=float(H), mmse=float(mmse), fisher=float(J)))
    return dict(m=float(m), s2=float(s2), rows=rows)


if __name__ == "__main__":
    doc = dict(mixtures=[mixture(2, 3), mixture(5, 2)], points=[points(2, 50), points(37, 40)],
               twoPoints=[two_points(mp.mpf(1), mp.mpf("0.04")), two_points(mp.mpf(2), mp.mpf("0.25"))])
    json.dump(doc, open(f"{sys.argv[1]}/exact.json", "w"))
