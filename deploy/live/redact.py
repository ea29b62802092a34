"""Masking of passwords and keys in addresses that are shown or logged."""

from __future__ import annotations

import re

HIDDEN = "***"
_USER_INFO = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*://)(?P<user>[^/?#\s'\"@:]*):[^/?#\s'\"]*@", re.IGNORECASE)
_SECRET_NAME = r"[\w.-]*(?:pass(?:word|phrase|wd)?|pwd|token|secret|key|signature|sig|auth|credential|streamid)[\w.-]*"
_SECRET_VALUE = re.compile(rf"(?P<name>[?&;]{_SECRET_NAME}=)[^&;\s'\"#]*", re.IGNORECASE)


def redact(text: str) -> str:
    """Return `text` with `***` for the password of every address and the value of every query entry that may be secret.

    An SRT `streamid` counts as secret, because it often carries a key.
    """
    hidden = _USER_INFO.sub(rf"\g<scheme>\g<user>:{HIDDEN}@", text)
    return _SECRET_VALUE.sub(rf"\g<name>{HIDDEN}", hidden)
