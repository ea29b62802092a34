"""`cavsync serve`: files, live streams and encoders over HTTP and WebSocket; needs the extra `serve`.

Public through its routes and messages only (docs/reference/http.md).
"""
