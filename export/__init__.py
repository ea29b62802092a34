"""Export: a run's encoders as ONNX graphs and engines in a bundle that is checked against the model.

Public: the names below. The bundle is a public format; the modules in this package are not public.
"""

from cavsync.evaluate.inputs.model_bundle import default_sync
from cavsync.export.bundle import amend_card, export_bundle
from cavsync.export.inputs import PRECISIONS
from cavsync.export.trt.options import TensorRTOptions

__all__ = ["PRECISIONS", "TensorRTOptions", "amend_card", "default_sync", "export_bundle"]
