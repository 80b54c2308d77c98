"""What JAX will compute on, and in which precision."""

from typing import NamedTuple

import jax


class DeviceInfo(NamedTuple):
    """Devices and precision of JAX.

    Attributes
    ----------
    platform : str
        "cpu", "gpu" or "tpu": where arrays are put unless told otherwise.
    devices : tuple of str
        Kind of every device of that platform, such as the name of a GPU.
    device_count : int
        How many there are; chains and shards run on all of them.
    x64 : bool
        Whether JAX computes in float64, which this library requires.
    precision : str
        "float64" or "float32": the type of a new array of real numbers.
    jax_version : str
        Version of JAX.
    notes : tuple of str
        What is missing and what to do about it, one sentence each.
    """

    platform: str
    devices: tuple[str, ...]
    device_count: int
    x64: bool
    precision: str
    jax_version: str
    notes: tuple[str, ...]


def get_device_info() -> DeviceInfo:
    """Return the devices and the precision that JAX uses now; nothing is changed.

    JAX makes its devices at their first use, so settings such as ``jax_num_cpu_devices`` must
    come before this call.
    """
    devices, platform = jax.devices(), jax.default_backend()
    x64 = bool(jax.config.jax_enable_x64)
    notes = []
    if not x64:
        notes.append(
            "JAX is set to float32, which homodyne_bayes refuses to compute in: call "
            'jax.config.update("jax_enable_x64", True) before anything else, or set '
            "JAX_ENABLE_X64=1."
        )
    if platform == "cpu":
        notes.append(
            "JAX uses no GPU: where there is one, install jax with its support, such as "
            'pip install "jax[cuda12]" for NVIDIA; without one, nothing is missing.'
        )
        if len(devices) == 1:
            notes.append(
                'JAX uses the CPU as one device: jax.config.update("jax_num_cpu_devices", n) '
                "before anything else lets n chains run side by side."
            )
    return DeviceInfo(
        platform=platform,
        devices=tuple(device.device_kind for device in devices),
        device_count=len(devices),
        x64=x64,
        precision="float64" if x64 else "float32",
        jax_version=jax.__version__,
        notes=tuple(notes),
    )
