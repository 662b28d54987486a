"""What `make setup` and colcon install, and where ros2 run and ros2 launch find it; the package's metadata."""

import os
import subprocess
import sys
from importlib.metadata import entry_points, requires, version
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
PREFIX = Path(sys.prefix)
SHARE = PREFIX / "share" / "echoseg_ros"
# Modules of extras, and their distributions.
EXTRAS = {"open3d": "open3d", "pyroomacoustics": "pyroomacoustics", "soundfile": "soundfile", "sklearn": "scikit-learn"}
NODES = ["echoseg_node", "sound_node", "object_node"]
COPIED = [path.relative_to(ROOT) for folder in ("launch", "config") for path in sorted((ROOT / folder).rglob("*"))]

installed_here = pytest.mark.skipif(not SHARE.exists(), reason="echoseg_ros is not installed into this Python's prefix")


@pytest.mark.parametrize("package", ["echoseg_ros", "echoseg_sim"])
def test_packages_import_from_any_folder(package: str, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", f"import {package}"], cwd=tmp_path, check=True)


def test_versions_agree() -> None:
    assert ElementTree.parse(ROOT / "package.xml").findtext("version") == version("echoseg_ros")


def test_the_manifest_is_one_that_ros_reads() -> None:
    parse_package = pytest.importorskip("catkin_pkg.package").parse_package
    warnings: list[str] = []
    package = parse_package(str(ROOT / "package.xml"), warnings=warnings)
    assert (package.name, warnings) == ("echoseg_ros", [])
    assert package.get_build_type() == "ament_python"


def test_the_manifest_passes_ament_xmllint() -> None:
    assert pytest.importorskip("ament_xmllint.main").main([str(ROOT / "package.xml")]) == 0


@pytest.mark.parametrize("package", ["echoseg_ros", "sim"])
def test_packages_are_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("distribution", EXTRAS.values())
def test_simulator_and_evaluation_are_extras(distribution: str) -> None:
    lines = [line for line in requires("echoseg_ros") or [] if line.startswith(distribution)]
    assert len(lines) == 2, lines
    assert all("extra ==" in line for line in lines)


def test_the_pipeline_and_the_commands_import_without_extras() -> None:
    """As on a robot, where scipy and the standard library read and write WAV files."""
    code = f"""
import sys
for name in {list(EXTRAS)}:
    sys.modules[name] = None
import echoseg_ros.cli.entry, echoseg_ros.pipeline.live, echoseg_ros.pipeline.replay
import echoseg_ros.report.run_completion, echoseg_ros.report.source_audio
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("command", ["echoseg", *NODES])
def test_commands_are_declared(command: str) -> None:
    target = "echoseg_ros.cli:main" if command == "echoseg" else f"echoseg_ros.nodes.runtime:{command}"
    assert entry_points(group="console_scripts")[command].value == target


@installed_here
def test_ament_index_knows_the_package() -> None:
    assert (PREFIX / "share" / "ament_index" / "resource_index" / "packages" / "echoseg_ros").is_file()
    assert (SHARE / "package.xml").is_file()


@installed_here
@pytest.mark.parametrize("node", NODES)
def test_launch_finds_the_node(node: str) -> None:
    executable = PREFIX / "lib" / "echoseg_ros" / node
    assert os.access(executable, os.X_OK), f"{executable} is missing or not executable"


@installed_here
@pytest.mark.parametrize(
    "path", [path for path in COPIED if (ROOT / path).is_file() and "__pycache__" not in path.parts]
)
def test_launch_files_and_configuration_are_installed(path: Path) -> None:
    assert (SHARE / path).read_bytes() == (ROOT / path).read_bytes(), "out of date: run make setup"
