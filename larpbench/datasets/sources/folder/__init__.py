"""Music libraries: a folder of audio files, with playlist files or without."""
