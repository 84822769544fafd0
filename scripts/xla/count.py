"""What XLA made of a program for a GPU: counts in its dump `…gpu_after_optimizations.txt`.

usage: count.py FILE
"""
import collections
import re
import sys

text = open(sys.argv[1]).read()
entry = text[text.index("\nENTRY"):]
widths = {"bf16": 2, "f16": 2, "f32": 4, "s32": 4, "u32": 4, "pred": 1, "s8": 1, "u8": 1}


def size(shape):
    match = re.match(r"(\w+)\[([\d,]*)\]", shape)
    count = 1
    for dimension in filter(None, match[2].split(",")) if match else []:
        count *= int(dimension)
    return count * widths.get(match[1], 4) if match else 0


kinds, moved = collections.Counter(), []
for line in entry.splitlines():
    match = re.match(r"\s*(?:ROOT )?%?([\w.\-]+) = (\([^)]*\)|\S+) ([\w\-]+)\(", line)
    if not match:
        continue
    name, shape, kind = match.groups()
    kinds[kind] += 1
    if kind in ("copy", "transpose") or kind == "fusion" and re.match(r"(wrapped_)?(transpose|copy)", name):
        moved.append(size(shape))
convolutions = collections.Counter(
    f"{call} {re.search(r'(bf16|f32|f16)', result)[0]}"
    for result, call in re.findall(r'= (\([^=]*?\)|\S+) custom-call\([^\n]*custom_call_target="__cudnn\$(\w+)"', entry))
print(f"convolutions by cuDNN: {sum(convolutions.values())} {dict(convolutions)}, by other means: {len(re.findall(r' convolution[(]', text))}")
print(f"kernels: {kinds['fusion'] + kinds['custom-call']}; copies and transposes: {len(moved)}, {sum(moved) / 1e6:.1f} MB")
