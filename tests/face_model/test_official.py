"""Official files in miniature, decoded by our class and by each source's own formula."""

import pickle
import sys
import types
from functools import partial
from unittest import mock

import numpy as np
import pytest
import torch
from scipy.io import loadmat, savemat
from tests.official import face_models as official

from recface.errors import RecfaceError
from recface.face_model import get, load, save
from recface.face_model.albedo import own_albedo_model
from recface.face_model.official import read_landmarks
from recface.face_model.surrey import read_mapping

MODELS = ("bfm2009", "bfm2017", "bfm2019", "deep3d", "flame2020", "flame2023", "surrey")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    for name in MODELS:
        getattr(official, f"write_{name}")(folder / name)
    return folder


@pytest.fixture(scope="module")
def built(root, tmp_path_factory):
    """Each model built once, and read back from its cached file."""
    return {name: get(name, root / name, root / "cache") for name in MODELS}


def bfm2009(folder, shape, expression):
    """Deep3DFaceRecon's transferBFM09, in millimeters, on all vertices that have expressions."""
    model, trimmed = loadmat(folder / "01_MorphableModel.mat"), loadmat(folder / "BFM_exp_idx.mat")
    kept = trimmed["trimIndex"].ravel().astype(int) - 1
    data = (folder / "Exp_Pca.bin").read_bytes()
    modes, count = np.frombuffer(data, np.int32, 1)[0], len(kept)
    rows = np.frombuffer(data, np.float32, offset=4)[3 * count :].reshape(modes, -1).astype(float)
    whole = model["shapeMU"].ravel() + model["shapePC"].astype(float) @ (model["shapeEV"].ravel() * shape)
    moved = rows.T @ (np.loadtxt(folder / "std_exp.txt") * expression)
    return (whole.reshape(-1, 3)[kept] + moved.reshape(-1, 3)) / 1000


def deep3d(folder, shape, expression):
    """Deep3DFaceRecon's compute_shape, from decimeters."""
    model = loadmat(folder / "BFM_model_front.mat")
    return 100 * (model["meanshape"].ravel() + model["idBase"] @ shape + model["exBase"] @ expression).reshape(-1, 3)


def statismo(folder, shape, expression):
    """Mean and basis times standard deviations, of shape and of expression."""
    import h5py

    total = 0.0
    with h5py.File(next(folder.glob("*.h5"))) as file:
        for kind, coefficients in (("shape", shape), ("expression", expression)):
            mean, basis, variance = (file[f"{kind}/model/{part}"][:] for part in ("mean", "pcaBasis", "pcaVariance"))
            total = total + mean.astype(float) + basis.astype(float) @ (np.sqrt(variance.astype(float)) * coefficients)
    return total.reshape(-1, 3)


