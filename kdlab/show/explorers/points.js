// Three points of a teacher and of a student: the relations that RKD sees, and where it pulls.
// Park et al. 2019, section 3: psi_D and psi_A, Huber with delta 1, means over all B^2 and B^3.

const SIDES = [[0, 1], [0, 2], [1, 2]];
const CORNERS = [[0, 1, 2], [1, 0, 2], [2, 0, 1]]; // the vertex stands first
const STEP = 0.05; // points lie on a grid, so that two can coincide and three stand in a line
const TINY = 1e-6; // share of the usual length below which a difference has no direction
const every = [0, 1, 2];

const minus = (a, b) => [a[0] - b[0], a[1] - b[1]];
const dot = (a, b) => a[0] * b[0] + a[1] * b[1];
const onCircle = (p) => (dot(p, p) > 0 ? p.map((value) => value / Math.sqrt(dot(p, p))) : p);
const huber = (x) => (Math.abs(x) <= 1 ? (x * x) / 2 : Math.abs(x) - 0.5);
const slope = (x) => Math.max(-1, Math.min(1, x));

// Return lengths and directions of all differences, with psi_D[i][j] and psi_A[vertex][i][k].
function relations(f) {
  const gaps = f.map((vertex) => f.map((end) => minus(end, vertex)));
  const square = gaps.map((row) => row.map((v) => dot(v, v)));
  const [all, size] = [square.flat(), Math.max(...f.map((p) => dot(p, p)))];
  const apart = Math.max(...all) > 1e-28 * size; // the rest is rounding
  const usual = all.reduce((a, b) => a + b) / 9;
  const d = square.map((row) => row.map((value) => (apart ? Math.sqrt(value) : 0)));
  const mu = d.flat().reduce((a, b) => a + b) / 6;
  const unit = gaps.map((row, j) => row.map((v, i) =>
    (apart && square[j][i] > TINY ** 2 * usual ? v.map((value) => value / d[j][i]) : [0, 0])));
  const psiD = d.map((row) => row.map((value) => (mu > 0 ? value / mu : 0)));
  const psiA = unit.map((row) => row.map((a) => row.map((b) => dot(a, b))));
  return { d, mu, unit, psiD, psiA };
}

// Return both losses, and for each point of the student the way on which each falls fastest.
function losses(teacher, student) {
  const [t, s] = [relations(teacher), relations(student)];
  const way = { distance: every.map(() => [0, 0]), angle: every.map(() => [0, 0]) };
  const push = (key, i, v, factor) => v.forEach((value, c) => { way[key][i][c] -= factor * value; });
  const g = every.map((i) => every.map((j) => slope(s.psiD[i][j] - t.psiD[i][j]) / 9));
  const common = g.flatMap((row, i) => row.map((value, j) => value * s.psiD[i][j])).reduce((a, b) => a + b) / 6;
  let [L_D, L_A] = [0, 0];
  for (const i of every) for (const j of every) {
    L_D += huber(s.psiD[i][j] - t.psiD[i][j]) / 9;
    if (i !== j && s.mu > 0) push("distance", i, s.unit[j][i], (2 * (g[i][j] - common)) / s.mu);
    for (const k of every) { // the angle at j
      const [cosine, gap] = [s.psiA[j][i][k], s.psiA[j][i][k] - t.psiA[j][i][k]];
      L_A += huber(gap) / 27;
      for (const [one, other] of [[i, k], [k, i]]) {
        const [a, b] = [s.unit[j][one], s.unit[j][other]];
        if (!dot(a, a) || !dot(b, b)) continue; // no direction, no angle
        const turn = minus(b, a.map((value) => cosine * value));
        push("angle", one, turn, slope(gap) / 27 / s.d[j][one]);
        push("angle", j, turn, -slope(gap) / 27 / s.d[j][one]);
      }
    }
  }
  return { t, s, L_D, L_A, way };
}

