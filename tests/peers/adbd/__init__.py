"""An Android phone that is none: the device's end of adb, over TCP on loopback, in front of a real shell.

    uv run python -m tests.peers.adbd [android14 | android9]

What is spoken follows AOSP's packages/modules/adb: protocol.txt (wire.py, auth.py, streams.py and
connection.py), SERVICES.TXT (connection.py, shell.py) and SYNC.TXT (sync.py). Google's own adb is its judge.
"""
