"""Encoders: from a track to a vector. The registry holds specs, which are light; building one may be heavy."""