// What is shown: the student as it is compared, and how it can move.
function measure(state) {
  const circle = state.length === CIRCLE;
  const student = circle ? state.student.map(onCircle) : state.student;
  const found = losses(state.teacher, student);
  if (circle) {
    for (const key of ["distance", "angle"]) {
      found.way[key] = found.way[key].map((w, i) => minus(w, student[i].map((value) => dot(w, student[i]) * value)));
    }
  }
  return { ...found, student };
}

const CIRCLE = "on the unit circle";
const centre = (f) => every.slice(0, 2).map((c) => (f[0][c] + f[1][c] + f[2][c]) / 3);
const turned = ([x, y]) => [0.5 * x - Math.sqrt(0.75) * y, Math.sqrt(0.75) * x + 0.5 * y];

// What the buttons do to the student.
const DEEDS = {
  "turn": ({ student }) => student.map(turned),
  "mirror": ({ student }) => student.map(([x, y]) => [-x, y]),
  "half as large": ({ student }) => student.map(([x, y]) => [x / 2, y / 2]),
  "swap A and B": ({ student: [a, b, c] }) => [b, a, c],
  "B onto A": ({ student: [a, , c] }) => [a, a, c],
  "all in one point": ({ student }) => every.map(() => centre(student)),
  "20 steps downhill": (state, data) => {
    let now = state.student;
    for (let i = 0; i < 20; i++) {
      const { student, way } = measure({ ...state, student: now });
      now = student.map((p, k) => p.map((x, c) => x + data.rate * (way.distance[k][c] + 2 * way.angle[k][c])));
    }
    const far = Math.max(...now.map((p) => Math.sqrt(dot(p, p)))) / data.reach;
    return far > 1 ? now.map((p) => p.map((x) => x / far)) : now; // the losses do not see it
  },
  "start again": (state, data) => data.student,
};

// Buttons that act: unlike those of a choice, none of them stays pressed.
function deeds(label, data) {
  const id = `kdlab-deeds-${Date.now().toString(36)}-${named++}`;
  const row = node("div", { class: "buttons" }, ...Object.keys(DEEDS).map((name) => node("button", { type: "button" }, name)));
  let now;
  return {
    box: node("div", { class: "control", role: "group", "aria-labelledby": id }, node("span", { class: "label", id }, label), row),
    connect(choose) {
      row.addEventListener("click", (event) => {
        const deed = DEEDS[event.target.closest("button")?.textContent];
        if (deed) choose("student", deed(now, data), true);
      });
    },
    refresh(state) { now = state; },
  };
}

const HALF = 130; // of the side of a plane, in pixels
const at = (data, [x, y]) => [HALF + (x * HALF) / (1.1 * data.reach), HALF - (y * HALF) / (1.1 * data.reach)];
const OFFSETS = [[-22, 14], [14, 18], [-5, -15]]; // of the names: readable where points coincide
const tint = (data, key) => `--mark: ${data.colours[key]}; color: ${data.colours[key]}`;

// Draw a triangle whose points can be moved; `extra` lies below its points.
function plane(data, net, title, points, extra, note) {
  const ring = points.map((p) => at(data, p).join(" ")).join("L");
  const svg = node("svg", { width: 2 * HALF, height: 2 * HALF, "data-net": net, style: tint(data, net) },
    node("rect", { class: "zero", width: 2 * HALF, height: 2 * HALF, fill: "none" }),
    node("path", { d: `M${ring}Z`, fill: "none", stroke: "currentColor", "stroke-width": 2 }), ...extra);
  points.forEach((p, i) => {
    const [[x, y], [dx, dy], name] = [at(data, p), OFFSETS[i], data.names[i]];
    const said = `${name} of the ${net} at ${p.map((value) => signed(value)).join(", ")}; arrow keys move it`;
    svg.append(
      node("text", { x: x + dx, y: y + dy, "font-weight": 700, "font-size": 15 }, name),
      node("circle", {
        class: "mark", cx: x, cy: y, r: 10, tabindex: 0, role: "button", "aria-label": said, "data-net": net,
        "data-point": i, "data-x": p[0], "data-y": p[1], style: "cursor: grab; touch-action: none",
      }),
    );
  });
  return node("div", { class: "panel" }, node("h4", {}, title), svg, ...note);
}

