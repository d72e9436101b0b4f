"""Kills every command that writes, again and again, and looks for what is lost, different or left over.

A script of the package's tests, not a part of the harness: ``python -m larpbench.testing.torture --help``.
"""
