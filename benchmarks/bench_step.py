"""What a training step costs beside its backbone, part by part, and how that grows.

    python benchmarks/bench_step.py [--rounds 3] [--steps 8]

Steps are those of Lightning, as `recface run` trains: scale small, one thread. After each step the three encoders'
forward and backward pass of the same batch is timed, so both sides see the same machine. float32 and bfloat16 take
turns, and with them the parts of a step, timed by hand; what Lightning's step takes beyond their sum is its overhead.
Medians count: a step draws its augmentation, so its shortest time is not its cost. Tables go to docs/performance.md.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from bench_render import batch_of, grid_head
from measured import ROOT, Line, Parts, best, fill, in_turn, keep, number
from rich.console import Console
from torch import Tensor

from recface.data import Batch
from recface.data.workbench import Workbench, build_data, open_workbench
from recface.losses import Separation, WeightedCenter, landmark_loss
from recface.networks import Coefficients, ConfidenceMaps, Encoders
from recface.render import Renderer, project
from recface.run.callbacks import Follow
from recface.run.evaluation import Network, evaluate_run
from recface.run.experiment import set_up_torch
from recface.run.stages import fit
from recface.settings.compose import compose_config
from recface.tracking import RunFolder
from recface.variants import Reconstruction, build_variant
from recface.variants.reconstruction import Reconstructed
from recface.variants.trainer import chosen_precision

PRECISIONS = {"float32": "32-true", "bf16": "bf16-mixed"}
WARM_UP = 3  # steps of each fit that do not count: memory is found, kernels are chosen
PHASES = {"stage 1, landmarks": (1, 1.0), "stage 1, pixels": (1, 0.0), "stage 2": (2, 0.0)}
"""Stage, and share of stage 1 that trains on landmarks alone."""
ROWS, SEEDS = 5, 3  # of sweeps/ablation.yaml
PAGE = ROOT / "docs" / "performance.md"
Phase = tuple[str, str]
"""A name of `PHASES` and one of `PRECISIONS`."""


def autocast(precision: str) -> torch.autocast:
    """What Lightning trains under."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def leaves(item: Any) -> tuple[Any, list[tuple[Tensor, Tensor]]]:
    """A copy of coefficients or maps cut from their graph, and pairs of an original tensor and its copy."""
    fields = item._asdict() if isinstance(item, tuple) else vars(item)
    cut = {name: value.detach().requires_grad_() for name, value in fields.items()}
    return type(item)(**cut), [(fields[name], cut[name]) for name in fields]


def pull(pairs: list[tuple[Tensor, Tensor]]) -> None:
    """Send the gradients that copies received on to the originals."""
    reached = [(one, copy.grad) for one, copy in pairs if copy.grad is not None and one.requires_grad]
    if reached:
        torch.autograd.backward([one for one, _ in reached], [gradient for _, gradient in reached])


def encode(variant: Reconstruction, image: Tensor, precision: str) -> None:
    """Forward and backward pass of the three encoders alone."""
    with autocast(precision):
        coefficients = variant(image)
    torch.stack([value.square().sum() for value in vars(coefficients).values()]).sum().backward()


class Clock(Follow):
    """Follows a run as `recface run` does, times its steps, and after each the encoders on the same batch."""

    def __init__(self, run: RunFolder, precision: str, parts: Parts) -> None:
        super().__init__(run, run, 0, 1)
        self.precision, self.parts, self.begin = precision, parts, 0.0

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Batch, *rest: Any) -> None:
        """Take in a step, from the end of the one before."""
        super().on_train_batch_end(trainer, module, outputs, batch, *rest)
        took = 1000 * (self.parts.now() - self.begin)
        module.encoders.zero_grad()
        watch = Parts()
        watch("encoders", lambda: encode(module, batch["image"], self.precision))
        if module.step > WARM_UP:
            self.parts.add("step", took)
            self.parts.add("encoders", watch.times["encoders"][0])
        self.begin = self.parts.now()


def opened(phase: str, precision: str, steps: int) -> tuple[Workbench, int]:
    """The workbench of a phase of training, and its stage."""
    stage, landmarks = PHASES[phase]
    lengths = [f"scale.stage{number}_steps={steps}" for number in (1, 2)]
    config = compose_config(
        "+experiment=sir", *lengths, f"loss.pixel_from={landmarks}", f"trainer.precision={PRECISIONS[precision]}"
    )
    set_up_torch(config)
    return open_workbench(config), stage


