"""Latency, measured so that others can reproduce it; `docs/latency.md` is the protocol in words.

Only `torch_runtimes.py`, `architectures.py`, `cache.py` and the command need more than the standard library and numpy:
the rest also runs on a device that has no torch (a test holds that).
"""
