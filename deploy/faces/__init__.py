"""Faces in video: found, followed from frame to frame, and measured where the lips are.

`FaceFinder` gives the faces of each frame; `lips` turns a face into the numbers that the face model sees.
"""
