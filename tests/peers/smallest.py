"""The zoo's smallest model for one runtime, with everything that its case needs."""

from pathlib import Path

from harness.cache import Cache
from harness.models.zoo import load_zoo
from harness.platforms import HOST
from harness.preparation import make_ready
from harness.runtimes import RUNTIMES
from harness.spec import Case

ZOO = Path(__file__).parent.parent.parent / "suites" / "zoo.toml"


def smallest_model():
    return load_zoo(ZOO)["ppocr_cls"]


def smallest_ready(platform=HOST):
    """In onnxruntime's default version, fp32, on one thread."""
    runtime, model = RUNTIMES["onnxruntime"], smallest_model()
    case = Case(
        model=model.name,
        runtime=runtime.name,
        runtime_version=runtime.default_version,
        precision="fp32",
        threads=1,
    )
    return make_ready(Cache(), model, ZOO.parent, case, platform)
