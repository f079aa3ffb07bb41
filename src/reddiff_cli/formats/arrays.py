"""Array files -> numpy: .npy, .npz, .mat, .h5, .hdf5, .cxi, and pictures that hold measurements.

Libraries of one format are imported where they are needed; each mistake is one line that names
the file, and the data sets that it does hold.
"""

import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PictureError
from .damage import telling_of_damage
from .reader import has_several, name_of, samples_of
from .samples import MOST

Array = NDArray[Any]

HDF5_SUFFIXES = (".h5", ".hdf5", ".cxi")
RASTER_SUFFIXES = (".tif", ".tiff", ".exr")
ARRAY_SUFFIXES = frozenset((".npy", ".npz", ".mat", *HDF5_SUFFIXES, *RASTER_SUFFIXES))
# Where beamlines put detector frames (the CXI format).
HDF5_DEFAULTS = ("entry_1/data_1/data", "entry_1/image_1/data")
NPY = b"\x93NUMPY"
LARGEST = 16  # bytes of a number
# What MATLAB calls the types of numbers.
NUMBERS = ("double", "single", "logical") + tuple(
    f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
)
# Names listed in an error line.
SHOWN = 12


@telling_of_damage
def load_array(path: Path, dataset: str | None = None) -> Array:
    """The numbers of a file, of any shape and type; PictureError names what is wrong.

    dataset: name inside a file that can hold several arrays.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise PictureError(f"{path}: no such file", "Missing")
    readers: dict[str, Callable[[Path, str | None], Array]] = {
        ".npy": _read_npy,
        ".npz": _read_npz,
        ".mat": _read_mat,
    }
    readers |= dict.fromkeys(HDF5_SUFFIXES, _read_hdf5)
    readers |= dict.fromkeys(RASTER_SUFFIXES, _read_raster)
    try:
        return readers[suffix](path, dataset)
    except PictureError:
        raise
    except Exception as error:  # decoders raise nearly anything on damaged data
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PictureError(f"{path}: cannot be read ({reason})", "Unreadable") from error


def check_suffix(path: Path) -> None:
    """PictureError if a file is called like none that holds an array."""
    if path.suffix.lower() not in ARRAY_SUFFIXES:
        known = ", ".join(sorted(ARRAY_SUFFIXES))
        raise PictureError(f"{path}: '{path.suffix}' holds no array; use {known}", "Unreadable")


def _read_npy(path: Path, _: str | None) -> Array:
    with path.open("rb") as file:
        if file.read(len(NPY)) != NPY:
            raise PictureError(f"{path}: holds no NumPy array, or is damaged", "Unreadable")
        file.seek(0)
        _check_header(path, file)
    return np.array(np.load(path, mmap_mode="r", allow_pickle=False))


def _read_npz(path: Path, dataset: str | None) -> Array:
    if not zipfile.is_zipfile(path):
        raise PictureError(f"{path}: holds no archive of NumPy, or is damaged", "Unreadable")
    with np.load(path, allow_pickle=False) as file, zipfile.ZipFile(path) as parts:
        members = {name.removesuffix(".npy"): name for name in parts.namelist()}
        chosen = _choose(path, list(members), dataset)
        with parts.open(members[chosen]) as member:
            if member.read(len(NPY)) != NPY:
                told = f"{path}: '{chosen}' holds no NumPy array, or is damaged"
                raise PictureError(told, "Unreadable")
            member.seek(0)
            _check_header(path, member)
        return np.asarray(file[members[chosen]])


def _check_header(path: Path, file: IO[bytes]) -> None:
    """PictureError for what the header of a NumPy array, at which `file` is, says of it."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    shape, _, kind = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    if kind.hasobject:
        told = f"{path}: holds objects of Python, and no numbers; save an array of numbers"
        raise PictureError(told, "Unreadable")
    _check_size(path, (*shape, -(-kind.itemsize // LARGEST)))  # records may be of any size


def _read_mat(path: Path, dataset: str | None) -> Array:
    try:
        from scipy.io import loadmat, whosmat
    except ImportError as error:
        message = f"{path}: MATLAB files need scipy; pip install scipy"
        raise PictureError(message, "Unreadable") from error
    try:
        held = {name: shape for name, shape, kind in whosmat(str(path)) if kind in NUMBERS}
    except NotImplementedError:  # version 7.3 is HDF5, written column by column
        return _read_hdf5(path, dataset).T
    names = [name for name, shape in held.items() if math.prod(shape) > 1]
    chosen = _choose(path, names, dataset)
    _check_size(path, held[chosen])
    content: Mapping[str, Any] = loadmat(str(path), variable_names=[chosen])
    return np.asarray(content[chosen])


def _read_hdf5(path: Path, dataset: str | None) -> Array:
    try:
        import h5py
    except ImportError as error:
        message = f"{path}: HDF5 needs an extra; pip install 'reddiff-cli[hdf5]'"
        raise PictureError(message, "Unreadable") from error
    with h5py.File(path, "r") as file:
        names: list[str] = []

        def visit(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset) and item.ndim >= 2 and item.dtype.kind in "biufcV":
                names.append(name)
            elif isinstance(item, h5py.Group):
                # Masters of a beamline hold their mask, and only links to the frames.
                links = {key: item.get(key, getlink=True) for key in item}
                below = f"{name}/" if name else ""
                names.extend(
                    below + key for key in links if isinstance(links[key], h5py.ExternalLink)
                )

        visit("", file)
        file.visititems(visit)
        # Other links, as CXI files have them, are followed by name but not visited.
        linked = [name for name in (dataset, *HDF5_DEFAULTS) if name and name in file]
        chosen = linked[0] if linked else _choose(path, names, dataset)
        if dataset and chosen.strip("/") != dataset.strip("/"):
            chosen = _choose(path, names, dataset)
        item = file[chosen]
        if not isinstance(item, h5py.Dataset) or item.shape is None:
            what = "empty" if isinstance(item, h5py.Dataset) else "a group"
            raise PictureError(f"{path}: '{chosen}' is {what}; {_listing(names)}", "Dataset")
        _check_size(path, item.shape)
        return np.asarray(item[()])


def _read_raster(path: Path, _: str | None) -> Array:
    """Numbers as stored, without scaling to [0, 1]; (H, W, channels)."""
    import OpenImageIO as oiio

    buffer = oiio.ImageBuf(name_of(path))
    spec = buffer.spec()
    _check_size(path, (spec.width, spec.height, max(1, spec.depth), spec.nchannels))
    values = samples_of(path, buffer, spec.format)
    if has_several(path):
        raise PictureError(f"{path}: holds several pages; give one, or their sum", "Animated")
    return np.asarray(values)


def _check_size(path: Path, shape: Sequence[int]) -> None:
    """PictureError for what a header claims and no memory could hold."""
    if math.prod(shape) > MOST:
        told = f"{path}: more than {MOST // 10**6} million numbers; cut out what was measured"
        raise PictureError(told, "TooLarge")


def _choose(path: Path, names: list[str], dataset: str | None) -> str:
    """The data set that was asked for, or the only one."""
    if dataset is not None:
        if dataset.strip("/") in names:
            return dataset.strip("/")
        raise PictureError(f"{path}: no data set '{dataset}'; {_listing(names)}", "Dataset")
    if not names:
        raise PictureError(f"{path}: holds no array; give a file with one", "Dataset")
    if len(names) > 1:
        message = f"{path}: holds several arrays; name one with --dataset: {', '.join(names)}"
        raise PictureError(message, "Dataset")
    return names[0]


def _listing(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN]) or "nothing of two dimensions"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"it holds {shown}{more}"
