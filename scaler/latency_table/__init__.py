"""Latency predicted from a table of layers, measured where they stand in whole networks; `docs/latency.md` says how.

Only `in_situ.py` and `calibrate.py` need torch: a table is read, and predicts, without it.
"""
