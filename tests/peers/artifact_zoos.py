"""Zoos of one model with artifacts that exist already."""

from harness.models.zoo import load_zoo

HASH = "a" * 64
HEAD = '[models.net]\ninputs = [{ name = "x", shape = [1, 3, 48, 192] }]\nfeed = "text_line"\n'


def zoo_in(folder):
    """Reads a zoo with one model, written to `folder`: its artifacts, and lines before them."""

    def read(artifacts, more=""):
        path = folder / "zoo.toml"
        path.write_text(f"{HEAD}{more}[models.net.artifacts]\n{artifacts}\n")
        return load_zoo(path)["net"]

    return read
