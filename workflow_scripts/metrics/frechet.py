"""The Fréchet distance between two Gaussians: FID when the features are Inception's, FD with any other."""

from __future__ import annotations

import numpy as np

from workflow_scripts.core.errors import PipelineError
from workflow_scripts.metrics.statistics import GaussianStatistics

# From this many dimensions on, SciPy saves more time than its import takes.
LARGE = 512


def frechet_distance(first: GaussianStatistics, second: GaussianStatistics) -> float:
    """|mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), in squared feature units, >= 0.

    Dowson and Landau 1982; as an image metric Heusel et al. 2017, eq. 6. Both covariances are [D, D] and may
    be rank-deficient. PipelineError on different shapes or values that are not finite.
    """
    for name, one, other in (("means", first.mu, second.mu), ("covariances", first.sigma, second.sigma)):
        if one.shape != other.shape:
            raise PipelineError(
                f"cannot compare {name} of shapes {list(one.shape)} and {list(other.shape)}; "
                "both sides must come from the same extractor"
            )
        # A sum is not finite if any value is not, and takes a third of the time.
        if not np.isfinite(one.sum() + other.sum()):
            raise PipelineError(f"{name} hold values that are not finite; check the features on both sides")
    difference = first.mu - second.mu
    distance = difference @ difference + np.trace(first.sigma) + np.trace(second.sigma)
    distance -= 2 * _trace_of_product_root(first.sigma, second.sigma)
    return max(float(distance), 0.0)  # rounding can go below 0


def _trace_of_product_root(first: np.ndarray, second: np.ndarray) -> float:
    """tr((S1 S2)^(1/2)); with S1 = U^T U the symmetric U S2 U^T has the eigenvalues of S1 S2."""
    root = _cholesky(first)
    if root is not None:
        values = _eigenvalues(root, second)
        # Eigenvalues far from zero show that S2 has full rank as well, without factorizing it.
        if values[0] > _rounding(second, values[-1]) or _cholesky(second) is not None:
            return float(np.sqrt(values.clip(min=0)).sum())
    # A rank-deficient side (fewer vectors than dimensions) gives zero eigenvalues that rounding turns into
    # +-eps, and their square roots into 1e-8. Roots cut to the numerical rank avoid both; the singular values
    # of R1^T R2 are the square roots of the eigenvalues of S1 S2.
    return float(np.linalg.svd(_low_rank_root(first).T @ _low_rank_root(second), compute_uv=False).sum())


def _cholesky(sigma: np.ndarray) -> np.ndarray | None:
    """U with sigma = U^T U, only its upper triangle valid, or None when sigma is numerically singular."""
    if len(sigma) < LARGE:
        try:
            root = np.linalg.cholesky(sigma).T
        except np.linalg.LinAlgError:
            return None
    else:
        from scipy.linalg import lapack

        # numpy calls the same routine, but its copies take twice as long as the routine.
        root, failed = lapack.dpotrf(sigma.T, lower=0, clean=0)
        if failed:
            return None
    # A singular matrix may pass by rounding, but leaves a pivot of rounding's size.
    return root if np.diag(root).min() ** 2 > _rounding(sigma, np.diag(sigma).max()) else None


def _eigenvalues(root: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """The eigenvalues of U S U^T, ascending."""
    if len(sigma) < LARGE:
        return np.linalg.eigvalsh(root @ sigma @ root.T)
    from scipy.linalg import eigvalsh, lapack

    # A quarter of the arithmetic of two matrix products.
    product = lapack.dsygst(sigma.T, root, itype=2, lower=0)[0]
    return eigvalsh(product, lower=False, overwrite_a=True, check_finite=False, driver="evr")


def _low_rank_root(sigma: np.ndarray) -> np.ndarray:
    """R [D, rank] with sigma = R R^T, by a pivoted Cholesky factorization that stops at rounding's size."""
    from scipy.linalg import lapack

    factor, pivots, rank, _ = lapack.dpstrf(sigma.T, tol=_rounding(sigma, np.diag(sigma).max()), lower=0)
    root = np.empty((len(sigma), rank))
    root[pivots - 1] = np.triu(factor)[:rank].T
    return root


def _rounding(sigma: np.ndarray, scale: float) -> float:
    """The size below which an eigenvalue counts as zero, as in numpy's matrix_rank."""
    return scale * len(sigma) * np.finfo(np.float64).eps
