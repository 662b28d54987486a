"""From microphone samples to sources on the map."""
