"""An Android phone that is none: the device's end of adb, over TCP on loopback, in front of a real shell.

    uv run python -m tests.peers.adbd results/phone [--arm64] [--release android14] [-- COMMAND ...]

What is spoken follows AOSP's packages/modules/adb: protocol.txt (wire.py, auth.py, streams.py and
connection.py), SERVICES.TXT (connection.py, shell.py) and SYNC.TXT (sync.py). Google's own adb is its judge.
"""
