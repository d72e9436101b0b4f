"""Audio files of a data set: where they are, their tags, and which of them can be used."""
