"""Scores as text: JSON lines, CSV and WebVTT cues. The HTML report is in `cavsync.deploy.sinks.html`.

It is not imported here because it needs jinja2, which neither live sinks nor embedded scorers use.
Public through the options of `cavsync score`; the formats are public, these functions are not.
"""

from cavsync.atomic import check_writable, write_text_atomically
from cavsync.deploy.sinks.text import jsonl_text, objects_of, vtt_text

__all__ = ["check_writable", "jsonl_text", "objects_of", "vtt_text", "write_text_atomically"]
