"""x2paddle's command, for an interpreter started without site: `python x2paddle_convert.py --model=...`."""

import site

# paddle joins this path at import; without site it is None and the import fails.
site.getusersitepackages()

from x2paddle.convert import main  # noqa: E402

if __name__ == "__main__":
    main()
