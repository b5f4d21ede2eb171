// Draws the state that Python sends, and sends what is pressed. No number is made here.

const COLOURS = ["#767676", "#1C7FC0", "#D55E00", "#008C66", "#9B5FC0", "#8B6B3D"]; // 3:1 on both themes
const SHAPES = [
  "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0 -10 0",
  "M-4.5-4.5h9v9h-9z",
  "M0-6L6 5H-6z",
  "M0-6L6 0L0 6L-6 0z",
  "M-6-5H6L0 6z",
];
const FREE = ["pointerup", "pointercancel", "keyup"]; // what ends a press
const PATIENCE = 4000; // ms without an answer of the kernel
const LATER = "The kernel has not answered yet: it is busy with another cell, or it has ended. " +
  "In the first case it will do this afterwards; in the second, run this cell again.";

// --- small tools ---------------------------------------------------------------------------------

function h(tag, props = {}, ...kids) {
  const svg = ["svg", "path", "line", "text", "title", "g"].includes(tag);
  const el = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith("on")) el.addEventListener(name.slice(2), value);
    else if (name === "value") el.value = value;
    else if (value !== false && value != null) el.setAttribute(name, value === true ? "" : value);
  }
  el.append(...kids.flat(Infinity).filter((kid) => kid != null && kid !== false));
  if (tag === "select" && "value" in props) el.value = props.value; // its options are there now
  return el;
}

const button = (text, act, props = {}) =>
  h("button", { type: "button", "data-key": text, onclick: act, ...props }, text);

const look = (who) => ({ colour: COLOURS[(who - 1) % 6], shape: SHAPES[(who - 1) % 5] });

function mark(who, x, y, props = {}) {
  const { colour, shape } = look(who);
  return h("svg", { x, y, overflow: "visible" }, h("path", { d: shape, fill: colour, ...props }));
}

function badge(who) {
  return h("svg", { class: "badge", viewBox: "-8 -8 16 16", "aria-hidden": "true" }, mark(who, 0, 0));
}

function duration(seconds) {
  if (seconds < 5) return "a few seconds";
  return seconds < 100 ? `about ${5 * Math.round(seconds / 5)} s`
    : `about ${Math.round(seconds / 60)} minutes`;
}

function scale(values, pad = 0.08) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max((high - low) * pad, 0.25);
  [low, high] = [low - room, high + room];
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 1e4, 2e4]
    .find((s) => (high - low) / s <= 6) || 5e4;
  const ticks = [];
  for (let t = Math.ceil(low / step) * step; t <= high; t += step) ticks.push(+t.toFixed(1));
  return { at: (v) => (v - low) / (high - low), ticks };
}

// --- the lab -------------------------------------------------------------------------------------

class Lab {
  constructor(model, root) {
    Object.assign(this, { model, root, view: "difference", pair: "", filter: "", sure: "" });
    this.given = { text: "", what: "" };
    this.regions = {};
    this.frame();
    this.changed = () => this.answered();
    this.heard = (message) => this.hear(message);
    model.on("change:state", this.changed);
    model.on("msg:custom", this.heard);
    this.clock = setInterval(() => this.tick(), 1000);
    this.answered();
  }

  end() {
    clearInterval(this.clock);
    clearTimeout(this.waiting);
    this.model.off("change:state", this.changed);
    this.model.off("msg:custom", this.heard);
    for (const kind of FREE) document.removeEventListener(kind, this.free, true);
  }

  get state() { return this.model.get("state"); }

  get offer() { return this.model.get("offer"); }

