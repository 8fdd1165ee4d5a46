"""Boards and other Linux machines over SSH."""
