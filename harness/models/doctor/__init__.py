"""What is wrong with a model on disk: `diagnose(path)` says it file by file, and runs nothing of the folder.

Neither torch nor transformers nor onnx is imported; headers are read by hand, code is parsed, pickles are
followed opcode by opcode.
"""

from harness.models.doctor.diagnose import diagnose
from harness.models.doctor.findings import Diagnosis, Finding, Severity
from harness.models.doctor.transformers import TRANSFORMERS

__all__ = ["TRANSFORMERS", "Diagnosis", "Finding", "Severity", "diagnose"]
