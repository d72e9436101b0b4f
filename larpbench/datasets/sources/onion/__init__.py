"""Music4All-Onion: listening logs, and vectors of audio, text and video, from the user's own copy."""
