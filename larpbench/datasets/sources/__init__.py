"""Sources of data sets: one file or folder for each format that is read."""
