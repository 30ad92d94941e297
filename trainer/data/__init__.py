"""Data sets: read, checked, drawn, augmented and batched."""
