"""`cavsync serve`: files, live streams and encoders over HTTP and WebSocket; needs the extra `serve`."""
