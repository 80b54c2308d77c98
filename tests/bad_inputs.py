"""Files and options that must be refused, each with what the message must say."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from homodyne_bayes.data.two_time import TwoTimeData
from homodyne_bayes.data.writing import write_aps_u, write_netcdf

Q, DT, GAP, PHI = 0.0054, 0.1, 2e6, (-30.0, 10.0, 75.0)
USER = {"q": Q, "dt": DT, "phi": list(PHI)}
TWOTIME, QMAP = "xpcs/twotime", "xpcs/qmap"
MAP_1 = f"{TWOTIME}/correlation_map/c2_00001"


def maps(num_angles: int = 3, num_frames: int = 12, seed: int = 1) -> np.ndarray:
    """Return symmetric maps with baseline 1 and a decay of five frames, (P, G, G)."""
    frame = np.arange(num_frames)
    decay = np.exp(-np.abs(frame[:, None] - frame[None, :]) / 5.0)
    noise = np.random.default_rng(seed).normal(0.0, 0.02, (num_angles, num_frames, num_frames))
    return 1.0 + 0.3 * decay + (noise + np.swapaxes(noise, 1, 2))


def group_maps(num_groups: int = 2) -> np.ndarray:
    """Return maps of pixel groups, (P, H, G, G)."""
    return np.stack([maps(seed=2 + group) for group in range(num_groups)], axis=1)


def good_data(**changes: Any) -> TwoTimeData:
    """Return good data of three angles and twelve frames."""
    fields = {"c2": maps(), "phi": np.array(PHI), "dt": DT, "q": Q, "gap": GAP}
    return TwoTimeData(**(fields | changes))


def good_cache() -> dict[str, Any]:
    """Return the members of a current .npz cache of homodyne."""
    time = np.linspace(0.0, DT * 11, 12)
    return {
        "c2_exp": maps().astype(np.float32),
        "wavevector_q_list": np.full(3, Q),
        "phi_angles_list": np.array(PHI),
        "t1": time,
        "t2": time,
        "cache_metadata_json": np.array(json.dumps({"start_frame": 1, "end_frame": 12})),
    }


@dataclass(frozen=True)
class BadInput:
    """One case: how to make the file in a folder, the options, a pattern of the message."""

    name: str
    build: Callable[[Path], Path]
    message: str
    options: Mapping[str, Any] = field(default_factory=dict)
    selection: Mapping[str, Any] = field(default_factory=dict)


def good_aps_u(folder: Path) -> Path:
    write_aps_u(folder / "good.hdf", good_data())
    return folder / "good.hdf"


def edited_aps_u(edit: Callable[[h5py.File], None]) -> Callable[[Path], Path]:
    """Return a builder of a good APS-U file with one edit."""

    def build(folder: Path) -> Path:
        path = good_aps_u(folder)
        with h5py.File(path, "r+") as file:
            edit(file)
        return path

    return build


def put(name: str, value: Any) -> Callable[[Path], Path]:
    """Return a builder of a good APS-U file with one entry replaced, or removed by None."""

    def edit(file: h5py.File) -> None:
        del file[name]
        if value is not None:
            file[name] = value

    return edited_aps_u(edit)


def array(values: Any) -> Callable[[Path], Path]:
    """Return a builder of an .npy file."""

    def build(folder: Path) -> Path:
        np.save(folder / "maps.npy", values)
        return folder / "maps.npy"

    return build


def archive(**members: Any) -> Callable[[Path], Path]:
    """Return a builder of an .npz file."""

    def build(folder: Path) -> Path:
        np.savez(folder / "maps.npz", **members)
        return folder / "maps.npz"

    return build


def cache(*without: str, **changes: Any) -> Callable[[Path], Path]:
    """Return a builder of a cache with members changed or left out."""
    members = {name: value for name, value in good_cache().items() if name not in without}
    return archive(**(members | changes))


def raw(content: bytes, name: str = "file.hdf") -> Callable[[Path], Path]:
    """Return a builder of a file of these bytes."""

    def build(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return build


def truncated(whole: Callable[[Path], Path]) -> Callable[[Path], Path]:
    """Return a builder that keeps the first half of another's file."""

    def build(folder: Path) -> Path:
        path = whole(folder)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return path

    return build


def changed_maps(entries: Mapping[tuple[int, ...], float]) -> np.ndarray:
    """Return good maps with some entries, given in one triangle, set in both."""
    values = maps()
    for (angle, i, j), value in entries.items():
        values[angle, i, j] = values[angle, j, i] = value
    return values


