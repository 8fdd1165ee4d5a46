"""Reach a machine: run programs there, move files, ask what it is and how it feels."""
