#!/bin/sh
# Checks that diffusers loads what we write, without a warning and with the same numbers.
#
# Usage: scripts/check-diffusers.sh [PYTHON]
# Uses PYTHON (default: python3) if it has torch, diffusers and safetensors; otherwise tries for $DDPM_PIP_SECONDS (default 300)
# to install them into a virtual environment. Says SKIPPED and exits 0 where that fails.
set -eu
cd "$(dirname "$0")/.."
python=${1:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

has_packages() { "$1" -c 'import torch, diffusers, safetensors' >/dev/null 2>&1; }

if ! has_packages "$python"; then
  echo "check-diffusers: $python lacks torch, diffusers or safetensors; installing them"
  if "$python" -m venv "$work/venv" >/dev/null 2>&1 &&
    timeout "${DDPM_PIP_SECONDS:-300}" "$work/venv/bin/pip" install --quiet torch diffusers safetensors &&
    has_packages "$work/venv/bin/python"; then
    python=$work/venv/bin/python
  else
    echo "check-diffusers: SKIPPED: could not install torch, diffusers and safetensors"
    exit 0
  fi
fi

mkdir "$work/pipelines"
if ! DDPM_CHECK_DIFFUSERS="$work/pipelines" swift test -c release --filter writesPipelinesForDiffusers >"$work/log" 2>&1; then
  cat "$work/log"
  exit 1
fi
"$python" scripts/check-diffusers.py "$work/pipelines"
