"""Say which kinds of layers ncnn lacks: `python ncnn_layers.py KIND...`, a line `lacked KIND` for each."""

import sys

import ncnn

if __name__ == "__main__":
    for kind in sys.argv[1:]:
        if ncnn.layer_to_index(kind) < 0:
            sys.stdout.write(f"lacked {kind}\n")
