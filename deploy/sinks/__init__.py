"""Outcomes as text: JSON lines, CSV, WebVTT cues and a self-contained HTML report."""

from cavsync.atomic import check_writable, write_text_atomically
from cavsync.deploy.sinks.csv_table import csv_text
from cavsync.deploy.sinks.html import html_text
from cavsync.deploy.sinks.jsonl import jsonl_text
from cavsync.deploy.sinks.vtt import vtt_text

__all__ = ["check_writable", "csv_text", "html_text", "jsonl_text", "vtt_text", "write_text_atomically"]
