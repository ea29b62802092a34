"""Import every module of the model, the kernels and training, as the installed package has them."""

import importlib
import pkgutil

import cavsync.data
import cavsync.kernels
import cavsync.model
import cavsync.train

count = 0
for package in (cavsync.data, cavsync.kernels, cavsync.model, cavsync.train):
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(found.name)
        count += 1
print(f"{count} modules imported from {cavsync.__path__[0]}")  # noqa: T201
