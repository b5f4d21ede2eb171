// What every kind of explorer shares. Python puts this text before that of the kind, as one module,
// so there is nothing to build and nothing to import: see base.py.

const SVG = "http://www.w3.org/2000/svg";
const inSvg = new Set(["svg", "g", "rect", "line", "path", "circle", "text", "title"]);

// Return an element; a child may be a text. Attributes that are undefined are left out.
function node(name, attributes = {}, ...children) {
  const made = inSvg.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Make `old` what `fresh` is, changing no more than differs: a new element costs a layout of the page.
function patch(old, fresh) {
  if (old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  patchChildren(old, [...fresh.childNodes]);
}

function patchChildren(old, fresh) {
  const before = [...old.childNodes];
  fresh.forEach((child, i) => (before[i] ? patch(before[i], child) : old.append(child)));
  before.slice(fresh.length).forEach((child) => child.remove());
}

const signed = (x, digits = 2) => (x < 0 ? "−" : "+") + Math.abs(x).toFixed(digits);

// Return the first of 1, 2, 5 times a power of ten that is not below x.
function nice(x) {
  const power = 10 ** Math.floor(Math.log10(x));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= x * (1 - 1e-9));
}

// Return round numbers from low to high, about `count` of them.
function ticks(low, high, count) {
  const step = nice((high - low) / count);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(9)));
}

let named = 0; // each label has a name of its own in the page

// A row of buttons. `options(state)` gives [value, text] pairs; the pressed one is state[key].
function choice(key, label, options) {
  const id = `kdlab-${Date.now().toString(36)}-${named++}`;
  const row = node("div", { class: "buttons" });
  const box = node(
    "div", { class: "control", role: "group", "aria-labelledby": id, "data-key": key },
    node("span", { class: "label", id }, label), row,
  );
  let known = "";
  return {
    box,
    connect(choose) {
      row.addEventListener("click", (event) => {
        const place = [...row.children].indexOf(event.target.closest("button"));
        if (place >= 0) choose(key, JSON.parse(known)[place][0], true);
      });
    },
    refresh(state) {
      const now = options(state);
      if (JSON.stringify(now) !== known) {
        known = JSON.stringify(now);
        row.replaceChildren(...now.map(([, text]) => node("button", { type: "button" }, text)));
        box.hidden = now.length < 2;
      }
      now.forEach(([value], i) => row.children[i].setAttribute("aria-pressed", value === state[key]));
    },
  };
}

// A slider over `values`. It says its value in `words(value)`, never its place among them, and shows
// it in `shown(value)`.
function slider(key, label, values, words, shown = String) {
  const input = node("input", {
    type: "range", min: 0, max: values.length - 1, step: 1, "aria-label": label, "data-key": key,
  });
  const said = node("span", { class: "value", "aria-hidden": "true" });
  const box = node("label", { class: "control" }, node("span", { class: "label" }, label), input, said);
  return {
    box,
    connect(choose) {
      input.addEventListener("input", () => choose(key, values[input.value], false));
      input.addEventListener("change", () => choose(key, values[input.value], true));
    },
    refresh(state) {
      const far = values.map((value) => Math.abs(value - state[key]));
      input.value = far.indexOf(Math.min(...far));
      input.setAttribute("aria-valuetext", words(state[key]));
      said.textContent = shown(state[key]);
    },
  };
}

// Connect a model with a picture. A kind gives:
//   controls(data)           the controls, from top to bottom
//   settle(data, state)      the state, with a valid value in place of each that is not
//   draw(data, state, width) the elements of the picture
//   tell(data, state)        in a sentence or two, what the picture shows
//   numbers(data, state)     the rows of the table of numbers, the first is its head; may be missing
//   role                     "img", or "group" where a part of the picture can be reached
//   listen(picture, redraw)  where there is more to it than controls
function explore({ model, el }, kind) {
  const picture = node("div", { class: "picture", role: kind.role });
  const told = node("p", { class: "told", role: "status" });
  const table = node("table");
  const numbers = node("details", {}, node("summary", {}, "Numbers"), node("div", { class: "wide" }, table));
  const fold = model.get("fold");
  const root = fold ? node("details", {}, node("summary", {}, fold)) : node("div");
  root.classList.add("kdlab-explorer");
  root.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab takes keys before we do
  root.addEventListener("keydown", (event) => event.stopPropagation());
  const bar = node("div", { class: "controls" });
  numbers.hidden = !kind.numbers;
  root.append(bar, picture, told, numbers);
  el.replaceChildren(root);

  const now = () => kind.settle(model.get("data"), model.get("setting"));
  let controls = [];
  let waiting = 0;
  let width = 0;

  function choose(key, value, settled) {
    model.set("setting", kind.settle(model.get("data"), { ...now(), [key]: value }));
    if (settled) model.save_changes(); // not for every step of a slider
  }
  function speak() {
    told.textContent = picture.getAttribute("aria-label");
  }
  function fill() {
    if (!numbers.open || !kind.numbers) return; // a page may open hidden folds, too
    const rows = kind.numbers(model.get("data"), now());
    patchChildren(table, rows.map((row, i) => node("tr", {}, ...row.map((cell, j) =>
      node(i && j ? "td" : "th", { scope: i ? (j ? undefined : "row") : "col" }, String(cell))))));
  }
  function draw() {
    const state = now();
    controls.forEach((control) => control.refresh(state));
    picture.setAttribute("aria-label", kind.tell(model.get("data"), state));
    if (width) patchChildren(picture, kind.draw(model.get("data"), state, width));
    fill();
    clearTimeout(waiting);
    waiting = setTimeout(speak, 300); // a reader aloud is told where the slider rests
  }
  function build() {
    controls = kind.controls(model.get("data"));
    controls.forEach((control) => control.connect(choose));
    bar.replaceChildren(...controls.map((control) => control.box));
    draw();
  }
  const watcher = new ResizeObserver(() => {
    if (picture.clientWidth === width) return;
    width = picture.clientWidth;
    draw();
  });
  watcher.observe(picture);
  kind.listen?.(picture, draw);
  numbers.addEventListener("toggle", fill);
  model.on("change:setting", draw);
  model.on("change:data", build);
  build();
  speak();
  return () => {
    watcher.disconnect();
    clearTimeout(waiting);
    model.off("change:setting", draw);
    model.off("change:data", build);
  };
}
