"""Every reader of the project: how to write a small valid input, and how its rooms read it."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tests.face_model.toy_face_model import toy_arrays
from tests.results import synthetic

GRID = 6
"""Vertices along a side of the meshes."""


@dataclass(frozen=True)
class Reader:
    """One way into the project. Both functions take the folder of the input; `spare` files of it are not mutated."""

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]
    spare: tuple[str, ...] = ()

    def targets(self, folder: Path) -> list[Path]:
        """Files of an input to mutate, sorted."""
        files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".lock")
        return [path for path in files if not any(path.match(pattern) for pattern in self.spare)]


def face(count: int = GRID, size: float = 200.0) -> tuple[np.ndarray, np.ndarray]:
    """A curved sheet of the size of a face in mm, (count^2, 3), and its triangles."""
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, count), np.linspace(-0.5, 0.5, count))
    points = size * np.stack([x.ravel(), y.ravel(), 0.4 - (x**2 + y**2).ravel()], axis=1)
    corner = (np.arange(count - 1)[:, None] * count + np.arange(count - 1)).ravel()
    halves = ((0, 1, count + 1), (0, count + 1, count))
    return points, np.concatenate([np.stack([corner + k for k in half], axis=1) for half in halves])


def ply(binary: bool, polygons: bool = False) -> bytes:
    """The sheet as PLY; with `polygons`, its last two triangles are followed by a quadrangle."""
    points, triangles = face()
    faces = [*map(tuple, triangles.tolist()), *([(0, 1, GRID + 1, GRID)] if polygons else [])]
    form = "binary_big_endian" if binary else "ascii"
    head = f"ply\nformat {form} 1.0\ncomment a face\nelement vertex {len(points)}\n"
    head += "property float x\nproperty float y\nproperty float z\nproperty uchar red\n"
    head += f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    if binary:
        rows = [struct.pack(">3fB", *point, 7) for point in points]
        rows += [struct.pack(f">B{len(row)}i", len(row), *row) for row in faces]
        return head.encode() + b"".join(rows)
    lines = [f"{x:g} {y:g} {z:g} 7" for x, y, z in points] + [f"{len(row)} {' '.join(map(str, row))}" for row in faces]
    return (head + "\n".join(lines) + "\n").encode()


def table(*rows: str) -> bytes:
    """Lines of a text file."""
    return ("\n".join(rows) + "\n").encode()


def files(**content: bytes) -> Callable[[Path], None]:
    """A writer of files; in their names, two underscores stand for a dot."""

    def write(folder: Path) -> None:
        for name, data in content.items():
            (folder / name.replace("__", ".")).write_bytes(data)

    return write


def arrays(name: str, **content: Any) -> Callable[[Path], None]:
    """A writer of an npz file."""
    return lambda folder: np.savez(folder / name, **content)


def photo(name: str, **options: Any) -> Callable[[Path], None]:
    """A writer of a picture."""

    def write(folder: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (24, 20, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name, **options)

    return write


IDS = [f"p{number}" for number in range(8)]
PARAMETERS = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)


def predictions() -> Iterator[Reader]:
    """What methods predicted: arrays and meshes."""
    from recface.files.meshes import read_mesh
    from recface.metrics.readers import read_predictions
    from recface.metrics.readers.predictions import read_shapes

    points, triangles = face()
    shapes = np.stack([points, points + 1]).astype(np.float32)
    obj = b"".join(b"v %g %g %g\n" % tuple(row) for row in points)
    obj += b"".join(b"f %d/1 %d %d\n" % tuple(row + 1) for row in triangles)
    marks = np.zeros((2, 7, 3), np.float32)

    def folder_of_arrays(folder: Path) -> None:
        np.save(folder / "parameters.npy", PARAMETERS)
        files(ids__csv=table("id", *IDS))(folder)

    def meshes(folder: Path, content: dict[str, bytes]) -> None:
        files(**content)(folder)
        files(ids__csv=table("id,file", *(f"{i},{name.replace('__', '.')}" for i, name in enumerate(content))))(folder)
        np.save(folder / "points.npy", marks)

    yield Reader(
        "predictions, npz",
        arrays("a.npz", ids=IDS, parameters=PARAMETERS, vertices=np.tile(shapes, (4, 1, 1)), triangles=triangles),
        lambda folder: read_predictions(folder / "a.npz"),
    )
    yield Reader("predictions, npy", folder_of_arrays, lambda folder: read_predictions(folder))
    yield Reader("predictions, OBJ", partial(meshes, content={"a__obj": obj, "b__obj": obj}), read_predictions)
    text = ply(False, polygons=True)
    yield Reader("predictions, PLY", partial(meshes, content={"a__ply": text, "b__ply": text}), read_predictions)
    yield Reader("PLY, binary", files(a__ply=ply(True)), lambda folder: read_mesh(folder / "a.ply"))
    yield Reader("PLY, polygons", files(a__ply=ply(True, polygons=True)), lambda folder: read_mesh(folder / "a.ply"))
    yield Reader(
        "mesh, npz",
        arrays("a.npz", vertices=points, triangles=triangles),
        lambda folder: read_mesh(folder / "a.npz"),
    )
    yield Reader(
        "shapes.npz",
        arrays("shapes.npz", ids=["a", "b"], vertices=shapes),
        lambda folder: read_shapes(folder, np.array(["b", "a", "b"]), "manifest.csv"),
    )


def truth() -> Iterator[Reader]:
    """Manifests, pairs, landmarks and masks."""
    from recface.files.meshes import obj_text
    from recface.metrics.protocols import BENCHMARKS
    from recface.metrics.protocols.scans import SEVEN
    from recface.metrics.readers import read_truth
    from recface.metrics.readers.pairs import read_pairs
    from recface.metrics.scan.files import read_landmarks, read_rows, read_scan
    from recface.results.evaluate import evaluate

    def measured(folder: Path) -> object:
        return evaluate(folder / "p.npz", "now-scan-to-mesh/v1", folder / "manifest.csv")["values"]

    def scanned(folder: Path) -> None:
        points, triangles = face(12)
        places = points[[25, 40, 60, 75, 90, 110, 130]]
        names = SEVEN
        rows = [f"{name},{x:g},{y:g},{z:g}" for name, (x, y, z) in zip(names, places, strict=True)]
        files(a__csv=table("name,x,y,z", *rows), manifest__csv=table("id,scan,landmarks", "a,a.obj,a.csv"))(folder)
        (folder / "a.obj").write_text(obj_text(points, triangles))
        moved = (points * 1.02 + [1, 2, 3] + np.random.default_rng(0).normal(size=points.shape)).astype(np.float32)
        marks = moved[[25, 40, 60, 75, 90, 110, 130]]
        np.savez(folder / "p.npz", ids=["a"], vertices=moved[None], triangles=triangles, points=marks[None])

    names = [f"{axis}{number}" for number in range(1, 69) for axis in "xy"]
    head, cells = ",".join(("id", "yaw", "landmark_version", *names)), ",".join(["1.5"] * 136)
    numbers = table(head, f"a,-30,original,{cells}", f"b,1e1,reannotated,{cells}", f"c,0,original,{cells}")
    yield Reader(
        "manifest, CSV",
        files(manifest__csv=numbers),
        lambda folder: read_truth(folder, BENCHMARKS["aflw2000-nme/v1"]),
    )
    yield Reader("evaluate, NoW", scanned, measured)
    pairs = [(f"p{i}", f"p{i + 1}", i % 2) for i in range(24)]
    listed = table("first,second,same,fold", *(f"{a},{b},{s},{i % 10}" for i, (a, b, s) in enumerate(pairs)))
    plain = table(*(f"{a} {b} {s}" for a, b, s in pairs))
    lfw = table("10 1", *(line for i in range(10) for line in (f"A_B {i + 1} {i + 2}", f"A_B {i + 1} C {i + 1}")))
    for form, content in (("CSV", listed), ("plain", plain), ("LFW", lfw)):
        yield Reader(f"pairs, {form}", files(pairs__txt=content), lambda folder: read_pairs(folder / "pairs.txt"))
    marks = table("name,x,y,z", *(f"m{i},{i},{i / 3:.3f},1e1" for i in range(7)))
    names = tuple(f"m{i}" for i in (3, 1, 6))
    yield Reader("landmarks", files(a__csv=marks), lambda folder: read_landmarks(folder / "a.csv", names))
    yield Reader(
        "mask, text", files(a__txt=table(*map(str, range(0, 30, 2)))), lambda folder: read_rows(folder / "a.txt", 40)
    )
    yield Reader(
        "mask, npy",
        lambda folder: np.save(folder / "a.npy", np.arange(40) % 3 == 0),
        lambda folder: read_rows(folder / "a.npy", 40),
    )
    yield Reader("scan, PLY", files(a__ply=ply(False)), lambda folder: read_scan(folder / "a.ply"))


def photos() -> Iterator[Reader]:
    """Photographs, alone and with their table."""
    from recface.data.photos import LANDMARK_COLUMNS
    from recface.data.sources import manifest_source
    from recface.files.images import read_image

    turned = Image.Exif()
    turned[0x0112] = 6
    forms: dict[str, dict[str, Any]] = {
        "png": {},
        "jpg": {"exif": turned},
        "webp": {"lossless": True},
        "bmp": {},
        "tif": {"compression": "tiff_lzw"},
    }
    for ending, options in forms.items():
        name = f"a.{ending}"
        yield Reader(
            f"photo, {ending}", photo(name, **options), lambda folder, name=name: read_image(folder / name).load()
        )
    marks = np.random.default_rng(1).uniform(4, 16, (68, 2))
    cells = ",".join(f"{value:.1f}" for value in marks.ravel())

    def with_table(folder: Path) -> None:
        photo("a.png")(folder)
        rows = (f"a.png,Zoë,neutral,{cells}", f"a.png,,smiling,{cells}")
        files(faces__csv=table(",".join(("file", "identity", "expression", *LANDMARK_COLUMNS)), *rows))(folder)

    yield Reader(
        "photos, table",
        with_table,
        lambda folder: manifest_source(folder, (marks - 10) / [8.0, -8.0], 16).images[:],
        ("*.png",),
    )


def records() -> Iterator[Reader]:
    """Records of runs, their logs and their tables."""
    from recface.results.build import render
    from recface.sweeps.points import read_progress
    from recface.sweeps.search import intermediate_values
    from recface.tracking import RunRecord, read_record, write_record
    from recface.variants.conflict import conflict_curves, conflict_metrics

    def record(folder: Path) -> None:
        config = {"face_model": {"name": "toy"}, "peer": {"method": "fit"}, "sir": {"scale": 16}}
        fields: dict[str, Any] = {"config": config, "metrics": {"benchmark": {"nme": 1.5}}, "state": "finished"}
        write_record(folder / "run.json", RunRecord("sir", "abc", 0, overrides=["+peer.method=fit"], **fields))

    def results(folder: Path) -> None:
        for experiment, noise in (("baseline", 1.2), ("sir", 0.6)):
            synthetic.make_run(folder / "runs", experiment, 0, noise, digest="abc", results=folder / "results")
        synthetic.make_run(folder / "runs", "sir", 1, 0.7, digest="abc")
        (folder / "p" / "configs" / "table").mkdir(parents=True)
        (folder / "p" / "configs" / "table" / "t.yaml").write_text(TABLE)

    def rendered(folder: Path) -> object:
        return render(folder / "p" / "configs" / "table", folder / "runs", folder / "results", with_figures=False)

    lines = [{"stage": 2, "step": 4 * i, "loss/total": 1 / (i + 1), "validation/score": i / 9} for i in range(6)]
    rows = [{"step": i, "recognition": 2.0, "reconstruction": 1.0 + i, "cosine": -0.1 * i} for i in range(6)]
    yield Reader("run.json", record, read_record)
    yield Reader("tables of records", results, rendered, ("*.yaml", "metrics.jsonl"))
    yield Reader(
        "metrics.jsonl",
        files(metrics__jsonl=table(*map(json.dumps, lines))),
        lambda folder: intermediate_values(folder, "validation/score", "maximize"),
    )
    yield Reader(
        "conflict.jsonl",
        files(conflict__jsonl=table(*map(json.dumps, rows))),
        lambda folder: conflict_metrics(curves) if (curves := conflict_curves(folder / "conflict.jsonl")) else None,
    )
    yield Reader(
        "progress.json",
        files(progress__json=b'{"run": "runs/a/b", "phase": "stage1", "step": 3, "total": 9, "loss": 0.5}'),
        lambda folder: job_shown(read_progress(folder / "progress.json")),
    )


def job_shown(progress: dict[str, Any]) -> object:
    """What a sweep's display takes from a job's progress."""
    from recface.sweeps.points import Job

    job = Job("a", [], Path("a.log"), progress=progress)
    return job.fraction, job.skipped, job.run


TABLE = """\
name: t
title: A table
blocks:
  - {name: embedded, title: Embedded, metrics: benchmark, select: {scale.name: small}, command: recface run}
