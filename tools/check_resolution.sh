#!/usr/bin/env bash
# Checks that the pinned packages resolve to wheels for every supported Python version. Downloads metadata only.
# Uses uv: pip evaluates environment markers for the Python that it runs on.
set -euo pipefail
cd "$(dirname "$0")/.."
uv="${VENV:-.venv}/bin/uv"
[[ -x $uv ]] || "${VENV:-.venv}/bin/python" -m pip install --quiet uv

# Requirements of the package and of its development tools.
requirements=$("${VENV:-.venv}/bin/python" -c '
import re
from importlib.metadata import requires
lines = [line for line in requires("echoseg_ros") if "gpu" not in line]
print("\n".join(re.sub(r"( and|;) extra == .*", "", line) for line in lines))')

check() { # CONSTRAINTS PYTHON
    echo "resolving $1 for Python $2"
    "$uv" pip compile --quiet --no-header --python-version "$2" --python-platform x86_64-manylinux_2_35 \
        --only-binary :all: --no-annotate -c "$1" -o /dev/null - <<<"$requirements"
}

for python in 3.11 3.12 3.13; do check constraints.txt "$python"; done
for python in 3.10 3.11 3.12; do check constraints-robot.txt "$python"; done
