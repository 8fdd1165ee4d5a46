"""A PEP 517 backend that builds nothing: what a package is called is read from its PKG-INFO.

pip asks a source distribution's own backend before it keeps the archive, and ncnn's answers with the date
of today as its version. Under this one, nothing of what is downloaded runs.
"""

import os
import shutil
from email.parser import HeaderParser


def prepare_metadata_for_build_wheel(metadata_directory: str, config_settings: object = None) -> str:
    """Name of the metadata directory made in `metadata_directory`."""
    del config_settings
    with open("PKG-INFO", encoding="utf-8") as stream:  # noqa: PTH123 - copied into pip's environment
        said = HeaderParser().parse(stream, headersonly=True)
    name = f"{said['Name']}-{said['Version']}.dist-info"
    folder = os.path.join(metadata_directory, name)  # noqa: PTH118
    os.mkdir(folder)  # noqa: PTH102
    shutil.copyfile("PKG-INFO", os.path.join(folder, "METADATA"))  # noqa: PTH118
    return name


def build_wheel(
    wheel_directory: str, config_settings: object = None, metadata_directory: str | None = None
) -> str:
    """Never: only the archive is wanted."""
    raise NotImplementedError(wheel_directory, config_settings, metadata_directory)
