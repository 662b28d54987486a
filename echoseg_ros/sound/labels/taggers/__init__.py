"""Who says what a sound is: by measures (the default, no weights), or a model from a local folder, one file each."""
