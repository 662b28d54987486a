"""Installs echoseg_ros and echoseg_sim with pip or colcon; metadata of the ROS package is in package.xml."""

from pathlib import Path

from setuptools import find_packages, setup

NAME = "echoseg_ros"
# What only the simulator, and with it the demo and the benchmarks, imports.
SIMULATOR = ["open3d>=0.19", "pyroomacoustics>=0.8", "soundfile>=0.12"]
# What only the published method that the benchmarks compare with imports.
EVALUATION = ["scikit-learn>=1.4"]
# Pretrained models; their newer releases do not support Python 3.10.
MODELS = ["transformers>=5.0; python_version >= '3.11'"]
NODES = ["echoseg_node", "sound_node", "object_node"]


def shared(folder: str) -> list[tuple[str, list[str]]]:
    """Every file below a folder, to be installed under share/ in the same folders."""
    folders = [Path(folder), *(path for path in sorted(Path(folder).rglob("*")) if path.is_dir())]
    files = {path: [str(file) for file in sorted(path.iterdir()) if file.is_file()] for path in folders}
    return [(f"share/{NAME}/{path}", names) for path, names in files.items() if names and path.name != "__pycache__"]


setup(
    name=NAME,
    version="0.1.0",
    description="Finds, live and in 3D, the objects that make the sounds a robot hears",
    license="Apache-2.0",
    maintainer="echoseg_ros developers",
    maintainer_email="echoseg@users.noreply.github.com",
    python_requires=">=3.10",
    packages=[
        *find_packages(include=[NAME, f"{NAME}.*"]),
        "echoseg_sim",
        *(f"echoseg_sim.{package}" for package in find_packages("sim")),
    ],
    package_dir={"echoseg_sim": "sim"},
    package_data={NAME: ["py.typed", "io/messages/*/msg/*.msg", "masks/network/*.npz"], "echoseg_sim": ["py.typed"]},
    # Lower bounds: versions of constraints-robot.txt, or older ones with the same interface.
    # docs/architecture.md says what each package is for.
    install_requires=[
        "backports.zstd; python_version < '3.14'",
        "h5py>=3.10",
        "lz4>=4.3",
        "matplotlib>=3.8",
        "numba>=0.59",
        "numpy>=1.26",
        "opencv-python>=4.8",
        "PyYAML>=6.0",
        "rosbags>=0.10",
        "scipy>=1.11",
        "torch>=2.4",
        "tqdm>=4.60",
    ],
    extras_require={
        "sim": SIMULATOR,
        "eval": EVALUATION,
        "gpu": ["gsplat>=1.5", "ninja", "packaging"],
        "models": MODELS,
        "dev": [
            *SIMULATOR,
            *EVALUATION,
            *MODELS,
            "import-linter>=2.1",
            "mypy>=1.10",
            "pillow>=10",
            "pytest>=7.4,<9",  # pytest 9 fails with the launch_testing plugin of a ROS installation
            "pytest-timeout>=2.2",
            "ruff>=0.6",
            "types-PyYAML",
            "vulture>=2.11",
        ],
    },
    entry_points={
        "console_scripts": [
            "echoseg = echoseg_ros.cli:main",
            *(f"{node} = echoseg_ros.nodes.runtime:{node}" for node in NODES),
        ]
    },
    # ros2 run and launch_ros look under lib/echoseg_ros, where pip puts no entry points: hence scripts as data files.
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"lib/{NAME}", [f"resource/bin/{node}" for node in NODES]),
        *shared("launch"),
        *shared("config"),
    ],
    zip_safe=False,
)
