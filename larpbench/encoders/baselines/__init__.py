"""Baselines of the papers that are trained here: CLAP-FT, CO-Playlist, and a CNN that is trained as MULE was."""
