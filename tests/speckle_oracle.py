"""Dense covariances of the entries of a two-time map, which only small maps can afford."""

import numpy as np


def entries(n):
    """Earlier and later frame of every pair."""
    return np.triu_indices(n, k=1)


def working(S):
    """Working covariance of all pairs: S_ac S_bd + S_ad S_bc."""
    a, b = entries(len(S))
    return S[np.ix_(a, a)] * S[np.ix_(b, b)] + S[np.ix_(a, b)] * S[np.ix_(b, a)]


def single_pixel(g1, contrast, nugget):
    """Covariance of ψ_ab = x_a x_b - s_ab (1 + x_a + x_b) of one pixel, all pairs.

    Fourth moments of the intensity of equal modes with contrast β, counted as photons: pair
    correlations, the three and the six ways to chain three and four intensities, and what photons
    add where frames coincide. ``g1`` is the correlation of the field, real or Hermitian: the two
    senses of a chain are conjugates of each other, so that their sum is twice the real part.
    """
    n, e, G = len(g1), nugget, g1
    a, b = (index[:, None] for index in entries(n))
    c, d = (index[None, :] for index in entries(n))
    s = contrast * np.abs(G) ** 2
    k = s + e * np.eye(n)

    def same(i, j):
        return (i == j).astype(float)

    def three(i, j, m):
        return 2 * contrast**2 * (G[i, j] * G[j, m] * G[m, i]).real

    fourth = (
        k[a, c] * k[b, d]
        + k[a, d] * k[b, c]
        + 2
        * contrast**3
        * (
            G[a, b] * G[b, c] * G[c, d] * G[d, a]
            + G[a, b] * G[b, d] * G[d, c] * G[c, a]
            + G[a, c] * G[c, b] * G[b, d] * G[d, a]
        ).real
        + e * (same(a, c) + same(b, c)) * three(a, b, d)
        + e * (same(a, d) + same(b, d)) * three(a, b, c)
        + e**2 * (same(a, c) * same(b, d) + same(a, d) * same(b, c)) * s[a, b]
    )

    def third(i, j, m, o):
        touching = same(i, m) + same(i, o) + same(j, m) + same(j, o)
        return three(i, j, m) + three(i, j, o) + e * touching * s[i, j]

    return (
        fourth
        - third(a, b, c, d) * s[c, d]
        - third(c, d, a, b) * s[a, b]
        + s[a, b] * s[c, d] * (k[a, c] + k[a, d] + k[b, c] + k[b, d])
    )
