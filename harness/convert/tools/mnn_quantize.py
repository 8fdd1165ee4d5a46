"""mnnquant without its script: `python mnn_quantize.py MODEL OUT CONFIG`."""

import sys

import _tools

if __name__ == "__main__":
    # Its return value and its exit code are those of success whatever it did; the caller looks at the file.
    _tools.mnnquant(["mnnquant", *sys.argv[1:]])
