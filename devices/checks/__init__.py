"""The steps of devices/doctor.py: each asks one thing of a device and says what mends it."""
