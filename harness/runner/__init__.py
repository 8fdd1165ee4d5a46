"""What runs on the device: standard library, numpy and one runtime; Python 3.8 and later.

Nothing here imports the rest of the project, so that this folder can be pushed as it is.
"""
