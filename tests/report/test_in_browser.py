"""The page as a reader meets it, in headless Chromium: with a mouse, by keyboard, printed, dark, and without WebGL."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import orthogonal_procrustes

from recface.data.benchmark.scene import named_conditions
from recface.report.faces import choose_people

AXE = Path(__file__).parent / "vendor" / "axe.min.js"


def values_of(page, column):
    cells = page.locator("#tables .numbers").first.locator(f"tbody tr td:nth-child({column + 1})").all_inner_texts()
    return [cell.split(" ±")[0] for cell in cells]


def test_a_heading_sorts_both_ways_and_missing_values_stay_last(page, reported):
    (table,), _ = reported
    means = [cell.mean for (_, metric), cell in table.blocks[0].cells.items() if metric == "shape_error_mm"]
    head = page.locator("#tables thead th").nth(2)
    for order, direction in ((sorted(means), "ascending"), (sorted(means)[::-1], "descending")):
        head.locator("button").click()
        found = values_of(page, 2)
        assert found[:2] == [f"{mean:.3f}" for mean in order] and set(found[2:]) == {"×"}
        assert head.get_attribute("aria-sort") == direction
    assert page.locator("#tables .numbers").first.locator("th[aria-sort=none]").count() > 5


def test_a_cell_opens_by_keyboard_and_gives_focus_back(page, reported):
    (table,), _ = reported
    cell, parent = (table.blocks[0].cells[row, "shape_error_mm"] for row in ("sir", "baseline"))
    button = page.locator("button[data-cell='ablation/embedded/sir/shape_error_mm']")
    button.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    text = dialog.inner_text()
    for seed, value in cell.per_seed.items():
        assert f"{value:.4f}" in text and f"{value - parent.per_seed[seed]:+.4f}" in text
    assert "loss.noise: 1.2 → 0.6" in text and "95% interval" in text and "Run sir seed 1 (h)" in text
    page.keyboard.press("Escape")
    assert dialog.count() == 0
    assert page.evaluate("document.activeElement.dataset.cell") == "ablation/embedded/sir/shape_error_mm"


def test_the_first_tab_stop_skips_to_the_content(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    page.wait_for_url("**#main")


def test_chosen_runs_are_drawn(page):
    assert page.locator("#panels figure figcaption").all_inner_texts() == ["loss/pixel"]
    path = page.locator("#panels path.line")
    heights = [float(pair.split()[1]) for pair in path.get_attribute("d")[1:].split("L")]
    # 1/50, 1/100, 1/150 from the top of the panel to its bottom.
    assert (heights[1] - heights[0]) / (heights[2] - heights[0]) == pytest.approx(0.75, abs=0.01)
    page.get_by_text("Draw none").click()
    assert path.count() == 0
    page.get_by_label("Name contains").fill("no such run")
    assert page.locator("#picker label:visible").count() == 0


def test_maps_replace_shapes(page, drawn):
    columns = len(drawn[1].columns)
    assert page.locator(".faces .shape:visible").count() == columns
    page.get_by_label("distance to the true shape", exact=True).check()
    assert page.locator(".faces .shape:visible").count() == 0
    assert page.locator(".faces .truth:visible").count() == columns
    assert page.locator(".faces .showing").inner_text() == "distance to the true shape"


def test_meshes_turn_and_tell_their_distance(page, drawn, benchmark, face_model):
    entry, comparison = drawn
    page.locator("#stage").scroll_into_view_if_needed()
    page.locator("#stage canvas").wait_for()
    page.locator("#photo").select_option(label=comparison.columns[1])
    told = page.locator("#told").inner_text()
    before = page.locator("#stage").get_attribute("data-turn")
    page.locator("#stage").focus()
    page.keyboard.press("ArrowRight")
    assert float(page.locator("#stage").get_attribute("data-turn")) == pytest.approx(float(before) + 0.15)
    # Independently: SciPy's Procrustes rotation of the picked photo's shape.
    labels = benchmark.labels("test")
    named = named_conditions(labels)
    photo = choose_people({"plain": named.pop("plain")} | named, labels["identity"], 1)[1][0][1]
    own = entry.arrays("test_parameters")["test_parameters"][photo].astype(np.float32)
    mask = face_model.face_mask
    shape = face_model.shape(torch.from_numpy(np.append(own, 0).astype(np.float32))[None])[0, mask].double().numpy()
    true = face_model.shape(torch.from_numpy(labels["identity_parameters"][[photo]]).float())[0, mask].double().numpy()
    shape, true = shape - shape.mean(0), true - true.mean(0)
    turn, scale = orthogonal_procrustes(shape, true)
    error = np.linalg.norm(shape @ turn * scale / np.square(shape).sum() - true, axis=1).mean()
    assert float(re.search(r"([\d.]+) mm", told)[1]) == pytest.approx(error, abs=0.02)


def test_without_webgl_there_are_still_pictures(browser, page_file):
    page = browser.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(page_file.as_uri())
    page.locator("#stage").scroll_into_view_if_needed()
    page.locator("#stage .still").wait_for()
    assert page.locator("#stage img").count() == 2
    assert "no WebGL" in page.locator("#told").inner_text()
    page.close()


def test_printing_opens_every_table_and_hides_what_only_a_screen_can_do(page):
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("main details:not([open])").count() == 0
    assert page.locator("#runs table:visible").count() == 1
    assert page.locator("nav:visible, .screen:visible").count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("main details:not([open])").count() > 0
    page.emulate_media(media="screen")


@pytest.mark.parametrize("width", [390, 820, 1440])
def test_nothing_is_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    page.evaluate(AXE.read_text())
    # A hidden dialog is not looked at: open it for the second look.
    for opened in (False, True):
        if opened:
            page.locator("button[data-cell]").first.click()
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((result) => result.violations)")
        assert [
            (item["id"], item["nodes"][0]["html"]) for item in found if item["impact"] in ("serious", "critical")
        ] == []
