"""Export: a run's encoders as ONNX graphs in a bundle that proves itself."""

from cavsync.export.bundle import PRECISIONS, amend_card, default_sync, export_bundle

__all__ = ["PRECISIONS", "amend_card", "default_sync", "export_bundle"]
