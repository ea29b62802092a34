#!/usr/bin/env bash
# Run tests and benchmarks on a machine with an NVIDIA GPU, from a bare checkout without installing this project.
# Usage: gpu_check.sh [PYTHON] [test|kernels|step ...]; that Python needs torch, triton and pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- test kernels step

# .types/cavsync presents the checkout's four top-level folders as one package.
export PYTHONPATH="$PWD/.types:$PWD/build/gpu-site" TRITON_INTERPRET=0 PYTHONUNBUFFERED=1

if ! "$python" -c "import importlib.util as u, sys; sys.exit(not (u.find_spec('torch') and __import__('torch').cuda.is_available()))"; then
  echo "PyTorch found no usable NVIDIA GPU: run this on a machine with one." >&2
  exit 1
fi
if ! "$python" -c "import pydantic" 2> /dev/null; then
  source=()
  [ -d build/gpu-wheels ] && source=(--no-index --find-links build/gpu-wheels)
  if ! "$python" -m pip install --quiet --target build/gpu-site "${source[@]}" pydantic; then
    echo "pydantic is missing and could not be installed: run 'make gpu-wheels' on a machine with a network, then copy build/gpu-wheels here." >&2
    exit 1
  fi
fi

# A failed step does not stop the others, because time on a GPU machine is expensive.
failed=()
for step in "$@"; do
  case $step in
    test) "$python" -P -m pytest -q -m gpu tests/gpu || failed+=("$step") ;;
    kernels) "$python" benchmarks/kernels.py || failed+=("$step") ;;
    step) "$python" benchmarks/train_step.py --compile || failed+=("$step") ;;
    *) echo "'$step' is not a step: use test, kernels or step." >&2; exit 2 ;;
  esac
done
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed: ${failed[*]}" >&2
  exit 1
fi
