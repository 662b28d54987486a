"""From audio messages to evidence: analysis windows, ego noise, correlations of pairs and direction maps."""