// Arrows where the losses pull: they end where nothing pulls, and never grow out of the picture.
function arrows(data, { student, way }) {
  return ["distance", "angle"].flatMap((key) => way[key].map((w, i) => {
    const size = Math.sqrt(dot(w, w));
    const [[x, y], far] = [at(data, student[i]), 120 / (size + 0.1)];
    const tip = [x + far * w[0], y - far * w[1]];
    const head = size > 1e-9 ? [2.5, -2.5].map((turn) => {
      const [c, s] = [Math.cos(turn), Math.sin(turn)];
      const [a, b] = [w[0] / size, -w[1] / size];
      return `M${tip.join(" ")}l${9 * (a * c - b * s)} ${9 * (a * s + b * c)}`;
    }) : [];
    return node("path", {
      d: `M${x} ${y}L${tip.join(" ")}${head.join("")}`, fill: "none", stroke: data.colours[key], "stroke-width": 4,
      "data-pull": key, "data-point": i, "data-x": w[0], "data-y": w[1],
    });
  }));
}

// Draw bars side by side, teacher and student, under each of three names.
function pairs(data, { title, names, low, high, teacher, student }) {
  const [left, top, height, step] = [34, 8, 200, 48];
  const y = (value) => top + ((high - value) / (high - low)) * height;
  const svg = node("svg", { width: left + 3 * step, height: top + height + 24, "aria-hidden": "true" });
  for (const value of ticks(low, high, 4)) {
    svg.append(
      node("line", { class: value ? "grid" : "zero", x1: left, x2: left + 3 * step, y1: y(value), y2: y(value) }),
      node("text", { x: left - 5, y: y(value) + 4, "text-anchor": "end" }, String(value).replace("-", "−")),
    );
  }
  for (const [key, values, side] of [["teacher", teacher, -1], ["student", student, 0]]) {
    values.forEach((value, i) => svg.append(node("rect", {
      class: "mark", style: tint(data, key), "data-bar": key, "data-name": names[i], "data-value": value, width: 19,
      x: left + (i + 0.5) * step + 19 * side, y: y(Math.max(value, 0)), height: Math.max(1, Math.abs(y(value) - y(0))),
    })));
  }
  names.forEach((name, i) => svg.append(
    node("text", { x: left + (i + 0.5) * step, y: top + height + 18, "text-anchor": "middle" }, name)));
  return node("div", { class: "panel" }, node("h4", {}, title), svg);
}

const sides = (found) => SIDES.map(([i, j]) => found.psiD[i][j]);
const cosines = (found) => CORNERS.map(([j, i, k]) => found.psiA[j][i][k]);
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