  ask(message, text = "") {
    this.say(text);
    this.pending = text;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.say(LATER, true), PATIENCE);
    this.model.send(message);
  }

  say(text, bad = false) {
    this.status.textContent = text;
    this.status.classList.toggle("bad", bad);
  }

  answered() {
    clearTimeout(this.waiting);
    this.since = Date.now();
    const { said, training } = this.state, ended = { done: "All runs have ended.",
      stopped: "Stopped. What has finished is kept; Train goes on from there." }[training.state];
    this.forget();
    if (ended && this.before && this.before !== training.state) this.say(ended);
    else if (said.n !== this.last && (said.text || this.waits())) {
      this.say(said.field ? "" : said.text, said.bad);
    }
    Object.assign(this, { last: said.n, before: training.state });
    this.draw();
  }

  // Whether what is said is only that an answer is awaited.
  waits() { return [this.pending, LATER].includes(this.status.textContent); }

  // Images and costs are of certain arms; costs are of certain runs, too.
  forget() {
    const { rows } = this.state, known = JSON.stringify(rows.map((r) => [r.id, r.plain, r.stale]));
    const counted = known + rows.map((row) => row.dots.length);
    if (this.known !== known) this.images = this.costs = null;
    if (this.counted !== counted && this.view === "costs") this.model.send({ do: "costs" });
    Object.assign(this, { known, counted });
  }

  hear(message) {
    clearTimeout(this.waiting);
    if (message.what === "csv") this.save(message.text);
    else if (message.what === "images" || message.what === "costs") this[message.what] = message;
    else this.given = message;
    this.draw();
    const field = this.root.querySelector(".given");
    if (!["python", "settings"].includes(message.what) || !field) return;
    field.select();
    const copied = navigator.clipboard?.writeText(message.text) ?? Promise.reject(); // plain http
    copied.then(
      () => this.say("Copied."), () => this.say("The text is selected: press Ctrl and C to copy it."));
  }

  save(text) {
    const link = h("a", { download: "lab_book.csv" });
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.click();
    URL.revokeObjectURL(link.href);
  }

  tick() {
    const left = this.root.querySelector(".left");
    if (left && this.state.training.left) left.textContent = this.left();
  }

  left() {
    const { left } = this.state.training;
    return `${duration(Math.max(1, left - (Date.now() - this.since) / 1000))} left`;
  }

  // The frame stays; a region is drawn anew when what it shows has changed, and keeps the focus.
  frame() {
    const part = (name, props = {}) =>
      (this.regions[name] = { el: h("div", { class: name, ...props }), shown: null }).el;
    const fold = (name, title, open) =>
      h("details", { open, class: "fold" }, h("summary", { "data-key": title }, title), part(name));
    this.status = h("p", { role: "status", class: "status" });
    this.form = fold("form", "Add an arm", false);
    this.root.replaceChildren(
      part("top"), part("arms"), part("bar"), this.status, this.form, part("results"),
      fold("book", "Lab book", false), fold("hand", "Hand out and take home", false));
    for (const kind of ["keydown", "keyup", "keypress"]) {
      this.root.addEventListener(kind, (event) => event.stopPropagation()); // b would add a cell
    }
    // A press ends on the button where it began: none may be replaced in between.
    const hold = ({ type, key, target }) => {
      if (type === "pointerdown" || key === " ") this.pressed = target.closest("button");
    };
    for (const kind of ["pointerdown", "keydown"]) this.root.addEventListener(kind, hold);
    const redraw = () => { this.pressed = null; this.draw(); };
    this.free = () => this.pressed && setTimeout(redraw); // after its click
    for (const kind of FREE) document.addEventListener(kind, this.free, true);
  }

  region(name, slice, make) {
    const part = this.regions[name], now = JSON.stringify(slice);
    if (part.shown === now || (this.pressed && part.el.contains(this.pressed))) return;
    part.shown = now;
    const old = document.activeElement, inside = part.el.contains(old);
    const key = inside ? old.dataset.key : null, typed = inside && old.was !== old.value;
    const kept = inside ? [old.value, old.selectionStart] : [];
    part.el.replaceChildren(...[make()].flat(Infinity).filter(Boolean));
    for (const el of part.el.querySelectorAll("input, textarea")) el.was = el.value;
    const again = key && [...part.el.querySelectorAll("[data-key]")].find((e) => e.dataset.key === key);
    if (!again) return;
    again.focus({ preventScroll: true });
    if (typed && "value" in again && again.tagName !== "SELECT") again.value = kept[0];
  }

  draw() {
    const s = this.state, { training, rows } = s, busy = ["running", "stopping"].includes(training.state);
    this.region("top", [s.preset, this.offer.presets, s.notice, training.notice], () => this.top(s));
    this.region("arms", [rows, s.replicates, busy], () => this.arms(rows, s.replicates, busy));
    this.region("bar", [s.plan, training, s.replicates, s.said.n], () => this.bar(s, busy));
    this.region("form", [s.draft, this.offer, s.said], () => this.fields(s.draft));
    this.form.querySelector("summary").textContent =
      s.draft.editing ? `Change arm ${s.draft.editing}` : "Add an arm";
    const shown = [rows, s.pairs, this.view, this.pair, this.images, this.costs];
    this.region("results", shown, () => this.results(s));
    this.region("book", [s.book, s.home, this.filter, this.sure], () => this.book(s));
    this.region("hand", [this.given], () => this.hand());
  }

  top(s) {
    const choose = (event) =>
      this.ask({ do: "preset", name: event.target.value }, "The arms are replaced …");
    const names = this.offer.presets.map((name) => h("option", {}, name));
    return [
      h("div", { class: "line" }, h("strong", {}, "The lab"),
        names.length > 1 && h("label", {}, "Begin with ",
          h("select", { "data-key": "preset", value: s.preset.name, onchange: choose }, names))),
      s.preset.why && h("p", {}, s.preset.why),
      ...[s.notice, s.training.notice].filter(Boolean)
        .map((text) => h("p", { class: "bad", role: "alert" }, text)),
    ];
  }

  // --- arms, with their dots -----------------------------------------------------------------

  arms(rows, replicates, busy) {
    const values = rows.flatMap((row) =>
      [...row.dots.map((dot) => dot[1]), row.low, row.high].filter((v) => v != null));
    const axis = values.length ? scale(values.map((v) => Math.min(100, Math.max(0, v)))) : null;
    return [
      h("ol", { "aria-label": "Arms" }, rows.map((row) => this.arm(row, replicates, axis, busy))),
      axis && h("div", { class: "axis" }, h("small", {},
        "A mark is a replicate, a bar the 95 % interval of the mean, Student's t."), this.axis(axis)),
    ];
  }

  arm(row, replicates, axis, busy) {
    const left = replicates - row.dots.length;
    let told = row.dots.length ? `${row.text}${left ? `, ${left} missing` : ""}` : "not trained yet";
    if (row.fault && !row.dots.length) told = "cannot be trained as it is";
    if (row.stale) told = "changed since it was trained: Train makes it anew";
    const draft = (editing) => {
      this.form.open = true;
      this.ask({ do: "draft", row: row.plain, editing }, editing
        ? `Change arm ${row.id} in the form below.` : `The form below holds a copy of arm ${row.id}.`);
      this.form.querySelector("summary").focus();
    };
    const act = (text, go) =>
      button(text, go, { "aria-label": `${text} arm ${row.id}`, "data-key": `${text} ${row.id}` });
    return h("li", {},
      h("div", { class: "what" },
        h("div", {}, badge(row.id), h("strong", {}, ` ${row.id} `), row.words),
        row.fault && h("p", { class: "bad" }, row.fault),
        row.doubt && h("p", { class: "bad" }, `Look at this first: ${row.doubt}`),
        h("div", { class: "line" }, h("span", { class: "told" }, told),
          h("span", { class: "small" }, act("Change", () => draft(row.id)),
            act("Copy", () => draft(null)),
            act("Remove", () => this.ask({ do: "remove", who: row.id }))))),
      axis ? this.strip(row, axis) : h("div", { class: "strip" }));
  }

  strip(row, axis) {
    const x = (v) => `${(2 + 96 * axis.at(v)).toFixed(2)}%`, { colour } = look(row.id);
    const spoken = row.dots.map(([seed, v]) => `replicate ${seed}: ${v.toFixed(1)} %`).join(", ");
    const thick = { y1: 36, y2: 36, stroke: colour, "stroke-width": 4 };
    return h("svg", { class: "strip", role: "img", "aria-label": `Arm ${row.id}: ${row.text}; ${spoken}` },
      axis.ticks.map((t) => h("line", { class: "grid", x1: x(t), x2: x(t), y1: 0, y2: "100%" })),
      row.low != null && h("line", { x1: x(row.low), x2: x(row.high), ...thick }),
      row.mean != null && h("line", { class: "ink", x1: x(row.mean), x2: x(row.mean), y1: 29, y2: 43,
        "stroke-width": 2.5 }),
      row.dots.map(([seed, v], i) => {
        const dot = mark(row.id, x(v), 8 + 6 * (i % 3), { class: "dot" }); // equal ones stay apart
        dot.firstChild.append(h("title", {}, `replicate ${seed}: ${v.toFixed(1)} %`));
        return dot;
      }));
  }

  axis(axis) {
    const x = (v) => `${(2 + 96 * axis.at(v)).toFixed(2)}%`;
    return h("svg", { class: "ticks", "aria-hidden": "true" },
      axis.ticks.map((t) => h("text", { x: x(t), y: 12, "text-anchor": "middle" }, `${t}`)),
      h("text", { x: "50%", y: 28, "text-anchor": "middle" },
        "test accuracy in %"));
  }

  // --- train and stop ------------------------------------------------------------------------

  bar(s, busy) {
    const { state, done, total } = s.training;
    const press = (text, what, off, said) => button(text, (event) => {
      if (event.target.getAttribute("aria-disabled") === "true") return;
      event.target.setAttribute("aria-disabled", "true"); // at once: the kernel answers later
      event.target.textContent = said;
      this.ask({ do: what }, said);
    }, { class: "main", "aria-disabled": `${off}` });
    const count = (event) => this.ask({ do: "count", n: event.target.valueAsNumber });
    const wrong = s.said.field === "replicates" && s.said.text;
    return [
      h("div", { class: "line" },
        h("label", {}, "Replicates ", h("input", { type: "number", min: 1, max: 40, value: s.replicates,
          "data-key": "replicates", onchange: count, disabled: busy, "aria-invalid": !!wrong && "true" })),
        press("Train", "train", busy, "Starting …"),
        press("Stop", "stop", state !== "running", "Stopping …"),
        busy ? h("progress", { max: total, value: done, "aria-label": "finished" }) : null,
        h("span", {}, busy ? `${done} of ${total} done, ` : s.plan,
          busy && h("span", { class: "left" }, this.left()))),
      wrong && h("p", { class: "bad", role: "alert" }, wrong),
    ];
  }

  // --- the form ------------------------------------------------------------------------------

  fields(draft) {
    const { row, wrong, editing } = draft, { methods, worlds, students, teachers } = this.offer;
    const method = methods[row.method], world = worlds[row.world] || {};
    const said = this.state.said.bad && this.state.said.field ? this.state.said.text : wrong.text;
    const at = wrong.field || (this.state.said.bad && this.state.said.field);
    const turn = (change) => this.ask({ do: "draft", row: { ...row, ...change }, editing });
    const field = (name, label, control, hint) => h("div", { class: "field" },
      h("label", {}, h("span", {}, label), control),
      hint && h("small", { id: `hint-${name}` }, hint),
      at === name && h("p", { class: "bad", role: "alert" }, said));
    const props = (name, value, change) => ({ "data-key": `field ${name}`, value,
      "aria-invalid": at === name && "true",
      onchange: (event) => change(event.target.type === "number" ? event.target.valueAsNumber
        : event.target.value) });
    const select = (name, value, all, change) =>
      h("select", props(name, value, change), all.map(([v, text]) => h("option", { value: v }, text)));
    const number = (name, value, low, high, change) => h("input", { type: "number", step: "any",
      min: low, max: high, ...props(name, value ?? "", change) });
    const range = (low, high) => (low == null && high == null ? "any number"
      : `${(low ?? "any").toLocaleString("en")} to ${(high ?? "any").toLocaleString("en")}`);
    const knob = (k) => {
      const change = (value) => turn({ knobs: { ...row.knobs, [k.name]: value } });
      const value = row.knobs?.[k.name];
      if (!k.choices.length) {
        return field(k.name, k.name, number(k.name, value, k.low, k.high, change),
          `${k.meaning}; ${range(k.low, k.high)}`);
      }
      const chosen = (text) => change(k.choices.find((c) => String(c) === text));
      return field(k.name, k.name,
        select(k.name, String(value), k.choices.map((c) => [String(c), String(c)]), chosen), k.meaning);
    };
    const plain = (name, label, low, high, hint = range(low, high)) =>
      field(name, label, number(name, row[name], low, high, (v) => turn({ [name]: v })), hint);
    const pick = (name, label, all, hint) => field(name, label,
      select(name, row[name], all.map((v) => [v, v]), (v) => turn({ [name]: v })), hint);
    const names = Object.entries(methods).map(([n, m]) => [n, m.fault ? `${n} (cannot be trained)` : n]);
    const places = Object.entries(worlds).map(([n, w]) => [n, `${w.words} (${n})`]);
    const fresh = { method: row.method, knobs: row.knobs };
    const add = () => {
      this.ask({ do: "add", row, editing });
      if (editing) this.form.open = false;
    };
    return [
      h("div", { class: "grid" },
        field("method", "method", select("method", row.method, names,
          (v) => turn({ method: v, knobs: {}, teacher: null })), method?.fault),
        method?.knobs.map(knob),
        field("world", "images", select("world", row.world, places,
          (v) => this.ask({ do: "draft", row: { ...fresh, world: v }, editing }))),
        plain("labels", "labelled images", world.low, world.high),
        plain("noise", "share of wrong labels", 0, 0.9, "0 to 0.9, for teacher and student alike"),
        method?.taught && pick("teacher", "teacher", teachers),
        method?.taught && row.teacher !== "your network" && plain("epochs", "teacher's epochs", 1, 200),
        pick("student", "student", students),
        plain("updates", "student's updates", 1, 100000)),
      h("p", { class: "words" }, draft.words && `${draft.words}.`),
      h("div", { class: "line" },
        button(editing ? `Change arm ${editing}` : "Add arm", add,
          { class: "main", "data-key": "add", disabled: !draft.words }),
        editing && button("Leave it as it is", () => this.ask({ do: "draft", row }))),
      this.offer.left_out.length > 0 && h("details", {}, h("summary", {}, "Methods that are not here"),
        h("ul", {}, this.offer.left_out.map((text) => h("li", {}, `${text}.`)))),
    ];
  }

  // --- results -------------------------------------------------------------------------------

  results(s) {
    const done = s.rows.filter((row) => row.dots.length);
    if (!done.length) return [];
    const views = { difference: "Difference", curves: "Learning curves", calibration: "Calibration",
      images: "Images", costs: "Cost" };
    const turn = (view) => {
      this.view = view;
      if (view === "costs") this.ask({ do: "costs" }, "Counting …");
      this.draw();
    };
    return [
      h("div", { class: "line", role: "group", "aria-label": "What is shown" },
        Object.entries(views).map(([name, text]) =>
          button(text, () => turn(name), { "aria-pressed": `${name === this.view}` }))),
      this[`show_${this.view}`](s, done),
    ];
  }

  pairs(s) {
    const known = Object.keys(s.pairs);
    if (!known.length) return [h("p", {}, "Two arms are needed for this.")];
    if (!known.includes(this.pair)) this.pair = known[0];
    const text = (pair) => pair.split("-").map((who) => `arm ${who}`).join(" and ");
    const choose = (event) => { this.pair = event.target.value; this.draw(); };
    return [h("label", {}, "Compare ", h("select", { "data-key": "pair", value: this.pair,
      onchange: choose }, known.map((pair) => h("option", { value: pair }, text(pair)))))];
  }

  show_difference(s) {
    const parts = this.pairs(s);
    if (this.pair in s.pairs) {
      parts.push(h("p", { class: "answer", "aria-live": "polite" }, s.pairs[this.pair]));
      parts.push(h("small", {}, "Paired by replicate; 95 % for this pair alone. The more pairs you look " +
        "at, the more of them mislead: what you find here is a question for new replicates."));
    }
    return parts;
  }

  chart(rows, lines, { xs, ys, xlabel, ylabel, alt, below }) {
    const [w, hh, l, b] = [640, 300, 52, 44], x = (v) => l + (w - l - 30) * xs.at(v);
    const y = (v) => hh - b - (hh - b - 10) * ys.at(v);
    return h("svg", { class: "chart", viewBox: `0 0 ${w} ${hh}`, role: "img", "aria-label": alt },
      ys.ticks.map((t) => [h("line", { class: "grid", x1: l, x2: w - 30, y1: y(t), y2: y(t) }),
        h("text", { x: l - 6, y: y(t) + 4, "text-anchor": "end" }, `${t}`)]),
      xs.ticks.map((t) => h("text", { x: x(t), y: hh - b + 18, "text-anchor": "middle" },
        t.toLocaleString("en"))),
      h("text", { x: (l + w) / 2, y: hh - 6, "text-anchor": "middle" }, xlabel),
      h("text", { x: 14, y: hh / 2 - 20, "text-anchor": "middle",
        transform: `rotate(-90 14 ${hh / 2 - 20})` }, ylabel),
      below && h("line", { class: "ink", x1: x(below[0]), y1: y(below[0]), x2: x(below[1]),
        y2: y(below[1]), "stroke-dasharray": "5 4" }),
      rows.map((row, i) => {
        const path = lines[i].map(([a, v], k) => `${k ? "L" : "M"}${x(a)} ${y(v)}`).join("");
        const last = lines[i].at(-1);
        return h("g", {}, h("path", { d: path, fill: "none", stroke: look(row.id).colour,
          "stroke-width": 2 }), lines[i].map(([a, v], k) => (k % 3 === 0 || below)
          && mark(row.id, x(a), y(v))),
        h("text", { x: x(last[0]) + 10, y: y(last[1]) + 4 }, `${row.id}`));
      }));
  }

  show_curves(_, done) {
    const lines = done.map((row) => row.curve), flat = lines.flat();
    const alt = `Validation accuracy against updates. ${done.map((row) =>
      `Arm ${row.id} ends at ${row.curve.at(-1)[1]} %`).join("; ")}.`;
    const xs = scale([0, ...flat.map((p) => p[0])], 0.01), ys = scale(flat.map((p) => p[1]));
    return this.chart(done, lines, { xs, ys, alt, xlabel: "updates of the student",
      ylabel: "validation accuracy in %" });
  }

  show_calibration(_, done) {
    const lines = done.map((row) => row.sure.bins.map(([a, b]) => [a, b]));
    const alt = `Accuracy against confidence. ${done.map((row) =>
      `Arm ${row.id}: ${row.sure.text}`).join(". ")}.`;
    const whole = scale([0, 100], 0.02);
    return [this.chart(done, lines, { xs: whole, ys: whole, alt, below: [0, 100],
      xlabel: "how sure the student says to be, in %", ylabel: "how often it is right, in %" }),
    h("ul", { class: "plain" }, done.map((row) =>
      h("li", {}, badge(row.id), ` ${row.id}: ${row.sure.text}`)))];
  }

  show_images(s) {
    const parts = this.pairs(s), pair = this.pair;
    if (!(pair in s.pairs)) return parts;
    const [first, second] = pair.split("-").map(Number);
    parts[0] = h("div", { class: "line" }, parts[0], button("Show images", () =>
      this.ask({ do: "images", first, second }, "Looking for them …"), { class: "main" }));
    if (this.images?.pair !== pair) return parts;
    const { text, sides } = this.images, names = [first, second];
    if (!sides.length) return [...parts, h("p", {}, text)];
    return [...parts, sides.map((side, i) => h("div", {},
      h("p", {}, `${text}, ${side.count} are right in arm ${names[i]} and wrong in arm ` +
        `${names[1 - i]}${side.count > side.images.length ? "; the first of them:" : "."}`),
      h("div", { class: "images" }, side.images.map((image) => h("figure", {},
        h("img", { src: image.src, alt: `an image of ${image.label}` }),
        h("figcaption", {}, image.label, h("br"), `arm ${names[1 - i]}: ${image.other}`))))))];
  }

  show_costs() {
    const rows = Object.entries(this.costs?.rows || {});
    if (!rows.length) return h("p", {}, "Counting …");
    const heads = Object.keys(rows[0][1]);
    return h("div", { class: "wide" }, h("table", {},
      h("thead", {}, h("tr", {}, h("th", {}, "arm"), heads.map((t) => h("th", { scope: "col" }, t)))),
      h("tbody", {}, rows.map(([who, row]) => h("tr", {}, h("th", { scope: "row" }, badge(+who), ` ${who}`),
        heads.map((name) => h("td", {}, row[name])))))));
  }

  // --- the lab book, and what one takes home --------------------------------------------------

  book(s) {
    const held = (entry) => `${entry.words} ${entry.note} ${entry.at}`.toLowerCase()
      .includes(this.filter.toLowerCase());
    const shown = s.book.filter(held);
    const sift = (event) => { this.filter = event.target.value; this.draw(); };
    const forget = (key) => () => {
      if (this.sure === key) this.ask({ do: "forget", key });
      this.sure = this.sure === key ? "" : key;
      this.draw();
    };
    const entry = (e) => h("li", {},
      h("div", {}, h("strong", {}, e.result), ` ${e.words}`),
      h("div", { class: "line" }, h("small", {}, e.at),
        h("label", { class: "note" }, "Note ", h("input", { type: "text", value: e.note,
          "data-key": `note ${e.key}`, "aria-label": `Note on ${e.words}`,
          onchange: (event) => this.ask({ do: "note", key: e.key, text: event.target.value }) })),
        h("span", { class: "small" },
          button("Add arm", () => this.ask({ do: "add", row: JSON.parse(e.settings).rows[0] }),
            { "aria-label": `Add this arm: ${e.words}`, "data-key": `again ${e.key}` }),
          button(this.sure === e.key ? "Really delete" : "Delete", forget(e.key),
            { "data-key": `forget ${e.key}`, "aria-label": `${this.sure === e.key ? "Really delete"
              : "Delete"} ${e.words}` }))));
    if (!s.book.length) return h("p", {}, "Every run that finishes is written down here.");
    return [
      h("div", { class: "line" }, h("label", {}, "Filter ", h("input", { type: "search",
        value: this.filter, "data-key": "filter", oninput: sift })),
      h("span", {}, `${shown.length} of ${s.book.length} arms`),
      button("Export as CSV", () => this.ask({ do: "give", what: "csv" }))),
      h("ul", { class: "entries" }, shown.map(entry)),
      h("small", {}, `Kept in ${s.home}.`),
    ];
  }

  hand() {
    const { what, text } = this.given, paste = h("textarea", { rows: 3, "data-key": "paste",
      "aria-label": "Settings to paste", placeholder: "Paste settings here" });
    const titles = { python: "These lines make the same arms", settings: "Settings of these arms" };
    return [
      h("div", { class: "line" },
        button("Copy as Python", () => this.ask({ do: "give", what: "python" })),
        button("Copy settings", () => this.ask({ do: "give", what: "settings" }))),
      text && h("textarea", { class: "given", readonly: true, rows: what === "python" ? 12 : 3,
        value: text, "aria-label": titles[what], "data-key": "given" }),
      paste,
      button("Paste settings", () => this.ask({ do: "paste", text: paste.value })),
    ];
  }
}

// --- where it stands -----------------------------------------------------------------------------

// A notebook keeps plain HTML. While the kernel has this model, the lab stands in its place.
function initialize({ model }) {
  const live = new Map(), wanted = `[data-kdlab-lab="${model.get("offer").id}"]`;
  const look = () => {
    for (const [el, lab] of live) {
      if (!el.isConnected) { lab.end(); live.delete(el); }
    }
    for (const el of document.querySelectorAll(wanted)) {
      if (!live.has(el)) { el.classList.add("kdlab-lab"); live.set(el, new Lab(model, el)); }
    }
  };
  const observer = new MutationObserver(look);
  observer.observe(document.documentElement, { childList: true, subtree: true });
  look();
  return () => { observer.disconnect(); for (const lab of live.values()) lab.end(); };
}

function render({ model, el }) {
  const root = h("div", { class: "kdlab-lab" });
  el.append(root);
  const lab = new Lab(model, root);
  return () => lab.end();
}

export default { initialize, render };
