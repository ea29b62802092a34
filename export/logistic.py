"""Logistic regression with non-negative weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

FloatArray = NDArray[np.float64]

RIDGE = 1e-2


def fit_logistic(
    features: FloatArray, labels: NDArray[np.bool_], counts: FloatArray | None = None
) -> tuple[FloatArray, float]:
    """Features (n, F) and labels (n,) -> non-negative weights (F,) and bias, for features that are not standardised.

    Maximum likelihood with a slight ridge on the weights of the standardised features; each example counts as often as
    `counts` (n,) says, once by default.
    """
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    share = np.full(len(labels), 1 / len(labels)) if counts is None else counts / counts.sum()
    scaled, signs = (features - centre) / spread, np.where(labels, 1.0, -1.0)

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        margins = signs * (scaled @ parameters[:-1] + parameters[-1])
        pull = -signs * sigmoid(-margins) * share
        gradient = np.append(scaled.T @ pull + RIDGE * parameters[:-1], pull.sum())
        value = (np.logaddexp(0, -margins) * share).sum() + 0.5 * RIDGE * (parameters[:-1] ** 2).sum()
        return float(value), gradient

    width = features.shape[1]
    found = minimize(
        loss, np.zeros(width + 1), jac=True, method="L-BFGS-B", bounds=[(0.0, None)] * width + [(None, None)]
    )
    weights = found.x[:-1] / spread
    return weights, float(found.x[-1] - weights @ centre)


def sigmoid(values: FloatArray) -> FloatArray:
    """Logit -> probability, for any size of logit."""
    result: FloatArray = 0.5 * (1 + np.tanh(0.5 * values))
    return result
