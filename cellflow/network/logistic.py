"""Logistic regression with a ridge penalty: small and deterministic."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST_SPREAD = 1e-6
"""Relative to the largest; a feature with a smaller standard deviation counts as constant."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Logistic:
    """Linear scores of K classes; their softmax is the probability of each.

    Parameters
    ----------
    weights : (K, D) float64
        For unscaled features.
    bias : (K,) float64
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def probabilities(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Give the (N, K) probabilities of (N, D) features."""
        return softmax(features @ self.weights.T + self.bias)


def fit_logistic(
    features: NDArray[np.floating[Any]],
    classes: NDArray[np.int64],
    n_classes: int,
    penalty: float,
    *,
    common_scale: bool = False,
) -> Logistic:
    """Fit the classes of N examples.

    Parameters
    ----------
    features : (N, D) float
        On any scale; they are centred and scaled here.
    classes : (N,) int64
        0 … K - 1.
    n_classes : int
        K.
    penalty : float
        Factor of half the squared weights (on scaled features) in the loss; > 0.
    common_scale : bool
        Whether all features are scaled by one number, so that those that vary more count more, like
        the components of a vector; otherwise each by its own standard deviation.

    Notes
    -----
    The loss is convex and the start is 0, so equal data give equal weights. Two classes have
    opposite weights.
    """
    features = features.astype(np.float64)
    mean, spread = features.mean(axis=0), features.std(axis=0)
    is_constant = spread <= SMALLEST_SPREAD * max(spread.max(initial=0.0), 1e-30)
    common = max(float(np.sqrt((spread**2).mean())), 1e-30)
    scale = np.where(is_constant, np.inf, common if common_scale else spread)
    x = (features - mean) / scale
    wanted = np.eye(n_classes)[classes]
    n, d = x.shape

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        both = flat.reshape(n_classes, d + 1)
        weights, bias = both[:, :d], both[:, d]
        probability = softmax(x @ weights.T + bias)
        value = -np.log(np.maximum(probability, 1e-300))[wanted > 0].mean()
        residual = (probability - wanted) / n
        slope = np.column_stack([residual.T @ x + penalty * weights, residual.sum(axis=0)])
        return float(value + penalty * (weights**2).sum() / 2), slope.ravel()

    # Takes half a second to import, which prediction does not need.
    from scipy.optimize import minimize

    start = np.zeros(n_classes * (d + 1))
    options = {"ftol": 1e-12, "gtol": 1e-7, "maxiter": 1000, "maxfun": 10_000}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    both = found.reshape(n_classes, d + 1)
    weights = both[:, :d] / scale
    return Logistic(weights=weights, bias=both[:, d] - weights @ mean)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give probabilities along the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    normalised: NDArray[np.float64] = raised / raised.sum(axis=-1, keepdims=True)
    return normalised
