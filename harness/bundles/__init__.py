"""Bundles: the files of one runtime for one platform that can run on a device.

A bundle is a directory with `bundle.json`; two versions of a runtime are two bundles and live side by side.
There are three kinds, one file each: `wheel` (packages for the device's own Python), `portable` (the same
with a Python and a C library inside), `binary` (an executable of the user's, or of ours: `native`).
"""

from harness.bundles.base import Bundle
from harness.bundles.binary import binary_bundle
from harness.bundles.choice import bundle_for
from harness.bundles.portable import portable_bundle
from harness.bundles.wheel import wheel_bundle

__all__ = ["Bundle", "binary_bundle", "bundle_for", "portable_bundle", "wheel_bundle"]
