"""Self-calibration from motion: time offset of the audio, yaw of the array and radius of a spherical head."""