def foreign_hdf5(folder: Path) -> Path:
    with h5py.File(folder / "other.h5", "w") as file:
        file["results/c2"] = maps()[0]
        file["xpcs/dqlist"] = np.full((1, 3), Q)
    return folder / "other.h5"


def linked_aps_u(folder: Path) -> Path:
    path = good_aps_u(folder)
    (folder / "elsewhere.hdf").write_bytes(path.read_bytes())
    with h5py.File(path, "r+") as file:
        del file[MAP_1]
        file[MAP_1] = h5py.ExternalLink("elsewhere.hdf", MAP_1)
    return path


def several_q(file: h5py.File) -> None:
    """Spread the three maps over two wavevectors."""
    for name, value in {
        "dynamic_v_list_dim0": [0.004, Q],
        "dynamic_v_list_dim1": [0.0, 90.0],
        "dynamic_num_pts": [2, 2],
        "dynamic_index_mapping": [0, 2, 3],
    }.items():
        del file[f"{QMAP}/{name}"]
        file[f"{QMAP}/{name}"] = np.array(value)


def huge(file: h5py.File) -> None:
    """Declare maps too large to load, without a byte of data."""
    del file[f"{TWOTIME}/correlation_map"]
    for label in (1, 2, 3):
        file.create_dataset(
            f"{TWOTIME}/correlation_map/c2_{label:05d}",
            (200_000, 200_000),
            "f4",
            chunks=(1000, 1000),
        )


def one_larger(file: h5py.File) -> None:
    """Make one map larger than the others."""
    del file[MAP_1]
    file[MAP_1] = np.triu(maps(1, 14)[0]).astype(np.float32)


def virtual(file: h5py.File) -> None:
    """Replace one map by a view of another file."""
    del file[MAP_1]
    layout = h5py.VirtualLayout((12, 12), "f4")
    layout[...] = h5py.VirtualSource("elsewhere.hdf", MAP_1, (12, 12), "f4")
    file.create_virtual_dataset(MAP_1, layout)


def netcdf(change: Callable[[Any], Any]) -> Callable[[Path], Path]:
    """Return a builder of a netCDF file of a changed dataset."""

    def build(folder: Path) -> Path:
        dataset = good_data().to_dataset()
        change(dataset).to_netcdf(folder / "data.nc", engine="netcdf4")
        return folder / "data.nc"

    return build


def grouped_netcdf(groups: np.ndarray) -> Callable[[Path], Path]:
    """Return a builder of a netCDF file with these maps of pixel groups."""
    names = ("phi", "group", "first", "second")[: groups.ndim]
    return netcdf(lambda dataset: dataset.assign(group_c2=(names, groups)))


def plain_netcdf(folder: Path) -> Path:
    write_netcdf(folder / "data.nc", good_data())
    return folder / "data.nc"


def _shifted(time: str) -> Callable[[Any], Any]:
    off = DT * np.arange(12) + np.where(np.arange(12) == 5, 0.3 * DT, 0.0)
    return lambda dataset: dataset.assign_coords({time: off})


OBJECTS = np.array([maps()[0], None], dtype=object)
UNEVEN = DT * np.arange(12.0) ** 1.2
ASYMMETRIC = maps() + np.triu(np.full((12, 12), 0.2), 1)
ONE_BAD = changed_maps({(1, 3, 7): np.nan})
NAN_IN_GROUP = group_maps()
NAN_IN_GROUP[2, 1, [3, 7], [7, 3]] = np.nan
ALL_BUT_TWO_DEAD = np.pad(maps()[:, :2, :2], ((0, 0), (0, 10), (0, 10)))

