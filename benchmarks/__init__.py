"""Measurements of tunery: quality here, speed beside it. Not part of the installed package."""