def measured_steps(rounds: int, steps: int) -> tuple[dict[Phase, Parts], dict[Phase, Parts]]:
    """Milliseconds of Lightning's step and of its encoders, and of the parts of a step, by phase and precision.

    All take turns in every round, so that a machine that slows down for a while slows all alike.
    """
    phases = [(phase, precision) for phase in PHASES for precision in PRECISIONS]
    whole, parts = {key: Parts() for key in phases}, {key: Parts() for key in phases}
    for _ in range(rounds):
        for key in phases:
            bench, stage = opened(*key, WARM_UP + steps)
            with tempfile.TemporaryDirectory() as folder:
                run = RunFolder.open(folder)
                fit(build_variant(bench, stage), bench, run, Clock(run, key[1], whole[key]), None)
            add_parts_of_steps(bench, stage, key[1], WARM_UP + steps, parts[key])
    return whole, parts


def add_parts_of_steps(bench: Workbench, stage: int, precision: str, steps: int, parts: Parts) -> None:
    """Time each part of some steps, forward and backward together."""
    variant, data = build_variant(bench, stage).train(), build_data(bench, stage)
    optimizer, batches = variant.configure_optimizers()["optimizer"], iter(data.train_dataloader())
    for step in range(steps):
        watch = Parts()
        loaded = watch("data", partial(next, batches))
        batch = watch("augmentation", partial(data.on_after_batch_transfer, loaded, 0))
        one_step(variant, batch, precision, watch)
        watch("clipping", lambda: torch.nn.utils.clip_grad_norm_(variant.parameters(), 1.0))
        watch("optimizer", lambda: (optimizer.step(), optimizer.zero_grad()))
        if step >= WARM_UP:
            for name, times in watch.times.items():
                parts.add(name, sum(times))


def one_step(variant: Reconstruction, batch: Batch, precision: str, watch: Parts) -> None:
    """Forward and backward pass of a step, cut into parts where tensors pass from one to the next."""
    with autocast(precision):
        found = watch("network", lambda: variant.forward(batch["image"]))
    coefficients, at_network = leaves(found)
    confidence, inner = variant.confidence, Parts()
    assert confidence is not None
    forward = confidence.forward
    variant.forward = lambda image: coefficients  # type: ignore[method-assign]
    confidence.forward = lambda image: inner("net", lambda: forward(image))  # type: ignore[method-assign]
    try:
        with autocast(precision):
            face = inner("all", lambda: variant.reconstruct(batch))
    finally:
        del variant.forward, confidence.forward
    confident = sum(inner.times.get("net", []))
    geometry = "decoding" if face.image is None else "decoding and rendering"
    watch.add(geometry, inner.times["all"][0] - confident)
    loose, at_geometry, at_maps = cut_face(face)
    with autocast(precision):
        terms = watch("losses", lambda: variant.terms(batch, loose))
    loss = sum(variant.weights[name] * value for name, value in terms.items() if name in variant.weights)
    watch("losses", loss.backward)
    watch(geometry, lambda: pull(at_geometry))
    if at_maps:
        watch.add("confidence net", confident)
        watch("confidence net", lambda: pull(at_maps))
    watch("network", lambda: pull(at_network))


