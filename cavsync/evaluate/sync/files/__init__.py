"""Temporary files of a sync test: a clip with another offset, another clip's sound, or its picture changed.

Imports the packet copies of `cavsync.deploy.repair` and `cavsync.media`; of the room above only the clips' records.
"""
