"""Artist similarity: relations between artists that nobody has seen in training."""