def flame(folder, shape, expression):
    """Template and blendshapes, from meters; at rest, skinning and pose correctives do nothing."""
    module = types.ModuleType("chumpy.ch")
    module.Ch = official.Ch
    with mock.patch.dict(sys.modules, {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": module}):
        model = pickle.loads(next(folder.glob("*.pkl")).read_bytes())
    return 1000 * (model["v_template"].x + model["shapedirs"].x @ np.concatenate([shape, expression]))


def surrey(folder, shape, expression):
    """eos's own sample of the shape, and its blendshapes."""
    import eos

    model = eos.morphablemodel.load_model(str(folder / "sfm_shape_3448.bin")).get_shape_model()
    shapes = eos.morphablemodel.load_blendshapes(str(folder / "expression_blendshapes_3448.bin"))
    moved = sum(weight * one.deformation for weight, one in zip(expression, shapes, strict=True))
    return (np.asarray(model.draw_sample(shape.astype(np.float32))).ravel() + moved).reshape(-1, 3)


FORMULAS = {
    "bfm2009": bfm2009,
    "deep3d": deep3d,
    **dict.fromkeys(("bfm2017", "bfm2019"), statismo),
    **dict.fromkeys(("flame2020", "flame2023"), flame),
    "surrey": surrey,
}


@pytest.mark.parametrize("name", MODELS)
def test_decoding_is_the_sources_formula(name, built, root):
    model, random = built[name], np.random.default_rng(1)
    own = model.own_identity.double().numpy()
    # FLAME's 400 coefficients together would not be a face any more: errors are of float32, relative to the size.
    shape = random.normal(size=len(own)) * (0.2 if len(own) > 100 else 1.0)
    expression = random.normal(size=model.num_expressions) * (0.2 if len(own) > 100 else 1.0)
    np.testing.assert_allclose(own.T @ own, np.eye(own.shape[1]), atol=1e-6)
    whitened = torch.from_numpy(own.T @ shape).float()[None]
    found = model.shape(whitened, torch.from_numpy(expression).float()[None])[0].double().numpy()
    expected, rest = (FORMULAS[name](root / name, *pair) for pair in ((shape, expression), (0 * shape, 0 * expression)))
    np.testing.assert_allclose(found - model.mean.numpy(), expected - rest, atol=1e-4)
    np.testing.assert_allclose(found, expected + (model.mean.numpy() - rest).mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(model.landmark_mean.mean(dim=0), 0, atol=1e-4)
    np.testing.assert_allclose(model.own_identity.numpy() @ whitened[0].numpy(), shape, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_in_the_frame_of_the_suite(name, built):
    model, face = built[name], official.sheet()
    assert np.abs(model.mean.numpy() - face.vertices - (model.mean.numpy() - face.vertices).mean(axis=0)).max() < 4
    known = np.setdiff1d(np.arange(68), [*range(8), *range(9, 17), 60, 64] if name == "surrey" else [])
    assert (model.landmarks68.numpy()[known] == face.landmarks[known]).all()
    a, b, c = (model.mean[model.triangles[:, corner]] for corner in range(3))
    assert (torch.linalg.cross(b - a, c - a)[:, 2] > 0).all()  # seen from the front
    assert model.face_mask[model.landmarks68[30]] and not model.face_mask[0]
    signed = name != "surrey"
    assert (model.expression_sigma is not None) == signed and ("signed expressions" in repr(model)) == signed


@pytest.mark.parametrize("name", ["bfm2009", "deep3d", "surrey"])
def test_a_symmetric_mesh_has_an_exact_mirror_map(name, built):
    across = np.arange(567).reshape(official.ROWS, official.COLUMNS)[:, ::-1].ravel()
    assert (built[name].mirror.numpy() == across).all() and built[name].mirror_residual is None
    assert "approximate" not in repr(built[name])


def test_an_asymmetric_mesh_says_how_far_its_mirror_map_is_off(built):
    model = built["flame2020"]
    mirror, mean = model.mirror.numpy(), model.mean.numpy()
    assert (mirror[mirror] == np.arange(len(mirror))).all()
    middle = [mean[:, 0].mean(), 0, 0]
    off = np.linalg.norm((mean - middle) * [-1, 1, 1] + middle - mean[mirror], axis=1).max()
    assert 0.1 < model.mirror_residual < 4 and abs(off - model.mirror_residual) < 0.5  # the plane turns a little
    assert f"mirror approximate to {model.mirror_residual:.2f} mm" in repr(model)


def test_flame_s_landmarks_lie_within_triangles(built, root):
    model = built["flame2020"]
    embedding = np.load(root / "flame2020" / "landmark_embedding.npy", allow_pickle=True).item()
    identity, expression = 0.1 * torch.randn(2, model.num_identity), 0.1 * torch.randn(2, model.num_expressions)
    shapes = model.shape(identity, expression).numpy()
    corners = shapes[:, official.sheet().triangles[embedding["full_lmk_faces_idx"][0]]]
    expected = (embedding["full_lmk_bary_coords"][0][..., None] * corners).sum(axis=2)
    np.testing.assert_allclose(model.landmarks(identity, expression).numpy(), expected, atol=1e-4)
    assert np.linalg.norm(expected - shapes[:, model.landmarks68], axis=-1).mean() > 0.5  # vertices would be off


@pytest.mark.parametrize(("name", "scale"), [("deep3d", 255), ("bfm2009", 255), ("bfm2017", 1)])
def test_texture_becomes_the_albedo_model(name, scale, built, root):
    model, albedo = built[name], own_albedo_model(built[name])
    if name == "bfm2017":
        import h5py

        with h5py.File(next((root / name).glob("*.h5"))) as file:
            mean, basis = file["color/model/mean"][:], file["color/model/pcaBasis"][:]
            basis = basis * np.sqrt(file["color/model/pcaVariance"][:])
    elif name == "deep3d":
        file = loadmat(root / name / "BFM_model_front.mat")
        mean, basis = file["meantex"], file["texBase"]
    else:
        file = loadmat(root / name / "01_MorphableModel.mat")
        kept = loadmat(root / name / "BFM_exp_idx.mat")["trimIndex"].ravel().astype(int) - 1
        mean = file["texMU"].reshape(-1, 3)[kept]
        basis = (file["texPC"] * file["texEV"].ravel()).reshape(-1, 3, 5)[kept].reshape(-1, 5)
    np.testing.assert_allclose(albedo.mean.numpy().ravel(), mean.ravel() / scale, atol=1e-6)
    colors = albedo(torch.eye(albedo.num_modes)).detach().numpy().reshape(albedo.num_modes, -1) - mean.ravel() / scale
    covariance = colors.T @ colors[:, ::9]  # signs and order of modes do not matter
    np.testing.assert_allclose(covariance, (basis / scale) @ (basis / scale)[::9].T, atol=1e-5)
    assert own_albedo_model(built["surrey"]) is None and model.num_vertices == len(albedo.mean)


def test_3ddfa_s_files_give_the_same_model_as_deep3d_s(built, tmp_path):
    official.write_bfm2009(tmp_path, of_3ddfa=True)
    assert not (tmp_path / "BFM_exp_idx.mat").exists()
    assert get("bfm2009", tmp_path, tmp_path / "cache").checksum == built["bfm2009"].checksum


def test_surrey_s_open_landmarks_are_filled_from_contours_and_corners(built):
    marks, jaw = built["surrey"].landmarks68.numpy(), official.sheet().landmarks[:17]
    assert (marks[[60, 64]] == marks[[48, 54]]).all()
    assert (marks[[0, 8, 16]] == jaw[[0, 8, 16]]).all() and np.isin(marks[:17], jaw).all()
    heights = built["surrey"].mean[marks[:9], 1].numpy()
    assert (np.diff(heights) <= 0).all() and (built["surrey"].mirror[marks[:17]].numpy() == marks[16::-1]).all()


def test_eos_s_older_mapping_is_read_too(root, tmp_path):
    source, marks = root / "surrey", official.sheet().landmarks
    pairs = "".join(f"\t{mark + 1:2d} {marks[mark]:5d} ; a mark\n" for mark in (8, *range(17, 68)))
    text = f"; Mapping\n\nlandmarkMappings ; lhs\n{{\n\t ; 1 to 8\n{pairs}}}\ncontour_landmarks\n{{\n\t1\n\t2\n}}\n"
    (tmp_path / "old.txt").write_text(text)
    rest = source / "sfm_model_contours.json", official.sheet().vertices
    old, new = (read_mapping(path, *rest).nearest for path in (tmp_path / "old.txt", source / "ibug_to_sfm.txt"))
    assert (old[17:60] == marks[17:60]).all() and (np.delete(old, (60, 64)) == np.delete(new, (60, 64))).all()


def test_the_file_itself_serves_as_well_as_its_folder(built, root, tmp_path):
    path = root / "bfm2017" / "model2017-1_face12_nomouth.h5"
    assert get("bfm2017", path, tmp_path).checksum == built["bfm2017"].checksum
    names = [file.name for file in (root / "cache" / "face_model").glob("bfm2017*.npz")]
    assert [file.name for file in (tmp_path / "face_model").glob("*.npz")] == names  # the same sources
    (root / "bfm2017" / "landmarks68.csv").write_text(
        ", ".join(str(int(mark)) for mark in built["bfm2017"].landmarks68)
    )
    assert get("bfm2017", path, tmp_path).checksum == built["bfm2017"].checksum
    (root / "bfm2017" / "landmarks68.csv").unlink()
    assert len([*(tmp_path / "face_model").glob("*.npz")]) == 2  # other sources


def test_a_built_model_is_a_file_in_the_schema(built, tmp_path):
    for name, model in built.items():
        read = load(save(model, tmp_path / f"{name}.npz"))
        assert read.checksum == model.checksum and repr(read) == repr(model)
        np.testing.assert_array_equal(read.own_identity, model.own_identity)


@pytest.mark.parametrize("suffix", [".csv", ".txt", ".npy"])
@pytest.mark.parametrize("form", ["vertices", "weights"])
def test_landmarks_of_the_user(form, suffix, tmp_path):
    vertices = np.arange(68)
    rows = np.stack([vertices, vertices + 1, vertices + 2, *np.tile([[0.25], [0.5], [0.25]], 68)], axis=1)
    numbers, path = vertices if form == "vertices" else rows, tmp_path / f"landmarks68{suffix}"
    if suffix == ".npy":
        np.save(path, numbers)
    else:
        np.savetxt(path, numbers, delimiter="," if suffix == ".csv" else " ", fmt="%g")
    mesh = np.random.default_rng(0).normal(size=(70, 3))
    expected = mesh[:68] if form == "vertices" else 0.25 * mesh[:68] + 0.5 * mesh[1:69] + 0.25 * mesh[2:]
    found = read_landmarks(path)
    np.testing.assert_allclose(found.on(mesh), expected)
    assert found.exact == (form == "vertices") and found.nearest[0] == (0 if form == "vertices" else 1)


class Trap:
    """Unpickled, it makes a folder."""

    def __reduce__(self):
        import os

        return os.mkdir, ("executed",)


def cut(name, folder):
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def remove(name, folder):
    (folder / name).unlink()


def rewrite(name, folder, **changes):
    content = {key: value for key, value in loadmat(folder / name).items() if key[0] != "_"} | changes
    savemat(folder / name, {key: value for key, value in content.items() if value is not None})


def write(name, text, folder):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


MARKS = "\n".join(map(str, range(68)))
BFM = "https://faces.dmi.unibas.ch/bfm"
MISTAKES = [
    ("bfm2009", partial(remove, "Exp_Pca.bin"), f"no Exp_Pca.bin in .*asked for at {BFM}"),
    ("bfm2009", partial(cut, "Exp_Pca.bin"), r"Exp_Pca\.bin: .* bytes for 4 modes of 567 vertices: cut, or of another"),
    (
        "bfm2009",
        partial(cut, "01_MorphableModel.mat"),
        r"01_MorphableModel\.mat: not a readable MAT file ",
    ),
    ("bfm2009", partial(remove, "BFM_exp_idx.mat"), "no model_info.mat or BFM_exp_idx.mat in"),
    (
        "bfm2009",
        partial(remove, "facemodel_info.mat"),
        "holds no 68 landmarks; put their vertices",
    ),
    (
        "bfm2009",
        partial(rewrite, "BFM_exp_idx.mat", trimIndex=np.array([[9999]])),
        "an index beside it leaves 1",
    ),
    ("bfm2009", partial(rewrite, "BFM_exp_idx.mat", trimIndex=None), "no trimIndex in model_info.mat or BFM_exp_idx"),
    ("bfm2009", partial(write, "std_exp.txt", "1 2"), r"std_exp\.txt: .*2 numbers for the 4 modes"),
    (
        "deep3d",
        partial(write, "BFM_model_front.mat", b"\0" * 512 + b"\x89HDF\r\n\x1a\n"),
        "MAT version 7.3 is not",
    ),
    ("deep3d", partial(rewrite, "BFM_model_front.mat", idBase=None), "lacks idBase, so it is another file"),
    ("deep3d", partial(rewrite, "BFM_model_front.mat", exBase=np.ones((9, 4))), "expression basis .* expected"),
    ("deep3d", partial(rewrite, "BFM_model_front.mat", idBase=np.full((1701, 2), np.nan)), "shape basis .* finite"),
    ("deep3d", partial(rewrite, "BFM_model_front.mat", tri=np.array([["a", "b"]])), "tri is a char, expected numbers"),
    ("bfm2017", partial(remove, "Landmarks68_model2017-1_face12_nomouth.anl"), "holds no 68 landmarks; put their"),
    ("bfm2017", partial(cut, "model2017-1_face12_nomouth.h5"), "not a readable HDF5 file"),
    (
        "bfm2019",
        partial(write, "landmarks68.csv", MARKS.replace("9", "9999")),
        "landmarks must be vertices",
    ),
    (
        "bfm2019",
        partial(write, "landmarks68.csv", MARKS),
        "landmarks do not lie as on a face; give",
    ),
    (
        "bfm2019",
        partial(write, "landmarks68.csv", "1 2 3"),
        r"landmarks68\.csv: not a readable list of landmarks \(3",
    ),
    ("bfm2019", partial(write, "landmarks68.csv", "1.5\n" * 68), "vertices must be whole numbers"),
    ("flame2020", partial(remove, "landmark_embedding.npy"), "holds no 68 landmarks"),
    ("flame2020", partial(cut, "generic_model.pkl"), "not a readable pickle|cut while it was downloaded"),
    (
        "flame2020",
        partial(write, "generic_model.pkl", pickle.dumps({"f": Trap()})),
        r"a pickle with code",
    ),
    ("flame2020", partial(write, "generic_model.pkl", pickle.dumps({"f": 3})), "lacks v_template"),
    ("surrey", partial(cut, "sfm_shape_3448.bin"), "not a readable model of eos"),
    (
        "surrey",
        partial(remove, "expression_blendshapes_3448.bin"),
        "no expression_blendshapes_3448.bin in .*eos",
    ),
]


@pytest.mark.parametrize(("name", "spoil", "says"), MISTAKES)
def test_bad_files_are_one_line(name, spoil, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    getattr(official, f"write_{name}")(tmp_path / "in")
    spoil(tmp_path / "in")
    with pytest.raises(RecfaceError, match=says) as error:
        get(name, tmp_path / "in", tmp_path / "cache")
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)
    assert not (tmp_path / "executed").exists()


def test_the_wrong_version_is_named(root, tmp_path):
    with pytest.raises(RecfaceError, match=r"no flame2023\.pkl .*\(generic_model\.pkl is there, of face"):
        get("flame2023", root / "flame2020", tmp_path)
    with pytest.raises(RecfaceError, match=r"model2019_fullHead\.h5 is a file of face_model=bfm2019"):
        get("bfm2017", root / "bfm2019" / "model2019_fullHead.h5", tmp_path)
    with pytest.raises(RecfaceError, match="absent does not exist; set face_model.path to the folder of 01_Morph"):
        get("bfm2009", tmp_path / "absent", tmp_path)
    with pytest.raises(RecfaceError, match="'surrey': needs its files; set face_model.path"):
        get("surrey", None, tmp_path)


@pytest.mark.slow
def test_ict_from_the_official_folder(tmp_path):
    official.write_ict(tmp_path / "FaceXModel")
    model, face = get("ict", tmp_path, tmp_path / "cache"), official.sheet(97, 97)
    coefficients, weights = np.random.default_rng(0).normal(size=3), np.array([0.3, 0.0, 0.8])
    own = model.own_identity.double().numpy()
    shape = model.shape(torch.from_numpy(own.T @ coefficients).float()[None], torch.from_numpy(weights).float()[None])
    expected = face.vertices + (face.basis(40, 3) @ coefficients).reshape(-1, 3)
    # Expressions are in alphabetic order: browDown_L, cheekRaiser_L, jawOpen.
    expected += (face.basis(41, 3)[:, [0, 2, 1]] @ weights).reshape(-1, 3)
    found = shape[0, :9409].double().numpy()
    # The files have six digits in centimeters.
    np.testing.assert_allclose(found, expected - face.vertices[face.landmarks].mean(axis=0), atol=1e-4)
    assert model.expression_names == ["browDown_L", "cheekRaiser_L", "jawOpen"] and model.expression_sigma is None
    assert (model.landmarks68.numpy() == face.landmarks).all() and model.num_vertices > 9409


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (partial(remove, "identity001.obj"), None),
        (partial(remove, "jawOpen.obj"), r"jawOpen\.obj: no such file"),
        (partial(remove, "vertex_indices.json"), r"vertex_indices\.json: no such file"),
        (partial(write, "vertex_indices.json", "{}"), "expressions and 68 landmarks expected"),
        (partial(write, "vertex_indices.json", '{"expressions": ["../x"]}'), "expressions and 68 landmarks expected"),
        (
            partial(write, "identity000.obj", "v 1 2 3\n"),
            r"identity000\.obj: 1 vertices, .* has 567",
        ),
    ],
)
def test_bad_ict_folders_are_one_line(spoil, says, tmp_path):
    official.write_ict(tmp_path / "in", 21, 27)
    spoil(tmp_path / "in")
    if says is None:  # fewer modes are a model too
        assert get("ict", tmp_path / "in", tmp_path / "cache").num_identity == 2
        return
    with pytest.raises(RecfaceError, match=says) as error:
        get("ict", tmp_path / "in", tmp_path / "cache")
    assert "\n" not in str(error.value)
