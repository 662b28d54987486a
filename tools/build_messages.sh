#!/usr/bin/env bash
# Builds ROS message packages into a virtual environment that holds the ROS 2 wheels: build_messages.sh VENV PACKAGE...
set -euo pipefail

venv=$(realpath "$1")
shift
unset PYTHONPATH LD_LIBRARY_PATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
export PATH="$venv/bin:$PATH"

# The cmake files in the wheels contain the Python paths of the machine that built the wheels: replace them by ours.
python_include=$(python -c 'import sysconfig; print(sysconfig.get_path("include"))')
numpy_include=$(python -c 'import numpy; print(numpy.get_include())')
{ grep -rlZ --include='*.cmake' '/opt/python/cp3' "$venv/share" || true; } | xargs -0 -r sed -Ei \
    -e "s#/opt/python/cp3[^;\"]*/site-packages/numpy/(_core|core)/include#$numpy_include#g" \
    -e "s#/opt/python/cp3[^;\"/]*/include/python3[.0-9]*#$python_include#g"

for package in "$@"; do
    build=$(mktemp -d)
    log="$build/log"
    {
        cmake -S "$package" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_{C,CXX}_FLAGS_RELEASE=-O1 \
            -DBUILD_TESTING=OFF \
            -DCMAKE_PREFIX_PATH="$venv" -DCMAKE_INSTALL_PREFIX="$venv" \
            -DPython3_EXECUTABLE="$venv/bin/python" -DPython3_FIND_VIRTUALENV=ONLY &&
            cmake --build "$build" --target install
    } >"$log" 2>&1 || { tail -n 40 "$log" >&2; echo "building $package failed; all of its output: $log" >&2; exit 1; }
    rm -rf "$build"
done
