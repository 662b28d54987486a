"""Every setting of the package: default, unit, meaning and bounds, in one place.

The ROS parameters, the YAML file and the help texts derive from these dataclasses. One class a stage; names carry units.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from echoseg_ros.errors import ConfigError

# Old dotted keys and the keys that replaced them; an old key is refused with a message that names the new one.
RENAMED_SETTINGS = {"sound.own_noise": "sound.ego_noise"}


def setting(default: Any, meaning: str, unit: str = "", low: float | None = None, high: float | None = None,
            choices: tuple[str, ...] = ()) -> Any:  # fmt: skip
    """A dataclass field with its meaning, unit and bounds (inclusive)."""
    return field(
        default=default, metadata={"meaning": meaning, "unit": unit, "low": low, "high": high, "choices": choices}
    )


@dataclass(frozen=True)
class InputConfig:
    """How messages are read."""

    pose_units: str = setting(
        "metres", "arbitrary: the poses have no metric scale (COLMAP, monocular SLAM)", choices=("metres", "arbitrary")
    )
    pose_max_gap_s: float = setting(0.5, "longest gap between poses that is interpolated", "s", 0.01, 10.0)
    depth_max_offset_s: float = setting(
        0.05, "largest difference between the stamps of an image and its depth", "s", 0.0, 1.0
    )
    wait_s: float = setting(1.0, "how long an image waits for its pose and depth before it is dropped", "s", 0.0, 10.0)
    depth_max_m: float = setting(5.0, "depth readings beyond this are ignored", "m", 0.5, 100.0)
    hold_out_every: int = setting(
        0, "keep every n-th received frame out of the map to judge it by; 0 = none", "frames", 0, 1000
    )
    audio_stamp: str = setting(
        "first_sample", "what the stamp of an audio message means", choices=("first_sample", "arrival")
    )
    audio_delay_s: float = setting(0.0, "added to audio stamps to bring them to the camera's clock", "s", -5.0, 5.0)


@dataclass(frozen=True)
class KeyframeConfig:
    """Which frames feed the map."""

    min_translation: float = setting(
        0.05, "a new keyframe after moving this far, as a share of the scene's median depth", "", 0.0, 10.0
    )
    min_rotation_rad: float = setting(0.15, "a new keyframe after turning this much", "rad", 0.0, 3.2)
    max_interval_s: float = setting(1.0, "a new keyframe at the latest after this time", "s", 0.05, 60.0)
    min_interval_s: float = setting(0.5, "no two keyframes closer in time than this", "s", 0.0, 60.0)
    max_count: int = setting(
        150, "keyframes kept for optimisation; beyond it the most redundant goes", "keyframes", 2, 10000
    )


@dataclass(frozen=True)
class MapConfig:
    """The Gaussian map and its optimisation."""

    backend: str = setting("auto", "rasterizer: auto takes gsplat where CUDA is there, else numba",
                           choices=("auto", "numba", "gsplat", "reference"))  # fmt: skip
    image_width_px: int = setting(256, "images are reduced to this width for the map", "px", 32, 4096)
    max_gaussians: int = setting(150_000, "hard cap on the map's size", "Gaussians", 100, 10_000_000)
    vram_gb: float = setting(0.0, "memory of the GPU that the process may take; 0 = no limit", "GiB", 0.0, 1024.0)
    steps_per_s: float = setting(
        20.0,
        "optimisation steps per recorded second of an offline run; a live map uses its spare time",
        "1/s",
        0.0,
        1000.0,
    )
    spare_share: float = setting(0.85, "share of its idle time in which a live map is made better", "", 0.0, 1.0)
    refine_poses: bool = setting(
        False, "correct the poses of keyframes a little, at most 3 % of the depth and 1.7 degrees"
    )
    final_steps: int = setting(0, "optimisation steps after the last frame of an offline run", "steps", 0, 100_000)
    seed: int = setting(0, "seed of the choice of past keyframes", "", 0, 2**31 - 1)


@dataclass(frozen=True)
class MaskConfig:
    """Mask proposals for a keyframe."""

    backend: str = setting(
        "auto",
        "who proposes masks: geometry, a network, auto (one of these, by where depth comes from), models in "
        "masks.model_path, or another node (topic)",
        choices=("auto", "geometric", "network", "sam2", "rf_detr", "topic"),
    )
    model_path: str = setting("", "local folder of SAM 2.1 or RF-DETR; nothing is downloaded")
    detector: str = setting("owlv2", "who finds the boxes for sam2", choices=("owlv2", "grounding_dino"))
    detector_path: str = setting("", "local folder of the detector's files")
    prompts: str = setting("", "what the detector looks for: names with commas between, as 'kettle, clock, phone'")
    min_score: float = setting(
        0.25, "a model's detection is a proposal from here on; from half of this on its place is left unjudged", "", 0.0, 1.0
    )  # fmt: skip
    max_count: int = setting(40, "proposals of models and of the topic in a keyframe at most", "proposals", 1, 500)
    wait_s: float = setting(2.0, "how long a keyframe waits for its masks on the topic", "s", 0.0, 60.0)


@dataclass(frozen=True)
class InstanceConfig:
    """How proposals become objects of the map."""

    max_count: int = setting(200, "instances kept; beyond it the least seen goes", "instances", 1, 10_000)


@dataclass(frozen=True)
class SoundConfig:
    """From samples to evidence."""

    array: str = setting("auto", "microphone array: a name in config/arrays or a YAML file; auto: the bag's array.yaml, "
                         "on a robot cube8")  # fmt: skip
    window_s: float = setting(0.5, "length of an analysis window", "s", 0.05, 5.0)
    hop_s: float = setting(0.25, "time between windows", "s", 0.02, 5.0)
    low_hz: float = setting(200.0, "lowest frequency used", "Hz", 20.0, 20_000.0)
    high_hz: float = setting(6000.0, "highest frequency used", "Hz", 100.0, 24_000.0)
    ego_noise: str = setting(
        "learn",
        "noise of the robot itself: off, learn (what stays with the array as it turns), or a recording (WAV, npz)",
    )
    self_calibration: str = setting(
        "report", "find the audio's time offset, the array's yaw and a spherical head's radius from the motion: off, report "
        "(only the radius is applied), or apply them",
        choices=("off", "report", "apply"),
    )  # fmt: skip
    directions: int = setting(2500, "directions of the map around the array", "directions", 100, 50_000)


@dataclass(frozen=True)
class SourceConfig:
    """From evidence to sources on the map."""

    memory_s: float = setting(60.0, "evidence older than this is forgotten", "s", 1.0, 3600.0)
    max_sources: int = setting(3, "sources looked for at the same time", "sources", 1, 8)
    every_s: float = setting(1.0, "so often it is decided anew what sounds", "s", 0.0, 60.0)
    min_contrast: float = setting(0.025, "a direction must stand out of the average by this share of a lone plane wave", "",
                                  0.0, 1.0)  # fmt: skip
    position_error_m: float = setting(
        0.03, "error of a position that no evidence removes: mounting, poses, clocks", "m", 0.0, 1.0
    )


@dataclass(frozen=True)
class ChoiceConfig:
    """Which instance makes the sound."""

    min_probability: float = setting(0.5, "an object is said to sound from this probability on", "", 0.0, 1.0)
    audio_visual: str = setting("off", "names: what things are called (masks.prompts) counts against what a source sounds "
                                "like (label.tagger clap, label.classes of the same names)", choices=("off", "names"))  # fmt: skip


@dataclass(frozen=True)
class LabelConfig:
    """What a source sounds like, from a beam towards it."""

    tagger: str = setting("features", "who names the sound: its measures, or a model in label.model_path; off: nobody",
                          choices=("off", "features", "clap", "ast"))  # fmt: skip
    model_path: str = setting("", "local folder of the model's files; nothing is downloaded")
    classes: str = setting("", "what clap may say: names with commas between, as 'clock tick, dog bark, rain'")
    min_probability: float = setting(0.1, "a model's label is used from this probability on", "", 0.0, 1.0)
    beam: str = setting("mvdr", "how a source is listened to; two microphones always delay and sum",
                        choices=("mvdr", "delay_and_sum"))  # fmt: skip
    memory_s: float = setting(10.0, "audio kept, and the length of OUT/source_ID.wav", "s", 1.0, 60.0)
    listen_s: float = setting(5.0, "what a label is made from: the last of the audio kept", "s", 1.0, 30.0)
    every_s: float = setting(1.0, "time between two labels of a source", "s", 0.25, 60.0)


@dataclass(frozen=True)
class OutputConfig:
    """What the nodes publish and how often."""

    map_points: int = setting(20_000, "points of the map cloud at most", "points", 100, 1_000_000)
    map_rate_hz: float = setting(1.0, "rate of the map cloud", "1/s", 0.0, 30.0)
    overlay: bool = setting(True, "draw the sounding object into the camera image")


@dataclass(frozen=True)
class Config:
    """All stages together."""

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
            stage, name = key.split(".")
            _check(key, getattr(getattr(self, stage), name), spec)

    def updated(self, values: dict[str, Any]) -> Config:
        """A copy with settings by dotted key, as `{"map.steps_per_s": 20}`. Raises ConfigError for unknown keys."""
        known = dict(settings())
        stages: dict[str, dict[str, Any]] = {}
        for key, value in values.items():
            if key in RENAMED_SETTINGS:
                raise ConfigError(f"setting {key!r} was renamed: use {RENAMED_SETTINGS[key]!r}")
            if key not in known:
                raise ConfigError(f"unknown setting {key!r}{_nearest(key, known)}")
            stage, name = key.split(".")
            stages.setdefault(stage, {})[name] = _coerced(value, known[key])
        return dataclasses.replace(self, **{s: dataclasses.replace(getattr(self, s), **v) for s, v in stages.items()})

    def flat(self) -> dict[str, Any]:
        """All settings by dotted key."""
        return {key: getattr(getattr(self, key.split(".")[0]), key.split(".")[1]) for key, _ in settings()}


@dataclass(frozen=True)
class Setting:
    """One setting's type, default and bounds, as the parameter descriptors and the help need it."""

    type: type
    default: Any
    meaning: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]


