"""Tiny models of every form, written byte by byte: what tests/data/make_broken_models.py is made of."""
