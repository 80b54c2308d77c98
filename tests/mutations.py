"""Valid files of every format, and what can be done to them: one mutation a seed."""

import json
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

from homodyne_bayes.data.formats.limits import FileContents
from homodyne_bayes.data.writing import write_aps_u, write_netcdf, write_nxxpcs
from tests.bad_inputs import (
    MAP_1,
    USER,
    archive,
    edited_aps_u,
    good_aps_u,
    good_cache,
    good_data,
    maps,
    plain_netcdf,
)
from tests.data.test_esrf import V2, esrf
from tests.data.test_facilities import chx, legacy

NUMBERS = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e308, 1e-308, 2**63 - 1, -(2**31), 0.5)
SETTINGS = {
    "data": {"q": 0.0054, "gap": 2e6, "exclude_frames": [3, 4]},
    "fit": {"model": "static", "num_shards": 4, "priors": {"phi0": [0, 10]}, "seed": 1},
}
HDF5_FILES: dict[str, Callable[[Path], object]] = {
    "aps-u": lambda path: write_aps_u(path, good_data()),
    "netcdf": lambda path: write_netcdf(path, good_data()),
    "nxxpcs": lambda path: write_nxxpcs(path, good_data()),
    "aps-legacy": legacy,
    "chx": chx,
    "esrf": lambda path: esrf(path, c2=maps(1)),
    "esrf-v1": lambda path: esrf(path, c2=maps(1), new=False),
}
COMMON = ("aps-u", "netcdf", "cache", "npz", "npy")
FACILITIES = ("nxxpcs", "aps-legacy", "chx", "esrf", "esrf-v1")
Arrays = dict[str, Any]


def value_for(rng: random.Random, old: np.ndarray) -> Any:
    """Return something in place of an array: other numbers, shape, type, or no number at all."""
    old = np.asarray(old)
    flat = old.astype(float, copy=True).ravel() if old.dtype.kind in "fiub" else np.zeros(old.size)
    choices: tuple[Callable[[], Any], ...] = (
        lambda: np.where(
            np.arange(flat.size) == rng.randrange(flat.size or 1), rng.choice(NUMBERS), flat
        ).reshape(old.shape),
        lambda: np.full(old.shape, rng.choice(NUMBERS)),
        lambda: old[..., : rng.randrange(max(1, old.shape[-1]))] if old.ndim else np.empty(0),
        lambda: np.empty((0, *old.shape[1:])),
        lambda: old[None],
        lambda: np.concatenate([flat, flat]),
        lambda: flat[::-1].reshape(old.shape),
        lambda: flat.reshape(old.shape).astype(rng.choice(["f2", "f4", "i1", "u8", "c16", "?"])),
        lambda: rng.choice(NUMBERS),
        lambda: "text",
        lambda: np.array(["a", "b"], dtype="S1"),
    )
    with np.errstate(all="ignore"):
        return rng.choice(choices)()


