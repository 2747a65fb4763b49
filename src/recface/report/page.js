"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const find = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

function make(name, attributes = {}, ...children) {
  const svg = ["svg", "path", "line", "text", "title"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Tables: missing values stay last in either direction.
function sort(head) {
  const table = head.closest("table"), body = table.tBodies[0], place = head.cellIndex;
  const up = head.getAttribute("aria-sort") !== "ascending", sign = up ? 1 : -1;
  const keys = new Map([...body.rows].map((row) => {
    const cell = row.cells[place], text = cell.textContent.trim();
    const value = cell.dataset.value ?? (text !== "" && isFinite(text) ? text : undefined);
    return [row, { text, value: value === undefined ? NaN : Number(value), missing: "×–".includes(text) }];
  }));
  body.append(...[...body.rows].sort((a, b) => {
    const [x, y] = [keys.get(a), keys.get(b)];
    if (x.missing !== y.missing) return x.missing - y.missing;
    const apart = x.value - y.value;
    return sign * (Number.isNaN(apart) ? x.text.localeCompare(y.text, "en", { numeric: true }) : apart);
  }));
  for (const other of all("thead th", table)) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
}

// Details of a cell or a run.
function grid(caption, heads, rows) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map(([first, ...rest]) =>
    make("tr", {}, make("th", { scope: "row" }, first), ...rest.map((text) => make("td", {}, text))));
  const table = make("table", { class: "numbers" },
    make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...body));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table);
}

function pairs(lines) {
  return make("dl", { class: "pairs" }, ...lines.flatMap(([key, text]) => [make("dt", {}, key), make("dd", {}, text)]));
}

function changes(found) {
  if (!found.changes) return [];
  const list = found.changes.length ? found.changes : ["nothing differs"];
  return [make("h3", {}, `Configuration against ${found.parent}`), make("ul", {}, ...list.map((line) => make("li", {}, line)))];
}

function open(found) {
  find("#detail-head").textContent = found.title;
  const parts = found.where ? [make("p", {}, found.where)] : [];
  parts.push(pairs(found.lines));
  if (found.seeds) parts.push(grid("Values by seed", ["seed", "value", found.parent || "parent", "difference"], found.seeds));
  parts.push(...changes(found));
  for (const number of found.runs ?? []) {
    const run = data.runs[number];
    parts.push(make("details", {}, make("summary", {}, `Run ${run.title}`), pairs(run.lines)));
  }
  find("#detail-body").replaceChildren(...parts);
  find("#detail").showModal();
  find("#detail").scrollTop = 0;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (event.target.id === "detail") event.target.close(); // its backdrop
  if (!button) return;
  if (button.dataset.cell) open(data.cells[button.dataset.cell]);
  else if (button.dataset.run) open(data.runs[button.dataset.run]);
  else if (button.closest("th[aria-sort]")) sort(button.closest("th"));
});

// Curves: a panel for each name, a line for each chosen run.
const WIDTH = 320, HEIGHT = 190, LEFT = 46, BOTTOM = 24, TOP = 8, RIGHT = 18;

function ticks(low, high, count) {
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(value);
  return found;
}

function short(value) {
  const size = Math.abs(value);
  return size && (size < 1e-3 || size >= 1e5) ? value.toExponential(0) : String(+value.toPrecision(3));
}