// A kind of its own for each view, because its picture is a control, too.
function points() {
  let [choose, data, state] = [() => {}, null, null];
  // Move a point as near to `place` as grid and plane allow.
  function move(net, i, place, settled) {
    const grid = place.map((value) => Number((STEP * Math.round(value / STEP)).toFixed(2)));
    const far = Math.max(1, Math.sqrt(dot(grid, grid)) / data.reach);
    choose(net, state[net].map((p, k) => (k === i ? grid.map((value) => value / far) : p)), settled);
  }
  const held = { box: node("span", { hidden: "" }), connect(given) { choose = given; }, refresh() {} };
  return {
    role: "group",
    controls(given) {
      data = given;
      const lengths = ["where you put them", CIRCLE].map((name) => [name, name]);
      return [choice("length", "student's points", () => lengths), deeds("do this to the student", data), held];
    },
    settle(given, found) {
      const sound = (f) => Array.isArray(f) && f.length === 3 && f.flat().every(Number.isFinite) && f.flat().length === 6;
      const or = (net) => (sound(found[net]) ? found[net] : given[net]);
      state = { length: found.length ?? "where you put them", teacher: or("teacher"), student: or("student") };
      return state;
    },
    draw(given, now) {
      const found = measure(now);
      const line = (key, text) => node("div", { class: "note" }, node("i", { class: "swatch", style: tint(data, key) }), text);
      const note = [
        line("distance", `distances pull: L_D = ${found.L_D.toFixed(4)}`),
        line("angle", `angles pull: L_A = ${found.L_A.toFixed(4)}`),
      ];
      const extra = arrows(data, found);
      const r = now.length === CIRCLE ? HALF / (1.1 * data.reach) : 0; // always there: a handle keeps its place
      extra.unshift(node("circle", { class: "zero", cx: HALF, cy: HALF, r, fill: "none", "stroke-dasharray": "3 4" }));
      const both = (read) => ({ teacher: read(found.t), student: read(found.s) });
      return [
        plane(data, "teacher", "Teacher", now.teacher, [], [line("teacher", "teacher")]),
        plane(data, "student", "Student", found.student, extra, [line("student", "student"), ...note]),
        pairs(data, { title: "Distances, mean = 1", names: ["AB", "AC", "BC"], low: 0, high: 1.5, ...both(sides) }),
        pairs(data, { title: "Cosines of the angles", names: data.names, low: -1, high: 1, ...both(cosines) }),
      ];
    },
    listen(picture) {
      let grabbed = null;
      const place = (event) => {
        const box = picture.querySelector(`svg[data-net=${grabbed.net}]`).getBoundingClientRect();
        const scale = (2.2 * data.reach) / box.width;
        return [(event.clientX - box.x) * scale - 1.1 * data.reach, 1.1 * data.reach - (event.clientY - box.y) * scale];
      };
      picture.addEventListener("pointerdown", (event) => {
        const point = event.target.closest("circle[data-point]");
        if (!point) return;
        event.preventDefault();
        point.focus();
        picture.setPointerCapture(event.pointerId);
        grabbed = { net: point.dataset.net, i: Number(point.dataset.point) };
      });
      picture.addEventListener("pointermove", (event) => grabbed && move(grabbed.net, grabbed.i, place(event), false));
      picture.addEventListener("pointerup", (event) => {
        if (grabbed) move(grabbed.net, grabbed.i, place(event), true);
        grabbed = null;
      });
      picture.addEventListener("pointercancel", () => { grabbed = null; });
      picture.addEventListener("keydown", (event) => {
        const way = ARROWS[event.key];
        if (!way || !event.target.matches("circle[data-point]")) return;
        event.preventDefault();
        const { net, point } = event.target.dataset;
        const from = (net === "student" ? measure(state).student : state.teacher)[point];
        move(net, Number(point), from.map((value, c) => value + (event.shiftKey ? 10 : 1) * STEP * way[c]), true);
      });
    },
    tell(given, now) {
      const found = measure(now);
      const said = (values, names) => values.map((value, i) => `${names[i]} ${value.toFixed(2).replace("-", "−")}`).join(", ");
      const net = (one) => `distances ${said(sides(one), ["AB", "AC", "BC"])}; cosines ${said(cosines(one), ["A", "B", "C"])}`;
      return `Teacher: ${net(found.t)}. Student: ${net(found.s)}. L_D = ${found.L_D.toFixed(4)}, L_A = ${found.L_A.toFixed(4)}.`;
    },
    numbers(given, now) {
      const found = measure(now);
      const names = ["distance AB", "distance AC", "distance BC", ...["A", "B", "C"].map((name) => `cosine at ${name}`)];
      const [t, s] = [found.t, found.s].map((one) => [...sides(one), ...cosines(one)]);
      const rows = names.map((name, i) => [name, signed(t[i], 4), signed(s[i], 4)]);
      const pulled = ["distance", "angle"].flatMap((key) => found.way[key].map((w, i) =>
        [`pull of the ${key} on ${data.names[i]}`, "–", w.map((value) => signed(value, 4)).join(", ")]));
      return [["", "teacher", "student"], ...rows, ...pulled];
    },
  };
}

export default { render: (given) => explore(given, points()) };
