"""Gaussian process regression of some dozens of noisy values: numbers in, numbers out.

Matérn 5/2 kernel with a length for each input; lengths, signal and noise are the most probable ones under wide priors.
Source: Rasmussen, Williams, "Gaussian Processes for Machine Learning" (2006), algorithm 2.1 and equation 5.9.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Array = NDArray[np.float64]

NOISE = 0.02  # of the values' variance, that is thought the most probable
JITTER = 1e-4


class GaussianProcess:
    """A regression of values (n,) on inputs (n, d), each input from 0 to 1."""

    def __init__(self, inputs: Array, values: Array) -> None:
        self.inputs = inputs
        self.centre, self.scale = float(values.mean()), float(values.std()) or 1.0
        scaled = (values - self.centre) / self.scale
        squares = (inputs[:, None, :] - inputs[None, :, :]) ** 2
        size = inputs.shape[1]
        start = np.append(np.zeros(size + 1), math.log(NOISE))
        bounds = [(-4.0, 4.0)] * (size + 1) + [(-9.0, 1.0)]
        found = minimize(
            _improbability,
            start,
            (squares, scaled),
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 60},
        ).x
        self.weights, self.signal = np.exp(-2 * found[:size]), float(np.exp(found[size]))
        covariance = self.signal * _matern(squares @ self.weights)[0]
        self._factor = cho_factor(covariance + (np.exp(found[-1]) + JITTER) * np.eye(len(values)), lower=True)
        self._solved = cho_solve(self._factor, scaled)

    def predict(self, inputs: Array) -> tuple[Array, Array]:
        """Mean and standard deviation (m,) of the noiseless values at inputs (m, d)."""
        squares = ((inputs[:, None, :] - self.inputs[None, :, :]) ** 2) @ self.weights
        covariance = self.signal * _matern(squares)[0]
        explained = solve_triangular(self._factor[0], covariance.T, lower=True)
        variance = np.maximum(self.signal - (explained**2).sum(axis=0), 1e-9)
        return covariance @ self._solved * self.scale + self.centre, np.sqrt(variance) * self.scale


def _matern(squares: Array) -> tuple[Array, Array]:
    """The kernel of squared distances, and minus twice its derivative by them."""
    distance = np.sqrt(5 * np.maximum(squares, 1e-18))
    decay = np.exp(-distance)
    return (1 + distance + distance**2 / 3) * decay, 5 / 3 * (1 + distance) * decay


def _improbability(parameters: Array, squares: Array, values: Array) -> tuple[float, Array]:
    """Minus the logarithm of the parameters' probability, up to a constant, and its gradient.

    Parameters: logarithms of lengths (d), signal and noise; a priori normal about 1, 1 and `NOISE`.
    """
    size = squares.shape[2]
    weights, signal, noise = np.exp(-2 * parameters[:size]), np.exp(parameters[size]), np.exp(parameters[size + 1])
    kernel, slope = _matern(squares @ weights)
    covariance = signal * kernel + (noise + JITTER) * np.eye(len(values))
    factor = cho_factor(covariance, lower=True)
    inverse = cho_solve(factor, np.eye(len(values)))
    solved = inverse @ values
    off = parameters - np.append(np.zeros(size + 1), math.log(NOISE))
    off[-1] /= 1.5
    total = values @ solved / 2 + np.log(np.diag(factor[0])).sum() + (off**2).sum() / 2
    pull = (inverse - np.outer(solved, solved)) / 2
    lengths = signal * np.einsum("ij,ijk->k", pull * slope, squares) * weights
    gradient = np.array([*lengths, signal * (pull * kernel).sum(), noise * np.trace(pull)])
    off[-1] /= 1.5
    return float(total), gradient + off