def settings() -> Iterator[tuple[str, Setting]]:
    """Every setting as (dotted key, description), in the order of the classes above."""
    for stage in dataclasses.fields(Config):
        stage_class = typing.get_type_hints(Config)[stage.name]
        types = typing.get_type_hints(stage_class)
        for f in dataclasses.fields(stage_class):
            yield f"{stage.name}.{f.name}", Setting(types[f.name], f.default, **f.metadata)


def load_config(
    path: Path | None = None, overrides: dict[str, Any] | None = None, base: Config | None = None
) -> Config:
    """`base` (without it the defaults), changed by a YAML file and then by overrides.

    The file holds stages as mappings (`map: {steps_per_s: 20}`) or is a ROS 2 parameter file
    (`/**: {ros__parameters: {map: ...}}`), so that one file serves robot and offline run. Raises ConfigError.
    """
    config = base or Config()
    if path is not None:
        config = config.updated(_file_settings(Path(path)))
    return config.updated(overrides or {})


def parse_override(text: str) -> tuple[str, Any]:
    """`stage.key=value` of the command line as key and value (YAML syntax). Raises ConfigError."""
    import yaml  # here, so that settings without files need no YAML

    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--set {text!r}: want stage.key=value")
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
        raise ConfigError(f"config file {path}: want a mapping of stages")
    stage_names = {f.name for f in dataclasses.fields(Config)}
    values: dict[str, Any] = {}
    for block in _parameter_blocks(content):
        for stage, stage_settings in block.items():
            if stage in stage_names and isinstance(stage_settings, dict):
                values.update({f"{stage}.{name}": value for name, value in stage_settings.items()})
            elif stage in stage_names or block is content:
                raise ConfigError(f"config file {path}: unknown stage {stage!r}; stages are {sorted(stage_names)}")
    return values


def _parameter_blocks(content: dict[str, Any]) -> list[dict[str, Any]]:
    blocks = [v["ros__parameters"] for v in content.values() if isinstance(v, dict) and "ros__parameters" in v]
    return blocks or [content]


def _coerced(value: Any, spec: Setting) -> Any:
    if spec.type is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


def _check(key: str, value: Any, spec: Setting) -> None:
    if not _is_a(value, spec.type):
        raise ConfigError(f"{key} = {value!r}: want {spec.type.__name__}")
    if spec.choices and value not in spec.choices:
        raise ConfigError(f"{key} = {value!r}: want one of {', '.join(spec.choices)}")
    below = spec.low is not None and value < spec.low
    above = spec.high is not None and value > spec.high
    if below or above:
        raise ConfigError(f"{key} = {value!r}: want {spec.low} to {spec.high} {spec.unit}".rstrip())


def _is_a(value: Any, kind: type) -> bool:
    """True and False are no numbers here, as they are for Python."""
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _nearest(key: str, known: dict[str, Setting]) -> str:
    import difflib

    close = difflib.get_close_matches(key, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
