"""Architectures and what is done to them: files, the zoo, scaling, cost, torch models, latency."""
