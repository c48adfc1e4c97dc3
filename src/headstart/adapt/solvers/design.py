"""The design matrix of a head, standardised and rotated once for all strengths and all folds.

Dimensions: N examples, D features, R rank (<= min(N, D)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from scipy import sparse
from torch import Tensor

Scaling = Literal["column", "global", "none"]
GPU_WORK = 1e9  # multiplications in one product, below which the CPU is not worth leaving
RANK_TOLERANCE = 1e-6  # eigenvalues below this share of the largest carry only rounding noise


@dataclass(frozen=True, slots=True, eq=False)
class Design:
    """Features in the basis in which their second moments are diagonal, with an intercept column.

    One eigendecomposition makes a diagonal preconditioner good for every regularisation strength
    and every fold. Sparse features are neither centred nor rotated, so that they stay sparse.
    `moments` (R + 1,): mean square of each column.
    """

    forward: Tensor  # (N, R + 1), dense, or sparse CSR
    adjoint: Tensor  # (R + 1, N)
    moments: Tensor
    basis: Tensor | None  # (D, R): columns of the rotation; None where there is none
    mean: np.ndarray | None  # (D,)
    scale: np.ndarray | None  # (D,)

    def outputs(self, solution: Float[Tensor, "K P R1"]) -> Float[Tensor, "K P N"]:
        """Return the outputs (K, P, N) of P problems' solutions (K, P, R + 1)."""
        flat = solution.reshape(-1, solution.shape[-1])
        found = (self.forward @ flat.T).T if self.forward.is_sparse_csr else flat @ self.adjoint
        return found.contiguous().reshape(*solution.shape[:2], -1)

    def pull(self, residual: Float[Tensor, "K P N"]) -> Float[Tensor, "K P R1"]:
        """Return what a gradient by outputs (K, P, N) is by solutions (K, P, R + 1)."""
        flat = residual.reshape(-1, residual.shape[-1])
        found = (self.adjoint @ flat.T).T if self.forward.is_sparse_csr else flat @ self.forward
        return found.contiguous().reshape(*residual.shape[:2], -1)

    def weights(
        self, solution: Float[Tensor, "R1 K"]
    ) -> tuple[Float[np.ndarray, "D K"], Float[np.ndarray, " K"]]:
        """Turn a solution (R + 1, K) into weights (D, K) and bias (K,) for raw features."""
        inner, bias = solution[:-1], solution[-1].double().cpu().numpy()
        if self.basis is not None:
            inner = self.basis @ inner
        weights = inner.double().cpu().numpy()
        if self.scale is not None and self.mean is not None:
            weights = weights / self.scale[:, None]
            bias = bias - self.mean @ weights
        return weights.astype(np.float32), bias.astype(np.float32)


def design(
    features: Any, *, scaling: Scaling = "column", device: torch.device | None = None
) -> Design:
    """Prepare features (N, D): a float ndarray, or a scipy CSR matrix (left as it is).

    `scaling`: "column" gives every column unit variance, "global" divides all by one number
    (their mean variance becomes one), which does not blow up columns that hardly vary; "none"
    centres only.
    """
    if sparse.issparse(features):
        return _sparse(features)
    mean, scale = moments_of(features)
    if scaling != "column":
        overall = np.sqrt(np.mean(np.where(np.isfinite(scale), scale, 0.0) ** 2))
        even = 1.0 if scaling == "none" or overall == 0 else overall
        scale = np.where(np.isfinite(scale), even, np.inf)
    standard = torch.from_numpy(((features - mean) / scale).astype(np.float32))
    if device is not None:
        standard = standard.to(device)
    rotated, basis = _rotate(standard)
    ones = torch.ones(len(rotated), 1, device=rotated.device)
    forward = torch.cat([rotated, ones], dim=1)
    moments = forward.square().mean(dim=0)
    return Design(forward, forward.T, moments, basis, mean, scale)


def device_for(features: Any, outputs: int) -> torch.device:
    """Return where heads over features (N, D) are solved: a CUDA GPU, where the work is worth it.

    Apple's GPU has neither the decompositions nor the float64 that this needs.
    """
    from headstart.compute.machine import machine, torch_device

    work = float(np.prod(features.shape)) * outputs
    if machine().device != "cuda" or work < GPU_WORK or sparse.issparse(features):
        return torch.device("cpu")
    return torch_device()


def moments_of(
    features: Float[np.ndarray, "N D"],
) -> tuple[Float[np.ndarray, " D"], Float[np.ndarray, " D"]]:
    """Return mean and standard deviation (D,) float64; infinite for constant columns.

    Dividing by infinity makes a constant column zero, which is what it is worth.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    scale = features.std(axis=0, dtype=np.float64)
    scale[scale < 1e-7 * max(1.0, float(np.abs(mean).max(initial=0.0)))] = np.inf
    return mean, scale


def _rotate(
    standard: Float[Tensor, "N D"],
) -> tuple[Float[Tensor, "N R"], Float[Tensor, "D R"]]:
    """Return (rotated (N, R), basis (D, R)) with rotated = standard @ basis."""
    count, width = standard.shape
    if width <= count:
        values, basis = torch.linalg.eigh(standard.T @ standard)
        basis = basis[:, values > RANK_TOLERANCE * values.max()]
        return standard @ basis, basis
    values, left = torch.linalg.eigh(standard @ standard.T)
    kept = values > RANK_TOLERANCE * values.max()
    lengths = values[kept].sqrt()
    return left[:, kept] * lengths, standard.T @ (left[:, kept] / lengths)


def _sparse(features: Any) -> Design:
    ones = sparse.csr_matrix(np.ones((features.shape[0], 1), np.float32))
    with_ones = sparse.csr_matrix(sparse.hstack([features, ones]), dtype=np.float32)
    moments = np.asarray(with_ones.multiply(with_ones).mean(axis=0)).ravel()
    return Design(
        forward=_torch_csr(with_ones),
        adjoint=_torch_csr(sparse.csr_matrix(with_ones.T)),
        moments=torch.from_numpy(moments.astype(np.float32)),
        basis=None,
        mean=None,
        scale=None,
    )


def _torch_csr(matrix: Any) -> Tensor:
    import warnings

    with warnings.catch_warnings():  # torch calls its CSR support beta at every use
        warnings.simplefilter("ignore")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data),
            size=matrix.shape,
        )
