"""Golden values of the tensor operators, computed in 64 bits by PyTorch, diffusers and mpmath.

    python scripts/golden/tensor_operators.py > Tests/TensorGraphTests/Golden/operators.json

Each case has inputs, results y0, y1, ... and gradients d.NAME of sum(y * weight) over all results.
"""

import json
import sys

import mpmath
import torch
import torch.nn.functional as F
from diffusers.models import embeddings
from diffusers.models.resnet import ResnetBlock2D

torch.manual_seed(20)
torch.set_default_dtype(torch.float64)
cases = []


def numbers(tensor):
    return [x if x == x and abs(x) != float("inf") else str(x) for x in tensor.detach().flatten().tolist()]


def entry(tensor):
    kind = "int32" if tensor.dtype == torch.int64 else "float"
    return {"shape": list(tensor.shape), "dtype": kind, "values": numbers(tensor)}


def random(*shape):
    """Normal numbers with few digits, to keep the file small."""
    return (torch.randn(shape) * 1000).round() / 1000


def case(name, function, gradients=None, **inputs):
    """Runs function on the inputs; differentiates with respect to all floating-point inputs unless told."""
    floats = [k for k, v in inputs.items() if v.dtype == torch.float64]
    gradients = floats if gradients is None else gradients
    for key in gradients:
        inputs[key] = inputs[key].clone().requires_grad_()
    results = function(*inputs.values())
    results = list(results) if isinstance(results, (list, tuple)) else [results]
    given = {k: entry(v) for k, v in inputs.items()}
    outputs = {f"y{i}": numbers(y) for i, y in enumerate(results)}
    if gradients:
        weights = [random(*y.shape) for y in results]
        sum((y * w).sum() for y, w in zip(results, weights)).backward()
        given |= {f"weight.y{i}": entry(w) for i, w in enumerate(weights)}
        outputs |= {f"d.{k}": numbers(inputs[k].grad) for k in gradients}
    cases.append({"name": name, "inputs": given, "outputs": outputs})


# Convolutions. F.pad takes (left, right, top, bottom).
def conv(stride, left, right, top, bottom):
    return lambda x, w, b: F.conv2d(F.pad(x, (left, right, top, bottom)), w, b, stride=stride)


case("convolution", conv(1, 1, 1, 1, 1), x=random(2, 3, 5, 4), w=random(4, 3, 3, 3), b=random(4))
case("convolution, stride 2", conv(2, 1, 1, 1, 1), x=random(1, 2, 7, 6), w=random(3, 2, 3, 3), b=random(3))
case("convolution, padded right and bottom", conv(2, 0, 1, 0, 1), x=random(1, 2, 6, 7), w=random(3, 2, 3, 3), b=random(3))
case("convolution, padded at will", conv(1, 2, 0, 1, 3), x=random(1, 2, 4, 5), w=random(2, 2, 2, 3), b=random(2))
case("convolution 1×1, no bias", lambda x, w: F.conv2d(x, w), x=random(2, 3, 2, 3), w=random(4, 3, 1, 1))

# Normalisation and attention.
case(
    "groupNorm",
    lambda x, gamma, beta: F.group_norm(x, 2, gamma, beta, eps=1e-3),
    x=random(2, 6, 3, 2), gamma=random(6), beta=random(6),
)
case(
    "groupNorm, shift and silu",
    lambda x, gamma, beta, shift: F.silu(F.group_norm(x + shift[:, :, None, None], 3, gamma, beta, eps=1e-6)),
    x=random(2, 6, 2, 3), gamma=random(6), beta=random(6), shift=random(2, 6),
)


def attention(q, k, v, heads=2):
    def split(t):  # (N, heads*d, L) -> (N, heads, L, d)
        return t.reshape(t.shape[0], heads, -1, t.shape[2]).transpose(2, 3)

    o = F.scaled_dot_product_attention(split(q), split(k), split(v))
    return o.transpose(2, 3).reshape(q.shape)


case("attention, two heads", attention, q=random(2, 6, 4), k=random(2, 6, 5), v=random(2, 6, 5))
case("attention, one head", lambda q, k, v: attention(q, k, v, 1), q=random(1, 3, 4), k=random(1, 3, 4), v=random(1, 3, 4))
case("softmax", lambda x: F.softmax(x, -1), x=random(3, 4))
inf, nan = float("inf"), float("nan")
case(
    "softmax of NaN and infinity", lambda x: F.softmax(x, -1), gradients=[],
    x=torch.tensor([[1, nan, 2], [1, inf, 2], [1, -inf, 2], [-inf, -inf, -inf], [1000, -1000, 999.5]]),
)

# Functions of one element: a grid with the kinks, far tails, NaN and infinity.
functions = {
    "negate": torch.neg, "reciprocal": torch.reciprocal, "square": torch.square, "squareRoot": torch.sqrt,
    "reciprocalSquareRoot": torch.rsqrt, "absolute": torch.abs, "exp": torch.exp, "log": torch.log,
    "log1p": torch.log1p, "expm1": torch.expm1, "sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh,
    "sigmoid": torch.sigmoid, "softplus": lambda x: F.softplus(x, threshold=700), "erf": torch.erf,
    "erfc": torch.erfc, "logNormalCDF": torch.special.log_ndtr, "relu": F.relu, "silu": F.silu, "mish": F.mish,
    "gelu": F.gelu, "clamp": lambda x: torch.clamp(x, -0.5, 0.75), "scale": lambda x: x * -1.75,
    "offset": lambda x: x + 0.3,
}
positive = {"reciprocal", "squareRoot", "reciprocalSquareRoot", "log"}
grid = torch.tensor([-6, -2.5, -1, -0.5, -0.25, 0, 0.125, 0.5, 0.75, 1, 3, 8.0])
for name, function in functions.items():
    # At the bounds of clamp PyTorch's gradient has been 1 (1.x) and 0 (2.15): ours is 1, tested elsewhere.
    x = grid + 0.0625 if name == "clamp" else grid.abs() + 0.125 if name in positive else (grid + 6) / 4 if name == "log1p" else grid
    case(name, function, x=x)
    case(f"{name} of NaN and infinity", function, gradients=[], x=torch.tensor([nan, inf, -inf, 0.0, 20, -20]))

