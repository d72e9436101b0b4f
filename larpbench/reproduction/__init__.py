"""The papers' tables and figures: what is missing is run, and the published value stands beside each of ours."""
