"""Files of a run: JSON documents, map, pictures, sound of the sources, metrics against the truth, and rendered views."""
