"""The benchmark run: the plan of its cells, and their execution."""
