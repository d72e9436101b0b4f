"""The report: a folder of static pages made of a results folder, opened from disk, without network or server."""
