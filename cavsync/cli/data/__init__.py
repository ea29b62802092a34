"""The commands of `cavsync data`."""
