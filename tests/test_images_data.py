"""Images in and out: every source against the pixels that were written, and every refusal with its path."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from sklearn.datasets import load_digits

from diffnum.images import Dataset, load, to_images


def pixels(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write(folder, **images) -> None:
    """One file per keyword; ``__`` stands for a slash, a trailing ``_jpg`` and the like for the suffix."""
    for name, image in images.items():
        stem, _, suffix = name.replace("__", "/").rpartition("_")
        path = folder / f"{stem}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path)


def test_digits_equal_scikit_learns():
    ours, theirs = load("digits"), load_digits()
    assert ours.shape == (8, 8, 1) and ours.dim == 64 and len(ours) == 1797 and ours.data.dtype == np.float64
    np.testing.assert_array_equal((ours.data + 1) * 8, theirs.data)
    np.testing.assert_array_equal(ours.labels, theirs.target)
    assert (ours.data.min(), ours.data.max()) == (-1.0, 1.0)


@settings(deadline=None, max_examples=25)
@given(hnp.arrays(np.uint8, st.sampled_from([(2, 3, 4, 1), (3, 2, 2, 3), (5, 1, 1, 1)])))
def test_to_images_inverts_the_scaling_of_bytes(images):
    n, shape = len(images), images.shape[1:]
    np.testing.assert_array_equal(to_images(images.reshape(n, -1) / 127.5 - 1, shape), images)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm"])
def test_a_folder_gives_back_the_pixels_that_were_saved(tmp_path, suffix):
    images = pixels(3, 5, 4, 3)
    write(tmp_path, **{f"{name}_{suffix}": image for name, image in zip("cab", images, strict=True)})
    found = load(tmp_path)
    assert found.shape == (5, 4, 3) and found.labels is None and found.name == tmp_path.name
    np.testing.assert_array_equal(to_images(found.data, found.shape), images[[1, 2, 0]])


def test_a_folder_is_searched_in_depth_and_in_order_of_path(tmp_path):
    images = pixels(3, 4, 4)
    write(tmp_path, b__one_png=images[1], c_png=images[2], a__deep__two_png=images[0])
    (tmp_path / "README.txt").write_text("no image")
    (tmp_path / "._c.png").write_text("a Macintosh's shadow")
    np.testing.assert_array_equal(to_images(load(str(tmp_path)).data, (4, 4)), images)


@pytest.mark.parametrize("save, suffix", [(np.save, "npy"), (np.savez, "npz"), (np.savez_compressed, "npz")])
def test_an_array_file_equals_a_folder_of_the_same_pixels(tmp_path, save, suffix):
    images = pixels(4, 6, 5, 3)
    save(tmp_path / f"all.{suffix}", images)
    write(tmp_path, **{f"{k}_png": image for k, image in enumerate(images)})
    np.testing.assert_array_equal(load(tmp_path / f"all.{suffix}").data, load(tmp_path).data)


def test_bytes_sixteen_bits_and_floats_agree(tmp_path):
    grey = pixels(3, 4, 5)
    kinds = {"bytes": grey, "deep": grey.astype(np.uint16) * 257, "real": grey / 127.5 - 1}
    for name, array in kinds.items():
        np.save(tmp_path / f"{name}.npy", array)
    write(tmp_path / "deep", **{f"{k}_png": Image.fromarray(image) for k, image in enumerate(kinds["deep"])})
    for name in ("deep.npy", "real.npy", "deep"):
        np.testing.assert_allclose(load(tmp_path / name).data, load(tmp_path / "bytes.npy").data, atol=1e-15)


def test_labels_stay_with_their_images(tmp_path):
    images, labels = pixels(10, 2, 2), np.arange(10) % 3
    np.savez(tmp_path / "both.npz", images=images, labels=labels)
    few = load(tmp_path / "both.npz", limit=4)
    np.testing.assert_array_equal(few.labels, labels[[0, 2, 5, 7]])
    np.testing.assert_array_equal(to_images(few.data, (2, 2)), images[[0, 2, 5, 7]])


def test_a_limit_spreads_over_the_whole_folder(tmp_path):
    write(
        tmp_path, **{f"{label}__{k}_png": np.full((2, 2), 50 * label, np.uint8) for label in range(5) for k in range(4)}
    )
    assert sorted(to_images(load(tmp_path, limit=5).data, (2, 2))[:, 0, 0]) == [0, 50, 100, 150, 200]
    assert len(load(tmp_path, limit=1000)) == 20


def test_size_brings_mixed_images_to_one_shape(tmp_path):
    write(tmp_path, a_png=pixels(12, 8, 3), b_png=pixels(9, 9, 3), c_jpg=pixels(20, 7, 3))
    assert load(tmp_path, size=6).shape == (6, 6, 3)
    assert load(tmp_path, size=(6, 4)).data.shape == (3, 6 * 4 * 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_size_crops_at_the_centre(tmp_path, dtype):
    # black margins left and right of a white square, and above and below it
    top = np.iinfo(dtype).max
    wide = np.zeros((8, 16), dtype)
    wide[:, 4:12] = top
    write(tmp_path, wide_png=Image.fromarray(wide), tall_png=Image.fromarray(np.ascontiguousarray(wide.T)))
    np.testing.assert_array_equal(load(tmp_path, size=8).data, 1.0)


def test_size_of_arrays_and_of_files_agree_within_a_grey_level(tmp_path):
    rows, columns, phase = np.ogrid[0:1:16j, 0:1:12j, 0:3]
    waves = 100 * np.sin(3 * rows + 2 * columns + phase)
    images = np.stack([127.5 + waves, 127.5 - waves]).astype(np.uint8)
    np.save(tmp_path / "all.npy", images)
    write(tmp_path, **{f"{k}_png": image for k, image in enumerate(images)})
    arrays, files = load(tmp_path / "all.npy", size=(7, 9)), load(tmp_path, size=(7, 9))
    np.testing.assert_allclose(arrays.data, files.data, atol=2.01 / 127.5)


def test_orientation_of_a_camera_is_obeyed(tmp_path):
    image = Image.fromarray(pixels(6, 4, 3))
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in "ab":
        image.save(tmp_path / f"{name}.png", exif=exif)
    turned = load(tmp_path)
    assert turned.shape == (4, 6, 3)
    np.testing.assert_array_equal(to_images(turned.data, turned.shape)[0], np.asarray(image.rotate(-90, expand=True)))


def test_modes_of_one_colour_kind_agree(tmp_path):
    colour, grey = Image.fromarray(pixels(4, 4, 3)), Image.fromarray(pixels(4, 4))
    opaque = colour.copy()
    opaque.putalpha(255)
    write(tmp_path / "colour", a_png=colour, b_png=opaque)
    write(tmp_path / "grey", a_png=grey, b_png=grey.convert("LA"))
    for folder, c in (("colour", 3), ("grey", 1)):
        found = load(tmp_path / folder)
        assert found.shape == (4, 4, c)
        np.testing.assert_array_equal(*found.data)


def test_images_from_tensors_equal_images_from_arrays():
    x = np.random.default_rng(1).normal(size=(3, 12))
    tensor = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    np.testing.assert_array_equal(to_images(tensor, (2, 2, 3)), to_images(x, (2, 2, 3)))
    assert to_images(torch.ones(2, 4, dtype=torch.bfloat16), (2, 2, 1)).min() == 255
    np.testing.assert_array_equal(to_images(np.array([[-7.0, 7.0]]), (1, 2, 1)).ravel(), [0, 255])


def test_nan_has_no_colour():
    with pytest.raises(ValueError, match="1 of 4 values are NaN"):
        to_images([[0.0, np.nan, 0.0, 0.0]], (2, 2, 1))


def saved(path, array, **more):
    np.savez(path, array, **more) if path.suffix == ".npz" else np.save(path, array)
    return path


def clear(size):
    image = Image.fromarray(pixels(size, size, 3))
    image.putalpha(100)
    return image


REFUSED = {
    "nothing there": (lambda d: d / "none", "none does not exist: give a folder"),
    "an empty folder": (lambda d: d, "holds no images: put at least 2 files of .bmp"),
    "one file": (lambda d: write(d, a_png=pixels(2, 2)) or d / "a.png", "a.png is one file: give the folder"),
    "one image": (lambda d: write(d, a_png=pixels(2, 2)) or d, "holds 1 image: a distribution needs at least 2"),
    "no images": (lambda d: saved(d / "a.npy", pixels(0, 2, 2)), "holds 0 images: a distribution"),
    "mixed sizes": (
        lambda d: write(d, a_png=pixels(2, 2), b_png=pixels(2, 3)) or d,
        r"b\.png is 2x3 and .*a\.png is 2x2: give size=",
    ),
    "grey and colour": (
        lambda d: write(d, a_png=pixels(2, 2), b_png=pixels(2, 2, 3)) or d,
        r"b\.png is in colour and .*a\.png is grey: convert them",
    ),
    "text in a picture": (
        lambda d: write(d, b_png=pixels(2, 2)) or ((d / "a.png").write_text("no") and d),
        r"a\.png is not a readable image \(.*\): repair or remove it",
    ),
    "an empty file": (
        lambda d: write(d, b_png=pixels(2, 2)) or (d / "a.jpg").touch() or d,
        r"a\.jpg is not a readable image",
    ),
    "transparency": (lambda d: write(d, a_png=clear(2), b_png=clear(2)) or d, r"a\.png is transparent: flatten it"),
    "real pixels": (
        lambda d: write(d, a_tif=np.ones((2, 2), np.float32)) or d,
        r"a\.tif has pixels of mode 'F': save it as 8-bit",
    ),
    "NaN": (
        lambda d: saved(d / "a.npy", np.array([0.0, np.nan]).reshape(2, 1, 1)),
        r"image 1 of .*a\.npy holds NaN",
    ),
    "out of range": (lambda d: saved(d / "a.npy", np.full((2, 2, 2), 255.0)), r"run from 0 to 255: scale floats"),
    "vectors": (lambda d: saved(d / "a.npy", np.zeros((9, 64))), r"has shape \(9, 64\): give images as"),
    "channels first": (lambda d: saved(d / "a.npy", pixels(9, 3, 8, 8)), "8 channels: move the channels last"),
    "five channels": (lambda d: saved(d / "a.npy", pixels(9, 8, 8, 5)), "5 channels: use 1 for grey or 3"),
    "integers": (lambda d: saved(d / "a.npy", np.zeros((2, 2, 2), int)), "holds int64: save it as uint8"),
    "objects": (lambda d: saved(d / "a.npy", np.array([{}, {}])), r"a\.npy is not a readable array file"),
    "no array": (lambda d: (d / "a.npz").write_text("no") and d / "a.npz", r"a\.npz is not a readable array file"),
    "two arrays": (
        lambda d: saved(d / "a.npz", pixels(2, 2, 2), other=pixels(2, 2, 2)),
        "holds the arrays other, arr_0: call the one to use 'images'",
    ),
    "few labels": (
        lambda d: saved(d / "a.npz", pixels(3, 2, 2), labels=np.arange(2)),
        r"int64 of shape \(2,\) for 3 images: give an integer for each",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_sources_are_refused_by_one_sentence(tmp_path, case):
    make, message = REFUSED[case]
    source = make(tmp_path)
    with pytest.raises(ValueError, match=message) as refusal:
        load(source)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"size": 0}, "size = 0 is no image size"),
        ({"size": (8, 8, 3)}, r"size = \(8, 8, 3\) is no image size"),
        ({"size": 2.5}, "size = 2.5 is no image size"),
        ({"limit": 1}, "limit = 1 leaves no data set"),
        ({"limit": 2.0}, "limit = 2.0 leaves no data set"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        load("digits", **arguments)


def test_a_data_set_checks_itself():
    with pytest.raises(ValueError, match=r"4 values per image, which is not the shape \(2, 3, 1\)"):
        Dataset(np.zeros((2, 4)), (2, 3, 1), "zeros")
    with pytest.raises(ValueError, match=r"run from -1\.5 to 0: scale"):
        Dataset(np.full((2, 4), -1.5), (2, 2, 1), "dark")
    assert repr(load("digits", limit=10)) == "Dataset('digits': 10 images of 8x8x1, labelled)"