rows:
  - {experiment: baseline, title: baseline}
  - {experiment: sir, title: SIR, parent: baseline}
columns:
  - {metric: shape_error_mm, title: shape error (mm), direction: lower, digits: 3}
  - {metric: geometry_auc, title: AUC, direction: higher, digits: 3}
  - {metric: prior_kl, title: KL, target: 0, digits: 3}
"""
SWEEP = """\
program: src/run.py
method: grid
metric: {name: benchmark/geometry_auc, goal: maximize}
parameters:
  +experiment: {values: [baseline, sir]}
  seed: {values: [0, 1]}
  loss.pixel: {values: [0.1, 1.0e-2]}
  scale: &scale {value: smoke}
  trainer.validate: {value: true}
command: ["${env}", "${interpreter}", "${program}", "${args_no_hyphens}"]
"""
CARD = """\
name: "A method"
paper: "Somebody: Something. Somewhere 2020"
code: https://example.org/method
face_model: "BFM 2009"
licence: "MIT"
numbers:
  - {protocol: "published:now/test", metric: median, unit: "mm", direction: lower, value: 1.09, source: "its page"}
"""
EXPERIMENT = """\
# @package _global_
name: mine
parent: baseline
title: Mine
tables: [ablation]
variant: sir
defaults: [sir]
loss: {pixel: 0.5}
sir: {center: 0.2, margin: 0.1}
"""


def settings() -> Iterator[Reader]:
    """YAML files."""
    from recface.baselines.cards import read_card
    from recface.results.spec import read_spec
    from recface.settings.compose import experiment_rows, quick_config
    from recface.settings.run_settings import config_mistakes
    from recface.sweeps.spec import dry_run
    from recface.sweeps.sweep_mistakes import checked_sweep

    def sweep(folder: Path) -> object:
        return sum(1 for _ in dry_run(checked_sweep(folder / "sweep.yaml")))

    def own(folder: Path) -> None:
        (folder / "experiment").mkdir()
        (folder / "experiment" / "mine.yaml").write_text(EXPERIMENT)

    def composed(folder: Path) -> object:
        with variable("RECFACE_CONFIGS", str(folder)):
            experiment_rows()
            return config_mistakes(quick_config("+experiment=mine", "scale=smoke"))

    yield Reader("table, YAML", files(t__yaml=TABLE.encode()), lambda folder: read_spec(folder / "t.yaml", []))
    yield Reader("card, YAML", files(card__yaml=CARD.encode()), lambda folder: read_card(folder / "card.yaml"))
    yield Reader("sweep, YAML", files(sweep__yaml=SWEEP.encode()), sweep)
    yield Reader("experiment, YAML", own, composed)


@contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """Set an environment variable for a while."""
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def models() -> Iterator[Reader]:
    """Face models, scans and what was learned from them."""
    from recface.face_model import FaceModel, get, load, save
    from recface.face_model.builders import BUILDERS
    from recface.face_model.ict import read_source
    from recface.scan_stage.decoder import LATENTS_FILE
    from recface.scan_stage.scans import MappedScans, folder_scans
    from recface.scan_stage.stage import scan_hash, scan_model
    from recface.tracking import RunFolder, RunRecord, run_path
    from recface.versions import SCAN_VERSION

    toy = FaceModel(**toy_arrays())
    points, triangles = toy.mean.numpy(), toy.triangles.numpy()

    def source(folder: Path) -> None:
        np.savez_compressed(folder / "ict_face.npz", **light_stage())

    def built(folder: Path) -> object:
        BUILDERS["toy"] = "tests.fuzz.toy_builder"
        return get("toy", None, folder)

    def meshes(folder: Path) -> None:
        for name in ("a.npz", "b.npz"):
            np.savez(folder / name, vertices=points, triangles=triangles)
        (folder / "scans.csv").write_bytes(table("file,identity", "a.npz,x", "b.npz,y", "a.npz,x"))
        folder_scans(toy, folder, folder / "cache")

    def stage(folder: Path) -> dict[str, Any]:
        scan = {"source": "model", "path": None}
        return {"seed": 0, "sfm": {"scan": scan}, "paths": {"runs": str(folder), "cache": str(folder / "cache")}}

    def learned(folder: Path) -> None:
        config = stage(folder)
        run = RunFolder.open(run_path(folder, "scans", scan_hash(config, toy), 0))
        run.start(RunRecord("scans", scan_hash(config, toy), 0, versions={"scan": SCAN_VERSION}))
        save(toy, run.path / "sfm.npz")
        sizes = {"latents": toy.num_identity, "expression": toy.num_expressions}
        latents = {"identity": np.array([0, 0, 1])} | {name: np.ones((3, size)) for name, size in sizes.items()}
        np.savez(run.path / LATENTS_FILE, **latents)
        run.finish({})

    scans = MappedScans(np.stack([points] * 3), np.array([0, 0, 1]))
    yield Reader("face model, npz", lambda folder: save(toy, folder / "a.npz"), lambda folder: load(folder / "a.npz"))
    yield Reader("face model cache", built, built)
    yield Reader("ict_face.npz", source, lambda folder: read_source(folder))
    yield Reader("scans.csv", meshes, lambda folder: folder_scans(toy, folder, folder / "cache")[:])
    yield Reader("latents.npz", learned, lambda folder: scan_model(stage(folder), toy, scans), ("run.json",))


def official_models() -> Iterator[Reader]:
    """Face models as they come; FLAME's hundreds of modes are read and not orthogonalized."""
    from tests.official import face_models as official

    from recface.face_model import flame, ict, surrey
    from recface.face_model.bfm import BFM2009, BFM2017, BFM2019, DEEP3D

    for model in (BFM2009, BFM2017, BFM2019, DEEP3D, surrey.SURREY):
        yield Reader(f"face model {model.name}", getattr(official, f"write_{model.name}"), model.build)
    yield Reader("face model flame2020", official.write_flame2020, flame.FLAME2020.opened)
    yield Reader("face model ict, OBJ", partial(official.write_ict, columns=21, rows=27), ict.build)