def damaged(rng: random.Random, path: Path) -> str:
    """Damage the bytes of a file, and say how."""
    whole = bytearray(path.read_bytes())
    kind = rng.choice(["cut", "flip", "prefix", "suffix", "zeros", "empty"])
    at = rng.randrange(len(whole))
    if kind == "cut":
        whole = whole[:at]
    elif kind == "flip":
        for _ in range(rng.choice([1, 8, 64])):
            whole[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
    elif kind == "prefix":
        whole = bytearray(rng.randbytes(rng.randrange(1, 64))) + whole
    elif kind == "suffix":
        whole += rng.randbytes(rng.randrange(1, 4096))
    elif kind == "zeros":
        whole[at : at + 256] = bytes(len(whole[at : at + 256]))
    else:
        whole = bytearray()
    path.write_bytes(whole)
    return f"bytes: {kind}"


def edited_hdf5(rng: random.Random, path: Path) -> str:
    """Change one dataset, group, attribute or link of an HDF5 file, and say how."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = rng.choice(names)
        item = file[name]
        kind = rng.choice(
            [
                "drop",
                "replace",
                "replace",
                "replace",
                "group",
                "dangling",
                "loop",
                "rename",
                "attribute",
            ]
        )
        if kind == "attribute":
            owner = file if rng.random() < 0.5 else item
            for key in [*owner.attrs, "gap", "provenance", "units"][: rng.randrange(1, 4)]:
                owner.attrs[key] = rng.choice([*NUMBERS, "text", "{", "[]", b"\xff"])
            return f"hdf5: attributes of {name}"
        old = item[()] if isinstance(item, h5py.Dataset) else np.zeros(3)
        if (
            kind == "replace"
            and isinstance(old, bytes | np.ndarray)
            and np.asarray(old).dtype.kind == "O"
        ):
            old = np.zeros(2)
        if kind == "rename":
            file.move(name, f"{name}_other")
            return f"hdf5: rename {name}"
        del file[name]
        if kind == "replace":
            file[name] = value_for(rng, old)
        elif kind == "group":
            file.create_group(name)
        elif kind == "dangling":
            file[name] = h5py.SoftLink("/nowhere")
        elif kind == "loop":
            file[name] = h5py.SoftLink(f"/{name}")
        return f"hdf5: {kind} {name}"


def edited_arrays(rng: random.Random, arrays: Arrays) -> tuple[Arrays, str]:
    """Change one array of an archive, and say how."""
    name = rng.choice(list(arrays))
    if rng.random() < 0.2:
        return {key: value for key, value in arrays.items() if key != name}, f"npz: drop {name}"
    if rng.random() < 0.1:
        return arrays | {name: np.array([{}, None], dtype=object)}, f"npz: pickle {name}"
    return arrays | {name: value_for(rng, arrays[name])}, f"npz: replace {name}"


def mutated(seed: int, folder: Path) -> tuple[Path, str]:
    """Make one mutated file, and say what was done."""
    rng = random.Random(seed)
    kind = rng.choice(COMMON if seed % 4 else FACILITIES)
    ending = {"netcdf": "nc", "npy": "npy", "cache": "npz", "npz": "npz"}.get(kind, "hdf")
    path = folder / f"{seed}.{ending}"
    done = ""
    if kind in HDF5_FILES:
        HDF5_FILES[kind](path)
    elif kind == "npy":
        np.save(path, value_for(rng, maps()) if rng.random() < 0.7 else maps())
        done = "npy: replace"
    else:
        arrays = good_cache() if kind == "cache" else {"c2": maps(), "q": 0.0054, "dt": 0.1}
        arrays, done = edited_arrays(rng, arrays)
        np.savez(path, **arrays)
    if rng.random() < 0.4 or (kind == "npy" and rng.random() < 0.5):
        done = damaged(rng, path)
    elif kind in HDF5_FILES:
        done = edited_hdf5(rng, path)
    return path, f"{kind}, {done}"


def options(seed: int, contents: FileContents) -> dict[str, Any]:
    """Return what a user passes beside the file: nothing, or all that may be missing."""
    if not seed % 2:
        return {}
    told = all(phi is not None for _, phi in contents.bins)
    return {("angles" if told and name == "phi" else name): given for name, given in USER.items()}


def mutated_settings(seed: int, folder: Path) -> tuple[Path, str]:
    """Make one mutated settings file, and say what was done."""
    rng = random.Random(seed)
    settings = json.loads(json.dumps(SETTINGS))
    section = rng.choice(["data", "fit"])
    key = rng.choice([*settings[section], "unknown", "méthode"])
    value = rng.choice(
        [
            *map(float, NUMBERS),
            "text",
            None,
            [],
            {},
            [1, "a"],
            {"a": {"b": 1}},
            True,
            "1-1000000000",
            "../../etc/passwd:f",
            "\x00",
        ]
    )
    settings[section][key] = value
    if rng.random() < 0.1:
        settings[section] = value
    text = yaml.safe_dump(settings, allow_unicode=True)
    kind = rng.choice(["value", "value", "cut", "tag", "insert", "deep", "bytes"])
    at = rng.randrange(len(text))
    content = {
        "value": text,
        "cut": text[:at],
        "tag": text + "\nfit: !!python/object/apply:os.system ['true']\n",
        "insert": text[:at] + rng.choice(":-[]{}&*!|>%@`\t\n\"'") + text[at:],
        "deep": "data: " + "[" * 50 + "]" * 50,
        "bytes": text,
    }[kind].encode()
    if kind == "bytes":
        content = content[:at] + rng.randbytes(8) + content[at:]
    path = folder / f"{seed}.yaml"
    path.write_bytes(content)
    return path, f"yaml: {kind} {section}.{key}"


def header(shape: tuple[int, ...]) -> bytes:
    """Return how an .npy file of this shape starts."""
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def with_member(name: str, *parts: bytes, **arrays: Any) -> Callable[[Path], Path]:
    """Return a builder of an .npz archive of these arrays and of one member of raw bytes."""

    def build(folder: Path) -> Path:
        path = archive(**arrays)(folder)
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as file, file.open(name, "w") as out:
            for part in parts:
                out.write(part)
        return path

    return build


def edited_netcdf(edit: Callable[[h5py.File], None]) -> Callable[[Path], Path]:
    """Return a builder of a good netCDF file with one edit."""

    def build(folder: Path) -> Path:
        path = plain_netcdf(folder)
        (folder / "other").write_bytes(path.read_bytes())
        with h5py.File(path, "r+") as file:
            edit(file)
        return path

    return build


def _linked(file: h5py.File) -> None:
    file.move("c2", "old")
    file["c2"] = h5py.ExternalLink("other", "/c2")


def _raw_numbers_elsewhere(file: h5py.File) -> None:
    scales = [file[name].name for name in ("phi", "t1", "t2")]
    del file["c2"]
    item = file.create_dataset("c2", (3, 12, 12), "f8", external=[("other", 0, 8 * 3 * 144)])
    for axis, name in enumerate(scales):
        item.dims[axis].attach_scale(file[name])


def _huge_axis(file: h5py.File) -> None:
    axis = file.create_dataset("huge", (3 * 10**8,), "f8", chunks=(10**6,), compression="gzip")
    axis.make_scale("huge")


def _soft_link_out(file: h5py.File) -> None:
    del file[MAP_1]
    file["away"] = h5py.ExternalLink("other", "/")
    file[MAP_1] = h5py.SoftLink("/away/c2")


def _all_outside(file: h5py.File) -> None:
    del file["xpcs"]
    file["xpcs"] = h5py.ExternalLink("other", "/")


def _nothing_stored(file: h5py.File) -> None:
    group = file[MAP_1].parent
    for name in list(group):
        del group[name]
        group.create_dataset(name, (20_000, 20_000), "f4", chunks=(1000, 1000), compression="gzip")


def _huge_counts(file: h5py.File) -> None:
    name = "xpcs/spatial_mean/intensity_vs_time"
    del file[name]
    file.create_dataset(name, (2, 3 * 10**8), "f8", chunks=(1, 10**6))


def _huge_chunk(file: h5py.File) -> None:
    del file[MAP_1]
    file.create_dataset(
        MAP_1, (12, 12), "f4", chunks=(16_000, 16_000), maxshape=(None, None), compression="gzip"
    )


def zeroed_heap(folder: Path) -> Path:
    """Write a good file and zeros over its heap of strings."""
    path = good_aps_u(folder)
    whole = bytearray(path.read_bytes())
    at = whole.index(b"GCOL")
    whole[at + 16 : at + 272] = bytes(256)
    path.write_bytes(whole)
    return path


def _provenance(text: str) -> Callable[[h5py.File], None]:
    return lambda file: file.attrs.__setitem__("provenance", text)


def edited_esrf(edit: Callable[[h5py.File], None]) -> Callable[[Path], Path]:
    """Return a builder of an ESRF file with one edit."""

    def build(folder: Path) -> Path:
        path = esrf(folder / "esrf.h5")
        with h5py.File(path, "r+") as file:
            edit(file)
        return path

    return build


def _few_in_many(file: h5py.File) -> None:
    """Store six values whose times span 80,000 frames."""
    here = f"{V2}/full/twotime"
    for name, value in {
        "ttcf": np.ones((3, 6, 1)),
        "age": [0.5, 1.5, 2.5, 3.5, 4.5, 8e4],
        "lag": [1.0],
    }.items():
        del file[f"{here}/{name}"]
        file[f"{here}/{name}"] = value


def _nothing_measured(file: h5py.File) -> None:
    """Declare maps over many ages and lags without a byte of data."""
    here = f"{V2}/full/twotime"
    for name in ("ttcf", "age", "lag"):
        del file[f"{here}/{name}"]
        file[f"{here}/{name}"] = np.arange(4000.0)
    del file[f"{here}/ttcf"]
    file.create_dataset(f"{here}/ttcf", (3, 4000, 4000), "f4", chunks=(1, 1000, 1000))


def _same_map_often(file: h5py.File) -> None:
    """Give one large map a thousand names."""
    _nothing_measured(file)
    group = file[f"{V2}/full"]
    del group["twotime/ttcf"], group["parameters/q"]
    group["parameters/q"] = [0.1]
    group.create_dataset("twotime/ttcf", (1, 4000, 4000), "f4", chunks=(1, 1000, 1000))
    for number in range(1000):
        file[f"{V2}/{number}"] = group


def newline_name(folder: Path) -> Path:
    """Write names with line breaks, and many of them."""
    with h5py.File(folder / "names.h5", "w") as file:
        for i in range(1000):
            file.create_group(f"a\nb{i}")
    return folder / "names.h5"


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "soft link to an external link": (edited_aps_u(_soft_link_out), "a link to another file"),
    "group in another file": (edited_aps_u(_all_outside), "a link to another file"),
    "netCDF variable in another file": (edited_netcdf(_linked), "c2 inside the file"),
    "netCDF raw numbers in another file": (edited_netcdf(_raw_numbers_elsewhere), "other files"),
    "netCDF axis of 300 million": (edited_netcdf(_huge_axis), "2400000000 declared"),
    "netCDF provenance of other types": (
        edited_netcdf(_provenance('{"first_frame": "x", "exclude_frames": 5, "assumed": "phi"}')),
        "not so assumed, exclude_frames, first_frame",
    ),
    "maps of which nothing is stored": (edited_aps_u(_nothing_stored), "declared"),
    "counts of 300 million frames": (edited_aps_u(_huge_counts), "4800000000 declared"),
    "chunk of a gigabyte": (edited_aps_u(_huge_chunk), "a chunk of .* 1024000000 declared"),
    "heap of zeros": (zeroed_heap, "stored strings are damaged"),
    "q of 400 million": (with_member("q.npy", header((4 * 10**8,)), c2=maps()), "declared"),
    "compressed zeros": (
        with_member("c2.npy", header((3, 4000, 4000)), *[bytes(10**6)] * 384, dt=0.1),
        "384000000 declared",
    ),
    "header of a gigabyte": (
        with_member("c2.npy", b"\x93NUMPY\x02\x00", struct.pack("<I", 10**9), bytes(10**7)),
        "reading array header",
    ),
    "names of two lines": (newline_name, "found the entries a b0"),
    "few points among many frames": (edited_esrf(_few_in_many), "80001 frames .* few pairs"),
    "points of which nothing is stored": (edited_esrf(_nothing_measured), "384000000 declared"),
    "one list under a thousand names": (edited_esrf(_same_map_often), "128128000000 declared"),
}
HOSTILE_SETTINGS = {
    "deep": "data: " + "[" * 5000 + "]" * 5000,
    "no such day": "data: {q: 2001-99-99}",
    "5000 digits": "data: {q: " + "9" * 5000 + "}",
    "key of two lines": 'data: {"a\\nb": 1}',
    "holds itself": "data: &a {q: *a}",
    "aliases of aliases": "data: [&a0 [x, x]"
    + "".join(f", &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12))
    + "]",
    "range": "data: {exclude_frames: '0-" + "9" * 4000 + "'}",
}
