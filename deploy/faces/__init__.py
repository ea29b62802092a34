"""Faces in video: found, followed from frame to frame, and measured where the lips are.

`FaceFinder` gives the faces of each frame; `cavsync.media.mouth` turns a face into what the face model sees.
"""
