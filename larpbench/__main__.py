"""``python -m larpbench``."""

from larpbench.cli import main

main()