BAD_INPUTS = (
    BadInput("missing", lambda folder: folder / "no.hdf", "expected a file, found nothing"),
    BadInput("folder", lambda folder: folder, "expected a file, found a folder"),
    BadInput("empty", raw(b""), r"first bytes b''"),
    BadInput("text", raw(b"q phi c2\n1 2 3\n", "data.txt"), r"first bytes b'q phi c2'"),
    BadInput("truncated-hdf5", truncated(good_aps_u), "cannot be read"),
    BadInput("truncated-netcdf", truncated(plain_netcdf), "cannot be read"),
    BadInput("truncated-npz", truncated(cache()), "cannot be read"),
    BadInput("truncated-npy", truncated(array(maps())), "cannot be read", USER),
    BadInput(
        "damaged-npy",
        raw(b"\x93NUMPY\x01\x00\x0a\x00{'descr': \n", "maps.npy"),
        "cannot be read",
        USER,
    ),
    BadInput("unknown-hdf5", foreign_hdf5, "formats netcdf, aps-u, .*found the entries results"),
    BadInput(
        "no-two-time",
        put(f"{TWOTIME}/correlation_map", None),
        "correlation_map, found no such entry",
    ),
    BadInput("no-bins", put(f"{TWOTIME}/processed_bins", None), "processed_bins, found no such"),
    BadInput(
        "no-index-mapping",
        put(f"{QMAP}/dynamic_index_mapping", None),
        "dynamic_index_mapping, found no such",
    ),
    BadInput(
        "cell-outside",
        put(f"{QMAP}/dynamic_index_mapping", [0, 1, 3]),
        "rise within 0 to 2, found up to 3",
    ),
    BadInput("joined-q-maps", put(f"{QMAP}/dynamic_index_mapping", [0, 1, 0]), "rise within 0"),
    BadInput("more-maps-than-bins", put(f"{TWOTIME}/processed_bins", [1, 2]), "3 maps for 2 bins"),
    BadInput("bin-outside", put(f"{TWOTIME}/processed_bins", [1, 2, 9]), "from 1 to 3, found 1 to"),
    BadInput("axis-lengths", put(f"{QMAP}/dynamic_num_pts", [1, 5]), r"\(1, 3\).*found \(1, 5\)"),
    BadInput("not-q-phi", put(f"{QMAP}/map_names", ["x", "y"]), "q and phi, found x, y"),
    BadInput("sizes-differ", edited_aps_u(one_larger), "one size and type, found 2 kinds"),
    BadInput(
        "no-frame-time",
        put("entry/instrument/detector_1/frame_time", None),
        "does not tell dt; pass --dt",
    ),
    BadInput("external-link", linked_aps_u, "link to another file"),
    BadInput("virtual-dataset", edited_aps_u(virtual), "kept in other files"),
    BadInput("huge", edited_aps_u(huge), "to 100000 frames, found 200000"),
    BadInput("dt-disagrees", good_aps_u, "0.1 s, found 0.2 s", {"dt": 0.2}),
    BadInput("gap-disagrees", good_aps_u, "2000000 Å, found 1000000 Å", {"gap": 1e6}),
    BadInput(
        "angles-not-in-file",
        good_aps_u,
        "but 0 was asked for; choose from -30, 10, 75",
        {"angles": [0, 10, 75]},
    ),
    BadInput(
        "phi-of-a-file-that-tells",
        good_aps_u,
        "only where the file does not tell .* it tells -30, 10, 75 degree; leave out --phi, or",
        {"phi": PHI},
    ),
    BadInput("exclude-negative", good_aps_u, "0 to 11, but -1 was given", {"exclude_frames": [-1]}),
    BadInput(
        "q-unknown",
        good_aps_u,
        "within 0.5 %.*found 0.006; pass --q with one of 0.0054",
        {"q": 0.006},
    ),
    BadInput("q-nan", good_aps_u, "within 0.5 %", {"q": float("nan")}),
    BadInput("q-choice", edited_aps_u(several_q), "pass --q with one of 0.004, 0.0054"),
    BadInput(
        "cache-only-maps",
        cache("wavevector_q_list", "phi_angles_list", "t1", "t2"),
        "tell q or dt or phi; pass --q and --dt and --phi",
    ),
    BadInput("cache-uneven-times", cache(t1=UNEVEN, t2=UNEVEN), "rising and uniform"),
    BadInput("cache-axes-differ", cache(t2=2 * DT * np.arange(12)), "t1 and t2 must be the same"),
    BadInput(
        "cache-stretched",
        cache(t1=np.linspace(0, 2, 12), t2=np.linspace(0, 2, 12)),
        "--dt to agree with the file, 0.18181",
        {"dt": DT},
    ),
    BadInput(
        "cache-times-short", cache(t1=np.arange(10.0), t2=np.arange(10.0)), "expected 12 times"
    ),
    BadInput(
        "cache-phi-short",
        cache(phi_angles_list=np.array([0.0, 10.0])),
        "3 values of phi_angles_list, one per map, found 2",
    ),
    BadInput(
        "cache-mixed-q",
        cache(wavevector_q_list=np.array([0.005, 0.0054, 0.0054])),
        "pass --q with one of 0.005, 0.0054",
    ),
    BadInput("npz-ambiguous", archive(a=maps(), b=maps()), "array named c2, found a, b", USER),
    BadInput("npz-objects", archive(c2=OBJECTS), "expected maps", USER),
    BadInput(
        "npz-square-objects",
        archive(c2=np.full((12, 12), None)),
        "real numbers, found the type object",
        USER,
    ),
    BadInput("npy-objects", array(np.full((12, 12), None)), "found the type object", USER),
    BadInput("npy-complex", array(maps() + 0j), "found the type complex128", USER),
    BadInput("npy-1d", array(np.ones(12)), r"found \(12,\)", USER),
    BadInput("npy-4d", array(maps()[None]), r"found \(1, 3, 12, 12\)", USER),
    BadInput("npy-q-last", array(np.moveaxis(maps(), 0, 2)), r"found \(12, 12, 3\)", USER),
    BadInput("npy-too-few-frames", array(np.ones((2, 3, 3))), "4 to 100000 frames, found 3", USER),
    BadInput("npy-no-q", array(maps()[0]), "does not tell q; pass --q", {"dt": DT}),
    BadInput("npy-no-phi", array(maps()), "does not tell phi; pass --phi", {"q": Q, "dt": DT}),
    BadInput("npy-phi-count", array(maps()), "phi must be 3 finite angles", USER | {"phi": [0, 9]}),
    BadInput(
        "npy-phi-twice",
        array(maps()),
        "maps 0 and 2 both have phi = 10",
        USER | {"phi": [10, 0, 370]},
    ),
    BadInput("npy-negative-dt", array(maps()), "dt must be positive", USER | {"dt": -0.1}),
    BadInput("npy-zero-q", array(maps()), "q must be positive", USER | {"q": 0.0}),
    BadInput("npy-infinite-gap", array(maps()), "gap must be positive", USER | {"gap": np.inf}),
    BadInput("asymmetric", array(ASYMMETRIC), r"symmetric.*at phi = -30 entry \(0, 1\)", USER),
    BadInput("nan-entry", array(ONE_BAD), "phi = 10 1 pairs.*--exclude-frames 3,7", USER),
    BadInput(
        "infinite-entry", array(changed_maps({(0, 2, 5): np.inf})), "exclude-frames 2,5", USER
    ),
    BadInput("dead-frames", array(ALL_BUT_TWO_DEAD), "phi = -30 has 2 of 12", USER),
    BadInput("all-zero", array(np.zeros((3, 12, 12))), "has 0 of 12", USER),
    BadInput("netcdf-times", netcdf(_shifted("t1")), "0.03 s off the grid"),
    BadInput("netcdf-axes", netcdf(_shifted("t2")), "t1 and t2 must be the same"),
    BadInput(
        "netcdf-no-q",
        netcdf(lambda dataset: dataset.drop_attrs().assign_attrs(dt=DT)),
        "but q is missing",
    ),
    BadInput(
        "netcdf-provenance",
        netcdf(lambda dataset: dataset.assign_attrs(provenance="{")),
        "JSON object",
    ),
    BadInput(
        "netcdf-one-group",
        grouped_netcdf(group_maps(1)),
        r"shape \(3, groups, 12, 12\) .*has shape \(3, 1, 12, 12\)",
    ),
    BadInput("netcdf-flat-groups", grouped_netcdf(maps()), r"has shape \(3, 12, 12\)"),
    BadInput(
        "netcdf-other-frames",
        grouped_netcdf(group_maps()[..., :11, :11]),
        r"has shape \(3, 2, 11, 11\)",
    ),
    BadInput(
        "netcdf-nan-in-group",
        grouped_netcdf(NAN_IN_GROUP),
        "phi = 75 in pixel group 1 1 pairs.*--exclude-frames 3,7",
    ),
    BadInput(
        "select-phi",
        good_aps_u,
        "but 20 was asked for; choose from -30, 10, 75",
        selection={"angles": [10, 20]},
    ),
    BadInput("select-no-phi", good_aps_u, "none was asked for", selection={"angles": []}),
    BadInput(
        "select-no-frame",
        good_aps_u,
        "but 5 to 5 was asked for",
        selection={"first_frame": 5, "stop_frame": 5},
    ),
    BadInput(
        "select-past-end", good_aps_u, "but 0 to 13 was asked for", selection={"stop_frame": 13}
    ),
    BadInput(
        "exclude-past-end",
        good_aps_u,
        "0 to 11, but 12 was given",
        selection={"exclude_frames": [12]},
    ),
    BadInput(
        "exclude-most", good_aps_u, "has 2 of 12", selection={"exclude_frames": list(range(10))}
    ),
)