# log of the normal distribution function, computed with 400 digits, as 1 − Φ(37) is 1e-300.
mpmath.mp.dps = 400
points = [-1e4, -100, -38.5, -37.5, -20, -12, -10.001, -9.999, -7, -3, -1, -0.1, 0, 0.1, 1, 3, 6, 9.999, 10.001, 15, 25, 37.3]
log_cdf = [float(mpmath.log(mpmath.erfc(-mpmath.mpf(x) / mpmath.sqrt(2)) / 2)) for x in points]
cases.append(
    {
        "name": "logNormalCDF in both tails",
        "inputs": {"x": entry(torch.tensor(points, dtype=torch.float64))},
        "outputs": {"y0": log_cdf},
    }
)

# Functions of two.
a, b = torch.tensor([1.0, 2, 3, -1, 0]), torch.tensor([2.0, 2, 1, -1, 0])
case("maximum with ties", torch.maximum, a=a, b=b)
case("minimum with ties", torch.minimum, a=a, b=b)
special = torch.tensor([nan, inf, -inf, 0.0, 1])
for name, function in {"add": torch.add, "subtract": torch.sub, "multiply": torch.mul, "divide": torch.div,
                       "maximum": torch.maximum, "minimum": torch.minimum}.items():
    case(f"{name}, broadcast", function, a=random(2, 3, 1), b=random(4) + 0.0005)
    case(f"{name} of NaN and infinity", function, gradients=[], a=special[:, None], b=special)

# Products.
case("matmul, batched", lambda a, b: a @ b, a=random(2, 3, 4), b=random(2, 4, 2))
case("matmul, one right operand for all", lambda a, b: a @ b, a=random(2, 3, 4), b=random(4, 2))
case("matmul, one left operand for all", lambda a, b: a @ b, a=random(3, 4), b=random(2, 4, 2))
case("matmul, both transposed", lambda a, b: a.mT @ b.mT, a=random(2, 4, 3), b=random(2, 4))
case("linear", F.linear, x=random(2, 3, 4), w=random(5, 4), b=random(5))

# Images, lookup, loss.
case("upsampleNearest", lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"), x=random(1, 2, 2, 3))
case("averagePool", lambda x: F.avg_pool2d(x, 2), x=random(1, 2, 4, 6))
case("gatherRows", lambda table, i: F.embedding(i, table), table=random(4, 3), i=torch.tensor([1, 3, 1, 0, 1]))
case("meanSquaredError", F.mse_loss, a=random(2, 3, 2), b=random(2, 3, 2))
case("softmax, transposed and sliced", lambda x: F.softmax(x.permute(1, 2, 0), -1)[:, 1:], x=random(2, 3, 4))

# diffusers computes its timestep embedding in 32 bits, which is worth four digits at t = 999: here in 64.
torch.float32, torch.Tensor.float = torch.float64, torch.Tensor.double
for dimension, flip, shift in [(8, False, 1), (8, True, 0), (7, False, 0), (6, True, 1)]:
    case(
        f"sinusoidalEmbedding {dimension} {str(flip).lower()} {shift}",
        lambda t: embeddings.get_timestep_embedding(t, dimension, flip_sin_to_cos=flip, downscale_freq_shift=shift),
        gradients=[], t=torch.tensor([0.0, 1, 17, 500, 999]),
    )

# A residual block of diffusers, with its time embedding.
block = ResnetBlock2D(in_channels=4, out_channels=6, temb_channels=5, groups=2, eps=1e-5).double()
with torch.no_grad():
    for p in block.parameters():
        p.copy_(random(*p.shape) * 0.5)


parameters = {k: v.detach() for k, v in block.named_parameters()}


def resnet(x, t, *values):
    return torch.func.functional_call(block, dict(zip(parameters, values)), (x, t))


case("residual block", resnet, x=random(2, 4, 3, 3), t=random(2, 5), **parameters)

# Optimisers: three steps, each with its own gradient; the average of the parameter by hand.
for name, decay, kind in [("adam", 0.0, torch.optim.Adam), ("adamw", 0.1, torch.optim.AdamW)]:
    p = torch.nn.Parameter(random(5))
    start = p.detach().clone()
    optimizer = kind([p], lr=0.01, betas=(0.8, 0.99), eps=1e-6, weight_decay=decay)
    gradients, ema, ps, emas = random(3, 5), start.clone(), [], []
    for g in gradients:
        p.grad = 0.5 * g
        optimizer.step()
        ema = 0.9 * ema + 0.1 * p.detach()
        ps.append(p.detach().clone())
        emas.append(ema)
    state = optimizer.state[p]
    cases.append(
        {
            "name": name,
            "inputs": {"p": entry(start), "gradients": entry(gradients)},
            "outputs": {
                "p": numbers(torch.stack(ps)), "ema": numbers(torch.stack(emas)),
                "m": numbers(state["exp_avg"]), "v": numbers(state["exp_avg_sq"]),
            },
        }
    )

print("[\n" + ",\n".join(json.dumps(c, ensure_ascii=False) for c in cases) + "\n]")
print(f"{len(cases)} cases, torch {torch.__version__}", file=sys.stderr)
