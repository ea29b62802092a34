#!/usr/bin/env bash
# Tests and benchmarks on a machine with an NVIDIA GPU, from a bare checkout: nothing of this project needs installing.
# Usage: gpu_check.sh [PYTHON] [test|kernels|step ...]; needs torch, triton and pytest there.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- test kernels step

# .types/cavsync presents the checkout's four folders as one package.
export PYTHONPATH="$PWD/.types:$PWD/build/gpu-site" TRITON_INTERPRET=0 PYTHONUNBUFFERED=1

if ! "$python" -c "import importlib.util as u, sys; sys.exit(not (u.find_spec('torch') and __import__('torch').cuda.is_available()))"; then
  echo "No NVIDIA GPU that PyTorch can use was found, so there is nothing to check: run this on a machine with one." >&2
  exit 1
fi
if ! "$python" -c "import pydantic" 2> /dev/null; then
  source=()
  [ -d build/gpu-wheels ] && source=(--no-index --find-links build/gpu-wheels)
  if ! "$python" -m pip install --quiet --target build/gpu-site "${source[@]}" pydantic; then
    echo "pydantic is missing and could not be installed: run 'make gpu-wheels' where there is a network, copy build/gpu-wheels here." >&2
    exit 1
  fi
fi

# Time on such a machine is dear: a step that fails does not keep the others from running.
failed=()
for step in "$@"; do
  case $step in
    test) "$python" -P -m pytest -q -m gpu tests/gpu || failed+=("$step") ;;
    kernels) "$python" benchmarks/kernels.py || failed+=("$step") ;;
    step) "$python" benchmarks/train_step.py --compile || failed+=("$step") ;;
    *) echo "'$step' is no step: use test, kernels or step." >&2; exit 2 ;;
  esac
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
