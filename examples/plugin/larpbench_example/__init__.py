"""A plug-in of larpbench with one encoder, one recommender, one data set and one task, a file each."""
