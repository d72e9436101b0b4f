"""The Million Playlist Dataset, from the user's own copy."""
