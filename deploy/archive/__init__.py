"""Archives of many files, scored by the workers of a Ray cluster into a Parquet data set.

ray, pyarrow, fsspec and psutil are the packages of `cavsync[ray]`; they are imported in functions only.
"""
