"""Zero-cost proxies: what an untrained network says of the AP that it may reach, audited in the study that asks.

A file for each score; `scores` asks them of a candidate, `audit` holds them against the AP of finished trials and
against plain MACs, `ranking` chooses among proposals by the one that beats them, if any does. See `docs/proxies.md`.
"""
