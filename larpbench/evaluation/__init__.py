"""The protocol's arithmetic: held-out tracks, ranking, metrics, chance and ceiling, intervals."""
