"""A machine behind a POSIX shell: everything of a driver but how bytes get there.

`transport.py` says what a connection must do; `shell.py` runs scripts over it; `device.py` makes a Device of
both. SSH and ADB differ in the transport alone.
"""