function panel(name, chosen) {
  const lines = chosen.map((run, index) => ({ run, index, curve: run.curves[name] })).filter((line) => line.curve);
  const xs = lines.flatMap((line) => line.curve.x), ys = lines.flatMap((line) => line.curve.y);
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const across = (x) => LEFT + (x1 > x0 ? (x - x0) / (x1 - x0) : 0.5) * (WIDTH - LEFT - RIGHT);
  const down = (y) => HEIGHT - BOTTOM - (y1 > y0 ? (y - y0) / (y1 - y0) : 0.5) * (HEIGHT - TOP - BOTTOM);
  const told = lines.map(({ run, curve }) => `${run.name} ends at ${curve.y.at(-1)}`).join("; ");
  const svg = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${name} against step: ${told}` });
  for (const y of ticks(y0, y1, 4)) {
    svg.append(make("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: down(y), y2: down(y) }));
    svg.append(make("text", { x: LEFT - 5, y: down(y) + 4, "text-anchor": "end" }, short(y)));
  }
  for (const x of ticks(x0, x1, 4)) {
    svg.append(make("text", { x: across(x), y: HEIGHT - 7, "text-anchor": "middle" }, String(+x.toPrecision(6))));
  }
  for (const { run, index, curve } of lines) {
    const points = curve.x.map((x, i) => `${across(x).toFixed(1)} ${down(curve.y[i]).toFixed(1)}`);
    svg.append(make("path", { ...style(index), d: `M${points.length > 1 ? points.join("L") : `${points[0]}h3`}` },
      make("title", {}, run.name)));
  }
  return make("figure", {}, make("figcaption", {}, name), svg);
}

function style(index) {
  const dash = ["", "6 3", "2 3", "9 3 2 3"][Math.floor(index / 8) % 4];
  return { class: `line c${index % 8}`, "stroke-dasharray": dash || "none" };
}

function draw() {
  const chosen = all("#picker input:checked").map((box) => data.curves[box.value]);
  const names = [...new Set(chosen.flatMap((run) => Object.keys(run.curves)))];
  const having = (name) => chosen.filter((run) => run.curves[name]).length; // what most runs share comes first
  names.sort((a, b) => having(b) - having(a) || a.localeCompare(b));
  find("#panels").replaceChildren(...names.map((name) => panel(name, chosen)));
  find("#legend").replaceChildren(...chosen.map((run, index) => make("li", {},
    make("svg", { width: 30, height: 8, "aria-hidden": "true" }, make("path", { ...style(index), d: "M0 4H30" })), run.name)));
}

if (find("#curves")) {
  const drawn = new Set(data.drawn), boxes = data.curves.map((run, number) => {
    const box = make("input", { type: "checkbox", value: number });
    box.checked = drawn.has(number);
    return make("label", {}, box, ` ${run.name}`);
  });
  find("#picker").append(...boxes);
  find("#picker").addEventListener("change", draw);
  find("#filter").addEventListener("input", (event) => {
    for (const label of boxes) label.hidden = !label.textContent.includes(event.target.value);
  });
  find("#clear").addEventListener("click", () => {
    for (const box of all("#picker input")) box.checked = false;
    draw();
  });
  draw();
}

// Faces: which kind of picture is shown.
for (const radio of all(".kinds input")) {
  radio.addEventListener("change", () => {
    const table = find("table", radio.closest("fieldset").nextElementSibling);
    table.dataset.show = radio.value;
    find(".showing", table).textContent = radio.parentElement.textContent.trim();
  });
}

// Meshes that turn: three.js is read only when the viewer comes into sight.
const COLORS = [[0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85], [227, 89, 51], [249, 142, 9], [249, 201, 50], [252, 255, 164]];

function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
}

function positions(text) {
  return Float32Array.from(new Int16Array(bytes(text)), (value) => value * data.meshes.step);
}

function distances(first, second) {
  const found = new Float32Array(first.length / 3);
  for (let i = 0; i < found.length; i++) {
    found[i] = Math.hypot(first[3 * i] - second[3 * i], first[3 * i + 1] - second[3 * i + 1], first[3 * i + 2] - second[3 * i + 2]);
  }
  return found;
}

function color(distance) {
  const place = Math.min(distance / data.meshes.full, 1) * (COLORS.length - 1), i = Math.min(Math.floor(place), COLORS.length - 2);
  return COLORS[i].map((low, channel) => (low + (place - i) * (COLORS[i + 1][channel] - low)) / 255);
}

async function load() {
  const url = (text) => URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const core = url(find("#three-core").textContent);
  return import(url(find("#three-module").textContent.replaceAll("./three.core.min.js", core)));
}

function chosenMeshes() {
  const person = data.meshes.people[find("#person").value], method = find("#method").value;
  return { person, method, photo: Number(find("#photo").value) };
}

function tell(mean) {
  const { person, method, photo } = chosenMeshes();
  find("#told").textContent =
    `${person.name}, ${data.meshes.photos[photo]}, ${method}: ${mean.toFixed(2)} mm from the true shape on the average of the face.`;
}

function still() {
  const { person, method, photo } = chosenMeshes();
  const alt = (text) => find(`.faces img[alt^="${CSS.escape(text)}"]`)?.cloneNode();
  const pictures = [alt(`${person.name}: true`), alt(`${person.name}, ${data.meshes.photos[photo]}, ${method}: distance to the true`)];
  find("#stage").replaceChildren(make("div", { class: "still" }, ...pictures.filter(Boolean)));
  find("#told").textContent = "This browser has no WebGL: still pictures.";
}

async function view() {
  const stage = find("#stage"), size = () => [stage.clientWidth, stage.clientHeight];
  let three, renderer;
  try {
    if (!document.createElement("canvas").getContext("webgl2")) throw new Error("no WebGL");
    three = await load();
    renderer = new three.WebGLRenderer({ antialias: true, alpha: true });
  } catch {
    find("#viewer").addEventListener("change", still);
    return still();
  }
  stage.replaceChildren(renderer.domElement);
  renderer.domElement.setAttribute("aria-hidden", "true");
  renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
  const scene = new three.Scene(), camera = new three.PerspectiveCamera(28, 1, 10, 5000), index = new Uint16Array(bytes(data.meshes.triangles));
  const region = new Uint8Array(bytes(data.meshes.region)), light = new three.DirectionalLight(0xffffff, 2.2);
  light.position.set(0.4, 0.7, 1);
  scene.add(new three.HemisphereLight(0xffffff, 0x777777, 1.3), light);
  const heads = [-1, 1].map((side) => {
    const geometry = new three.BufferGeometry();
    geometry.setIndex(new three.BufferAttribute(index, 1));
    const mesh = new three.Mesh(geometry, new three.MeshStandardMaterial({ vertexColors: true, roughness: 0.75 }));
    mesh.position.x = side * 105;
    scene.add(mesh);
    return mesh;
  });
  let turn = 0.35, tilt = 0, far = 1;
  function render() {
    const [width, height] = size();
    renderer.setSize(width, height);
    camera.aspect = width / height;
    camera.position.z = far * Math.max(620, 1000 / camera.aspect);
    camera.updateProjectionMatrix();
    for (const head of heads) head.rotation.set(tilt, turn, 0);
    renderer.render(scene, camera);
    stage.dataset.turn = turn.toFixed(2);
  }
  function show() {
    const { person, method, photo } = chosenMeshes();
    const shapes = [positions(person.meshes.truth), positions(person.meshes[method][photo])];
    const apart = distances(...shapes), middle = [0, 1, 2].map((axis) => {
      const along = shapes[0].filter((_, i) => i % 3 === axis);
      return (Math.min(...along) + Math.max(...along)) / 2;
    });
    let sum = 0, count = 0;
    heads.forEach((head, side) => {
      const place = shapes[side].map((value, i) => value - middle[i % 3]), colors = new Float32Array(place.length);
      for (let i = 0; i < apart.length; i++) {
        if (side && region[i]) { sum += apart[i]; count += 1; }
        const [r, g, b] = side && region[i] ? color(apart[i]) : [0.68, 0.68, 0.68];
        const linear = new three.Color().setRGB(r, g, b, three.SRGBColorSpace);
        colors.set([linear.r, linear.g, linear.b], 3 * i);
      }
      head.geometry.setAttribute("position", new three.BufferAttribute(place, 3));
      head.geometry.setAttribute("color", new three.BufferAttribute(colors, 3));
      head.geometry.computeVertexNormals();
    });
    tell(sum / count);
    render();
  }
  let held = null;
  stage.addEventListener("pointerdown", (event) => { held = [event.clientX, event.clientY]; stage.setPointerCapture(event.pointerId); });
  stage.addEventListener("pointermove", (event) => {
    if (!held) return;
    turn += (event.clientX - held[0]) / 120;
    tilt += (event.clientY - held[1]) / 120;
    held = [event.clientX, event.clientY];
    render();
  });
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => { held = null; });
  stage.addEventListener("keydown", (event) => {
    const moves = {
      ArrowLeft: () => { turn -= 0.15; }, ArrowRight: () => { turn += 0.15; }, ArrowUp: () => { tilt -= 0.15; }, ArrowDown: () => { tilt += 0.15; },
      "+": () => { far /= 1.15; }, "-": () => { far *= 1.15; }, 0: () => { [turn, tilt, far] = [0.35, 0, 1]; },
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
    render();
  });
  find("#viewer").addEventListener("change", show);
  addEventListener("resize", render);
  show();
}

if (find("#viewer")) {
  const options = (id, names) => find(id).append(...names.map(([value, name]) => make("option", { value }, name)));
  options("#person", data.meshes.people.map((person, number) => [number, person.name]));
  options("#photo", data.meshes.photos.map((name, number) => [number, name]));
  options("#method", Object.keys(data.meshes.people[0].meshes).filter((name) => name !== "truth").map((name) => [name, name]));
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    view();
  }).observe(find("#stage"));
}

// Printing shows every table; afterwards what was closed is closed again.
let closed = [];
addEventListener("beforeprint", () => { closed = all("main details:not([open])"); for (const part of closed) part.open = true; });
addEventListener("afterprint", () => { for (const part of closed) part.open = false; });

if (data.reload) {
  setInterval(() => {
    if (find("#reload").checked && !find("#detail").open && !document.hidden) location.reload();
  }, 1000 * data.reload);
}
