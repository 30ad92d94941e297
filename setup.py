"""The packages of `catscale`: the repository's root, and every room below it that holds code."""

from setuptools import find_packages, setup

ROOMS = ("blocks", "scaler", "trainer", "search", "reports")
INSIDE = [pattern for room in ROOMS for pattern in (room, f"{room}.*")]

setup(packages=["catscale", *(f"catscale.{package}" for package in find_packages(".", include=INSIDE))])