def light_stage() -> dict[str, np.ndarray]:
    """Arrays in the form of ICT-FaceKit's file; of zeros, which take no room."""
    sizes = {"neutral_cm": (9409, 3), "identity_cm": (100, 9409, 3), "expression_cm": (55, 9409, 3)}
    floats = {name: np.zeros(shape, np.float32) for name, shape in sizes.items()}
    names = np.array([f"unit{number}" for number in range(55)])
    triangles, marks = np.zeros((18460, 3), np.int32), np.arange(68)
    return floats | {"triangles": triangles, "expression_names": names, "landmarks68": marks}


def states() -> Iterator[Reader]:
    """Checkpoints and the cache of the benchmark."""
    from recface.data.benchmark import BenchmarkConfig, get_benchmark
    from recface.data.benchmark.store import PHOTO_SPLITS
    from recface.files.checkpoints import load_state, require_keys, require_same, save_state
    from recface.networks.backbone import split_backbone

    network = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Linear(4, 2, bias=False))
    wanted = network.state_dict()
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 5)).sum().backward()
    optimizer.step()
    last = {"step": 4, "state": wanted, "optimizer": optimizer.state_dict(), "schedule": {"last_epoch": 3}}

    def final(folder: Path) -> object:
        state = load_state(folder / "final.pt")
        require_same(state, wanted, folder / "final.pt")
        return network.load_state_dict(state)

    def resumed(folder: Path) -> object:
        checkpoint = load_state(folder / "last.ckpt")
        require_keys(checkpoint, last, folder / "last.ckpt")
        require_same(checkpoint["state"], wanted, folder / "last.ckpt")
        return network.load_state_dict(checkpoint["state"])

    yield Reader("final.pt", lambda folder: save_state(wanted, folder / "final.pt"), final)
    yield Reader("last.ckpt", lambda folder: save_state(last, folder / "last.ckpt"), resumed)

    def weights(folder: Path) -> None:
        import timm

        torch.manual_seed(0)
        torch.save(timm.create_model("test_resnet").state_dict(), folder / "a.pth")

    yield Reader(
        "model.weights", weights, lambda folder: split_backbone("test_resnet", 0, folder / "a.pth").make_late()
    )
    from recface.face_model import FaceModel

    toy = FaceModel(**toy_arrays(expressions=5))
    one = {name: 1 for name in BenchmarkConfig.__dataclass_fields__} | {"image_size": 8, "seed": 0, "albedo_modes": 2}
    sizes = BenchmarkConfig(**one)

    def photographed(folder: Path) -> object:
        benchmark = get_benchmark(toy, sizes, folder)
        return [(benchmark.images(split).sum(), benchmark.labels(split)) for split in PHOTO_SPLITS]

    yield Reader("benchmark cache", photographed, photographed)


def all_readers() -> dict[str, Reader]:
    """Every reader by its name."""
    groups = (predictions, truth, photos, records, settings, models, official_models, states)
    return {reader.name: reader for group in groups for reader in group()}
