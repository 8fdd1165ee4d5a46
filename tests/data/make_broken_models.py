"""Write tests/data/broken_models and healthy_models anew: `python tests/data/make_broken_models.py`.

Each folder is one function of tests/model_samples, which says what is wrong with it. Nothing is random: the
same bytes come out every time.
"""

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from model_samples import broken_folders, broken_runtimes, broken_weights  # noqa: E402
from model_samples.healthy import HEALTHY  # noqa: E402

BROKEN = {**broken_folders.BROKEN, **broken_weights.BROKEN, **broken_runtimes.BROKEN}
"""Every defect -> the kinds of finding that must tell it."""


def main(root):
    """Write both collections into `root`, in place of what is there."""
    for name, makers in (("broken_models", BROKEN), ("healthy_models", HEALTHY)):
        shutil.rmtree(root / name, ignore_errors=True)
        for make in makers:
            folder = root / name / make.__name__
            folder.mkdir(parents=True)
            make(folder)


if __name__ == "__main__":
    main(HERE)
