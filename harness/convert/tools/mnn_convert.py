"""mnnconvert without its scripts: `python mnn_convert.py -f ONNX --modelFile ...`."""

import sys

import _tools

if __name__ == "__main__":
    # Its return value is True even for a file that is not there; the caller looks at the file.
    _tools.mnnconvert(["mnnconvert", *sys.argv[1:]])