def cut_face(face: Reconstructed) -> tuple[Reconstructed, list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
    """A reconstruction cut from its graph, with the pairs of `leaves` of geometry and of confidence maps."""
    landmarks = face.landmarks.detach().requires_grad_()
    geometry = [(face.landmarks, landmarks)]
    loose = Reconstructed(face.coefficients, landmarks, face.rows, None, face.mask)
    if face.image is not None:
        loose.image = face.image.detach().requires_grad_()
        geometry.append((face.image, loose.image))
    maps: list[tuple[Tensor, Tensor]] = []
    if isinstance(face.confidence, ConfidenceMaps):
        loose.confidence, maps = leaves(face.confidence)
    return loose, geometry, maps


def decoding(repeats: int) -> Line:
    """Decode, project, and compare with landmarks, forward and backward: from their rows against the whole mesh."""
    bench, _ = opened("stage 1, landmarks", "float32", 1)
    model, batch = bench.face_model, bench.config["scale"]["batch_size"]
    pose = batch_of(model.mean, batch)
    identity, expression = (torch.zeros(batch, n) for n in (model.num_identity, model.num_expressions))
    for tensor in (identity, expression):
        tensor.requires_grad_()
    target = torch.zeros(batch, 68, 2)

    def loss(decode: Callable[[Tensor, Tensor], Tensor]) -> None:
        marks = decode(identity, expression)
        placed = project(marks, *(pose[name] for name in ("rotation", "scale", "translation")))[..., :2]
        landmark_loss(placed, target, mode="l1").backward()

    times = in_turn(
        lambda: loss(model.landmarks),
        lambda: loss(lambda *parameters: model.shape(*parameters)[:, model.landmarks68]),
        repeats=repeats,
    )
    what = "landmark term from the landmarks' rows, against the full mesh (decode, project, compare, both passes)"
    return Line(what, *times, "ms", "ratio >= 5")


def evaluation_milliseconds() -> float:
    """One evaluation of a network on all splits."""
    bench, stage = opened("stage 2", "float32", 1)
    network = Network(build_variant(bench, stage))
    return best(lambda: evaluate_run(network, bench), 1)


def ablation(steps: dict[Phase, dict[str, float]], evaluation: float) -> Line:
    """Minutes of the ablation with stage 1 of a seed shared and not, computed from the steps that were measured.

    Stage 2 of every row counts as that of sir, and the scans of sfm not at all.
    """
    config = compose_config("+experiment=sir")
    precision = "bf16" if chosen_precision(config["trainer"]).startswith("bf16") else "float32"
    first, second, share = (
        config["scale"]["stage1_steps"],
        config["scale"]["stage2_steps"],
        config["loss"]["pixel_from"],
    )
    stage1 = first * stage1_step(steps, precision, share)["step"]
    rest = second * steps["stage 2", precision]["step"] + evaluation
    shared, alone = SEEDS * stage1 + ROWS * SEEDS * rest, ROWS * SEEDS * (stage1 + rest)
    what = f"ablation, {ROWS} rows x {SEEDS} seeds in {precision}, stage 1 shared against not (computed from the steps)"
    return Line(what, shared / 60_000, alone / 60_000, "min", "ratio >= 2")


def stage1_step(steps: dict[Phase, dict[str, float]], precision: str, share: float) -> dict[str, float]:
    """The mean step of stage 1, of whose steps a share trains on landmarks alone."""
    early, late = steps["stage 1, landmarks", precision], steps["stage 1, pixels", precision]
    return {name: share * early[name] + (1 - share) * late[name] for name in early}


def step_lines(steps: dict[Phase, dict[str, float]]) -> list[Line]:
    """Steps against their encoders, and bf16 against float32."""
    share, lines, found = compose_config("+experiment=sir")["loss"]["pixel_from"], [], {}
    for precision in PRECISIONS:
        found[precision] = {
            "stage-1 step": stage1_step(steps, precision, share),
            "stage-2 step of sir": steps["stage 2", precision],
        }
        for name, took in found[precision].items():
            what = f"{name} in {precision}, against its encoders' forward + backward"
            lines.append(Line(what, took["step"], took["encoders"], "ms", "ratio <= 1.25"))
    for name in found["bf16"]:
        what = f"{name} in bf16, against float32 (the target is for a CPU with AMX)"
        lines.append(Line(what, found["bf16"][name]["step"], found["float32"][name]["step"], "ms", "ratio >= 2"))
    alone = (found[precision]["stage-2 step of sir"]["encoders"] for precision in ("bf16", "float32"))
    return [*lines, Line("encoders alone in bf16, against float32", *alone, "ms")]


def growth(repeats: int) -> dict[str, dict[int, float]]:
    """Milliseconds of parts, forward and backward in float32, at several sizes of what they grow with."""
    bench, stage = opened("stage 2", "float32", 1)
    variant = build_variant(bench, stage).train()
    size, batch = bench.config["scale"]["image_size"], bench.config["scale"]["batch_size"]
    rendered, modes = batch // bench.config["loss"]["pixel_every"], bench.face_model.num_identity

    def encoders(count: int, pixels: int) -> float:
        network: Encoders = variant.encoders
        image = torch.rand(count, 3, pixels, pixels)
        return best(lambda: total(network(image)).backward(), repeats)

    def rendering(side: int, count: int, pixels: int) -> float:
        points, triangles = grid_head(side, side)
        inputs, renderer = batch_of(points, count), Renderer(triangles, pixels)
        weight = torch.rand(count, 3, pixels, pixels)
        return best(lambda: (renderer(**inputs).image * weight).sum().backward(), repeats)

    def recognition(people: int) -> float:
        separation, center = Separation(people, modes, 16, 0.2), WeightedCenter(people, modes)
        parameters, person = torch.randn(batch, modes, requires_grad=True), torch.arange(batch) % people
        weight = torch.ones(batch)
        return best(
            lambda: (separation(parameters, person) + center(parameters, person, weight)).backward(), 3 * repeats
        )

    sides, batches, pixels = (32, 64, 128), (12, 24, 48, 96), (64, 96, 128)
    return {
        "encoders by batch": {n: encoders(n, size) for n in batches},
        "encoders by pixels": {s * s: encoders(batch // 4, s) for s in pixels},
        "rendering by batch": {n: rendering(64, n, size) for n in batches},
        "rendering by pixels": {s * s: rendering(64, rendered, s) for s in (32, *pixels)},
        "rendering by vertices": {s * s: rendering(s, rendered, size) for s in sides},
        "separation and center by people": {n: recognition(n) for n in (200, 2_000, 20_000)},
    }


def total(coefficients: Coefficients) -> Tensor:
    """A number that depends on all coefficients."""
    return torch.stack([value.square().sum() for value in vars(coefficients).values()]).sum()


def exponent(times: dict[int, float]) -> float:
    """Slope of a line through log time over log size."""
    return float(np.polyfit(np.log(list(times)), np.log(list(times.values())), 1)[0])


def parts_table(parts: dict[Phase, dict[str, float]]) -> str:
    """Markdown, a column for each phase and precision."""
    names = list(dict.fromkeys(name for found in parts.values() for name in found))
    rows = [["ms", *(f"{phase}, {precision}" for phase, precision in parts)], ["---"] + ["---:"] * len(parts)]
    rows += [[name, *(number(found.get(name)) for found in parts.values())] for name in names]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def growth_table(found: dict[str, dict[int, float]]) -> str:
    """Markdown, a row for each part."""
    rows = [["part, and what it grows with", "sizes", "ms", "exponent"], ["---", "---", "---", "---:"]]
    for name, times in found.items():
        sizes, took = (
            ", ".join(map(form, values)) for form, values in (("{:,}".format, times), (number, times.values()))
        )
        rows.append([name, sizes, took, f"{exponent(times):.2f}"])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="fits of each phase and precision")
    parser.add_argument("--steps", type=int, default=8, help="timed steps of a fit")
    parser.add_argument("--repeats", type=int, default=5, help="of what is timed alone")
    options = parser.parse_args()
    torch.set_num_threads(1)
    whole, timed = measured_steps(options.rounds, options.steps)
    steps = {key: found.medians() for key, found in whole.items()}
    lines = [*step_lines(steps), ablation(steps, evaluation_milliseconds()), decoding(20 * options.repeats)]
    keep("step", lines)
    parts, lines = {key: found.medians() for key, found in timed.items()}, []
    for key, found in parts.items():
        step = steps[key]["step"]
        found |= {"Lightning": step - sum(found.values())}
        if key[0] == "stage 2":  # the page of performance has all phases
            what = f"of a {key[0]} step in {key[1]}"
            lines += [Line(f"{name} {what}", took, step, "ms, share") for name, took in found.items()]
        found["whole step"] = step
    keep("parts", lines)
    sizes = growth(options.repeats)
    keep("growth", [Line(f"{name}, against linear", exponent(times), 1.0, "exponent") for name, times in sizes.items()])
    for mark, table in (("parts", parts_table(parts)), ("growth", growth_table(sizes))):
        fill(PAGE, mark, table)
        Console().print(table, highlight=False, markup=False)


if __name__ == "__main__":
    main()
