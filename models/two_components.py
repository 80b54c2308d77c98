"""Two components that scatter, of which one moves against the other: heterodyne XPCS.

Both fields are Gaussian, and independent of each other, over a bin of many speckles, so that
Siegert's relation holds for their sum. Only the velocity along q of one against the other is seen.
"""

from homodyne_bayes.physics import components, kit


def two_components(
    points: kit.Points,
    D_reference: kit.History,
    D_sample: kit.History,
    share: kit.History,
    velocity: kit.History | None = None,
    phi0: kit.Array | float = 0.0,
) -> kit.Array:
    """Return the complex field of a reference and of a sample that moves along phi0."""
    x_s, x_r = (values.clip(0, 1) for values in (share.values, 1 - share.values))
    sample = kit.g1_diffusion(points, D_sample) * kit.phasor(
        kit.drift_phase(points, velocity, phi0)
    )
    field = kit.of_both_frames(points, x_r) * kit.g1_diffusion(points, D_reference)
    field += kit.of_both_frames(points, x_s) * sample
    return field / kit.of_both_frames(points, (x_s**2 + x_r**2) ** 0.5)


MODEL = kit.Model(
    two_components,
    title="a reference, and a sample that moves against it: both scatter",
    needs=("phi",),
    rates=(*components.REST, (components.VELOCITY, kit.POWER_LAW)),
    parameters=(kit.PHI0,),
    formula=lambda _convention: components.FORMULA,
    example=components.EXAMPLE,
    references=(kit.HE_2025,),
    still=kit.Model(two_components, "a reference and a sample at rest", rates=components.REST),
)
