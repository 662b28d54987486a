"""Every setting of the package: default, unit, meaning and bounds, in one place.

ROS parameters, YAML files and help texts derive from these dataclasses. Each section has one class; names carry units.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echoseg_ros.errors import ConfigError
from echoseg_ros.setting import Setting, check_value, coerced, nearest_name, setting, settings_of

# Old dotted keys and the keys that replaced them; an old key is refused with a message that names the new one.
RENAMED_SETTINGS = {"sound.own_noise": "sound.ego_noise"}


@dataclass(frozen=True)
class InputConfig:
    """How messages are read."""

    pose_units: str = setting("metres", "unit of the poses; arbitrary: no metric scale (COLMAP, monocular SLAM)",
                              choices=("metres", "arbitrary"))  # fmt: skip
    pose_max_gap_s: float = setting(0.5, "longest gap between poses that is interpolated", "s", 0.01, 10.0)
    depth_max_offset_s: float = setting(
        0.05, "largest difference between the stamps of an image and its depth", "s", 0.0, 1.0
    )
    wait_s: float = setting(1.0, "time that images, audio and evidence wait for their pose (and an image for its depth) "
                             "before they are dropped", "s", 0.0, 10.0)  # fmt: skip
    depth_max_m: float = setting(5.0, "largest depth reading that is used", "m", 0.5, 100.0)
    hold_out_every: int = setting(
        0, "every n-th received frame is a held-out view: it measures the map and does not feed it; 0 = none",
        "frames", 0, 1000,
    )  # fmt: skip
    audio_stamp: str = setting(
        "first_sample", "moment that the stamp of an audio message gives", choices=("first_sample", "arrival")
    )
    audio_delay_s: float = setting(
        0.0, "offset added to audio stamps to bring them to the camera's clock", "s", -5.0, 5.0
    )


@dataclass(frozen=True)
class KeyframeConfig:
    """Choice of the frames that feed the map."""

    min_translation: float = setting(
        0.05, "motion to a new keyframe, as a share of the scene's median depth", "", 0.0, 10.0
    )
    min_rotation_rad: float = setting(0.15, "rotation to a new keyframe", "rad", 0.0, 3.2)
    max_interval_s: float = setting(1.0, "longest time between keyframes", "s", 0.05, 60.0)
    min_interval_s: float = setting(0.5, "shortest time between keyframes", "s", 0.0, 60.0)
    max_count: int = setting(
        150, "keyframes kept for optimisation; one more removes the most redundant", "keyframes", 2, 10000
    )


@dataclass(frozen=True)
class MapConfig:
    """The Gaussian map and its optimisation."""

    backend: str = setting("auto", "rasterizer; auto: gsplat where CUDA is available, else numba",
                           choices=("auto", "numba", "gsplat", "reference"))  # fmt: skip
    image_width_px: int = setting(256, "width to which images are reduced for the map", "px", 32, 4096)
    max_gaussians: int = setting(150_000, "largest size of the map", "Gaussians", 100, 10_000_000)
    vram_gb: float = setting(0.0, "GPU memory that the process may use; 0 = no limit", "GiB", 0.0, 1024.0)
    steps_per_s: float = setting(
        20.0, "optimisation steps per recorded second of an offline run; a live map uses its spare time", "1/s", 0.0, 1000.0
    )  # fmt: skip
    spare_share: float = setting(0.85, "share of its spare time in which a live map is optimised", "", 0.0, 1.0)
    refine_poses: bool = setting(False, "correct the poses of keyframes by at most 3 % of the depth and 1.7 degrees")
    final_steps: int = setting(0, "optimisation steps after the last frame of an offline run", "steps", 0, 100_000)
    seed: int = setting(0, "random seed of the choice of past keyframes", "", 0, 2**31 - 1)


@dataclass(frozen=True)
class MaskConfig:
    """Mask proposals for a keyframe."""

    backend: str = setting(
        "auto",
        "mask backend: geometric, network, auto (geometric with a depth sensor, network without), a model in "
        "masks.model_path (sam2, rf_detr), or another node (topic)",
        choices=("auto", "geometric", "network", "sam2", "rf_detr", "topic"),
    )
    model_path: str = setting("", "local folder of the files of SAM 2.1 or RF-DETR; nothing is downloaded")
    detector: str = setting("owlv2", "detector that finds the boxes for sam2", choices=("owlv2", "grounding_dino"))
    detector_path: str = setting("", "local folder of the detector's files")
    prompts: str = setting("", "names that the detector looks for, separated by commas: 'kettle, clock, phone'")
    min_score: float = setting(
        0.25, "least score of a model's detection to be a proposal; from half of it on the area cannot be judged", "", 0.0, 1.0
    )  # fmt: skip
    max_count: int = setting(
        40, "largest number of proposals of models and of the topic in a keyframe", "proposals", 1, 500
    )
    wait_s: float = setting(2.0, "time that a keyframe waits for its masks on the topic", "s", 0.0, 60.0)


@dataclass(frozen=True)
class InstanceConfig:
    """From proposals to instances of the map."""

    max_count: int = setting(
        200, "instances kept; one more removes the one with the fewest views", "instances", 1, 10_000
    )


@dataclass(frozen=True)
class SoundConfig:
    """From audio samples to evidence."""

    array: str = setting("auto", "microphone array: a name in config/arrays or a YAML file; auto: the bag's array.yaml, "
                         "on a robot cube8")  # fmt: skip
    window_s: float = setting(0.5, "length of an audio window", "s", 0.05, 5.0)
    hop_s: float = setting(0.25, "time between audio windows", "s", 0.02, 5.0)
    low_hz: float = setting(200.0, "lowest frequency used", "Hz", 20.0, 20_000.0)
    high_hz: float = setting(6000.0, "highest frequency used", "Hz", 100.0, 24_000.0)
    ego_noise: str = setting(
        "learn",
        "noise of the robot itself: off, learn (the part that stays with the array as it turns), or a recording of it "
        "(WAV, npz)",
    )
    self_calibration: str = setting(
        "report", "time offset of the audio, yaw of the array and radius of a spherical head, estimated from motion: off, "
        "report (only the radius is applied), or apply all three",
        choices=("off", "report", "apply"),
    )  # fmt: skip
    directions: int = setting(2500, "directions of a direction map", "directions", 100, 50_000)


@dataclass(frozen=True)
class SourceConfig:
    """From evidence to sources in the map."""

    memory_s: float = setting(60.0, "longest time that evidence counts", "s", 1.0, 3600.0)
    max_sources: int = setting(3, "largest number of simultaneous sources", "sources", 1, 8)
    every_s: float = setting(1.0, "time between decisions; 0 = one after every audio window", "s", 0.0, 60.0)
    min_contrast: float = setting(0.025, "least height of a direction above the mean, as a share of a single plane wave", "",
                                  0.0, 1.0)  # fmt: skip
    position_error_m: float = setting(
        0.03, "standard deviation of a position that no evidence reduces: mounting, poses, clocks", "m", 0.0, 1.0
    )


@dataclass(frozen=True)
class ChoiceConfig:
    """Assignment of sources to instances."""

    min_probability: float = setting(
        0.5, "least probability of an instance to be published as a sounding object", "", 0.0, 1.0
    )
    audio_visual: str = setting("off", "names: compare the names of instances (masks.prompts) with the label of a source "
                                "(label.tagger clap, label.classes of the same names)", choices=("off", "names"))  # fmt: skip


@dataclass(frozen=True)
class LabelConfig:
    """Labels of sources, from a beam towards each."""

    tagger: str = setting("features", "tagger: features of the sound, a model in label.model_path (clap, ast), or off",
                          choices=("off", "features", "clap", "ast"))  # fmt: skip
    model_path: str = setting("", "local folder of the model's files; nothing is downloaded")
    classes: str = setting("", "labels that clap chooses from, separated by commas: 'clock tick, dog bark, rain'")
    min_probability: float = setting(0.1, "least probability of a model's label to be used", "", 0.0, 1.0)
    beam: str = setting("mvdr", "beamformer; two microphones always use delay_and_sum",
                        choices=("mvdr", "delay_and_sum"))  # fmt: skip
    memory_s: float = setting(10.0, "length of the audio kept and of OUT/source_ID.wav", "s", 1.0, 60.0)
    listen_s: float = setting(5.0, "length of the latest audio that a label is made from", "s", 1.0, 30.0)
    every_s: float = setting(1.0, "time between labels of a source", "s", 0.25, 60.0)


@dataclass(frozen=True)
class OutputConfig:
    """What the nodes publish, and its rate."""

    map_points: int = setting(20_000, "largest number of points of the map cloud", "points", 100, 1_000_000)
    map_rate_hz: float = setting(1.0, "rate of the map cloud", "1/s", 0.0, 30.0)
    overlay: bool = setting(True, "draw the sounding objects into the camera image")


@dataclass(frozen=True)
class Config:
    """The settings of all stages."""

    input: InputConfig = field(default_factory=InputConfig)
    keyframes: KeyframeConfig = field(default_factory=KeyframeConfig)
    map: MapConfig = field(default_factory=MapConfig)
    masks: MaskConfig = field(default_factory=MaskConfig)
    instances: InstanceConfig = field(default_factory=InstanceConfig)
    sound: SoundConfig = field(default_factory=SoundConfig)
    sources: SourceConfig = field(default_factory=SourceConfig)
    choice: ChoiceConfig = field(default_factory=ChoiceConfig)
    label: LabelConfig = field(default_factory=LabelConfig)
    output: OutputConfig = field(default_factory=OutputConfig)

    def __post_init__(self) -> None:
        """Check every value against its type, bounds and choices. Raises ConfigError."""
        for key, spec in settings():
            section, name = key.split(".")
            check_value(key, getattr(getattr(self, section), name), spec)

    def updated(self, values: dict[str, Any]) -> Config:
        """A copy with settings changed by dotted key: `{"map.steps_per_s": 20}`. Raises ConfigError."""
        known = dict(settings())
        sections: dict[str, dict[str, Any]] = {}
        for key, value in values.items():
            if key in RENAMED_SETTINGS:
                raise ConfigError(f"setting {key!r} was renamed: use {RENAMED_SETTINGS[key]!r}")
            if key not in known:
                raise ConfigError(f"unknown setting {key!r}{nearest_name(key, known)}")
            section, name = key.split(".")
            sections.setdefault(section, {})[name] = coerced(value, known[key])
        return dataclasses.replace(self, **{s: dataclasses.replace(getattr(self, s), **v) for s, v in sections.items()})

    def flat(self) -> dict[str, Any]:
        """Values of all settings by dotted key."""
        return {key: getattr(getattr(self, key.split(".")[0]), key.split(".")[1]) for key, _ in settings()}


def settings() -> Iterator[tuple[str, Setting]]:
    """Every setting as (dotted key, description), in the order of the classes above."""
    section_classes = typing.get_type_hints(Config)
    for section in dataclasses.fields(Config):
        for name, spec in settings_of(section_classes[section.name]):
            yield f"{section.name}.{name}", spec


def load_config(
    path: Path | None = None, overrides: dict[str, Any] | None = None, base: Config | None = None
) -> Config:
    """`base` (default: the default settings), changed by a YAML file and then by overrides. Raises ConfigError.

    The file holds sections as mappings (`map: {steps_per_s: 20}`) or is a ROS 2 parameter file
    (`/**: {ros__parameters: {map: ...}}`): one file serves the robot and offline runs.
    """
    config = base or Config()
    if path is not None:
        config = config.updated(_file_settings(Path(path)))
    return config.updated(overrides or {})


def parse_override(text: str) -> tuple[str, Any]:
    """Key and value (YAML syntax) of `section.name=value` on the command line. Raises ConfigError."""
    import yaml  # imported here: settings without files need no YAML

    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r}: want section.name=value")
    return key.strip(), yaml.safe_load(value)


def _file_settings(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text()) or {}
    except OSError as error:
        raise ConfigError(f"config file {path}: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"config file {path}: not YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(content, dict):
        raise ConfigError(f"config file {path}: want a mapping of sections")
    section_names = {f.name for f in dataclasses.fields(Config)}
    values: dict[str, Any] = {}
    for block in _parameter_blocks(content):
        for section, section_settings in block.items():
            if section in section_names and isinstance(section_settings, dict):
                values.update({f"{section}.{name}": value for name, value in section_settings.items()})
            elif section in section_names or block is content:
                raise ConfigError(
                    f"config file {path}: unknown section {section!r}; sections are {sorted(section_names)}"
                )
    return values


def _parameter_blocks(content: dict[str, Any]) -> list[dict[str, Any]]:
    blocks = [v["ros__parameters"] for v in content.values() if isinstance(v, dict) and "ros__parameters" in v]
    return blocks or [content]
