"""The embedded `demo-listeners` data set: invented listeners with histories over time, and vectors of two strengths.

It lets the task ``cold-tracks`` run with nothing to download; it says nothing of any encoder on real music.
"""
