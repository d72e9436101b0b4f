"""Artist graphs: schema, files, checks and their sources."""
