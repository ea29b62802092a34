"""What papers on generated sound and video report about a clip as it is: AV-Align, LSE-C and LSE-D, JavisScore.

None of them knows the truth. Imports `cavsync.deploy`, `cavsync.media` and the inputs of the motion baseline.
"""
