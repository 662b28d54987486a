"""Labels of sources: beamforming, features of a sound, and taggers that name it."""
