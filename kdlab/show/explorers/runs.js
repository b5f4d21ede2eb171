// Every run of a comparison: a row an arm, a dot a run, with the mean and its interval from Python.

const find = (list, name) => list.find((one) => one.name === name) ?? list[0];

function chosen(data, state) {
  const comparison = find(data.comparisons, state.comparison);
  const world = find(comparison.worlds, state.world);
  const measure = find(world.measures, state.measure);
  return { comparison, world, measure };
}

function sorted({ arms }, order) {
  return order === "by mean" ? [...arms].sort((a, b) => b.mean - a.mean) : arms;
}

// Draw one arm: a line of text, and below it its dots, mean and interval on the common axis.
function row(arm, x, width) {
  const [middle, below] = [11, 26];
  const svg = node("svg", { width, height: below + 8, style: `color: ${arm.colour}` });
  svg.append(
    node("line", { class: "grid", x1: 0, x2: width, y1: middle, y2: middle }),
    node("line", { class: "interval", x1: x(arm.low), x2: x(arm.high), y1: below, y2: below }),
    node("path", { class: "mean", d: `M${x(arm.mean)} ${below - 6}v12` }),
  );
  arm.dots.forEach(([replicate, value], i) => {
    const y = middle + 7 * ((2 * (i + 0.5)) / arm.dots.length - 1);
    const said = `${arm.name}, replicate ${replicate}: ${value}`;
    svg.append(node("circle", {
      class: "dot", cx: x(value), cy: y, r: 4, tabindex: -1, role: "img", "aria-label": said,
      "data-replicate": replicate, "data-value": value, "data-arm": arm.name,
    }));
  });
  const head = node("div", { class: "head" }, node("b", {}, arm.name), node("span", {}, arm.text));
  return node("div", { class: "row" }, head, svg);
}

function axis(low, high, x, width) {
  const svg = node("svg", { width, height: 22, "aria-hidden": "true" });
  for (const value of ticks(low, high, Math.max(2, width / 120))) {
    const anchor = x(value) < 20 ? "start" : x(value) > width - 20 ? "end" : "middle";
    svg.append(
      node("line", { class: "zero", x1: x(value), x2: x(value), y1: 0, y2: 5 }),
      node("text", { x: x(value), y: 18, "text-anchor": anchor }, String(value).replace("-", "−")),
    );
  }
  return svg;
}

const HINT = "Point at a dot, or reach it by Tab and the arrow keys: it tells its replicate in every row.";
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

// Tell of a dot what its replicate gave in every row; of null, how to reach one.
function point(picture, dot) {
  const dots = [...picture.querySelectorAll(".dot")];
  const same = dots.filter((one) => dot && one.dataset.replicate === dot.dataset.replicate);
  dots.forEach((one) => one.classList.toggle("same", same.includes(one)));
  const told = same.map((one) => `${one.dataset.arm} ${one.dataset.value}`).join("; ");
  picture.querySelector(".tip").textContent = dot ? `Replicate ${dot.dataset.replicate}: ${told}` : HINT;
}

// Go from a dot to its neighbour in the row, or to its own replicate in the row above or below.
function step(picture, dot, [down, right]) {
  const rows = [...picture.querySelectorAll(".row")].map((row) =>
    [...row.querySelectorAll(".dot")].sort((a, b) => a.dataset.value - b.dataset.value));
  const at = rows.findIndex((row) => row.includes(dot));
  const row = rows[Math.min(rows.length - 1, Math.max(0, at + down))];
  const place = Math.min(row.length - 1, Math.max(0, rows[at].indexOf(dot) + right));
  const next = row.find((one) => down && one.dataset.replicate === dot.dataset.replicate) ?? row[place];
  dot.setAttribute("tabindex", -1); // one dot at a time can be reached by Tab
  next.setAttribute("tabindex", 0);
  next.focus();
}

const runs = {
  role: "group",
  controls: (data) => [
    choice("comparison", "comparison", () => data.comparisons.map(({ name }) => [name, name])),
    choice("world", "images", (state) => chosen(data, state).comparison.worlds.map(({ name }) => [name, name])),
    choice("measure", "measure", (state) => chosen(data, state).world.measures.map(({ name }) => [name, name])),
    choice("order", "order of rows", () => ["as given", "by mean"].map((name) => [name, name])),
  ],
  settle(data, given) {
    const { comparison, world, measure } = chosen(data, given);
    const order = given.order === "by mean" ? given.order : "as given";
    return { comparison: comparison.name, world: world.name, measure: measure.name, order };
  },
  draw(data, state, width) {
    const { measure } = chosen(data, state);
    const arms = sorted(measure, state.order);
    const all = arms.flatMap((arm) => [arm.low, arm.high, ...arm.dots.map(([, value]) => value)]);
    const [least, most] = [Math.min(...all), Math.max(...all)];
    const [low, high] = most > least ? [least, most] : [least - 0.5, most + 0.5];
    const x = (value) => 8 + ((value - low) / (high - low)) * (width - 16);
    const rows = node("div", { class: "rows" }, ...arms.map((arm) => row(arm, x, width)));
    rows.querySelector(".dot").setAttribute("tabindex", 0);
    const [under, tip] = [node("div", { class: "note" }, measure.name), node("div", { class: "note tip" }, HINT)];
    return [rows, axis(low, high, x, width), under, tip];
  },
  listen(picture) {
    const over = (event) => event.target.matches(".dot") && point(picture, event.target);
    picture.addEventListener("pointerover", over);
    picture.addEventListener("focusin", over);
    picture.addEventListener("pointerleave", () => point(picture, null));
    picture.addEventListener("focusout", () => point(picture, null));
    picture.addEventListener("keydown", (event) => {
      if (!event.target.matches(".dot") || !(event.key in STEPS)) return;
      event.preventDefault();
      step(picture, event.target, STEPS[event.key]);
    });
  },
  tell(data, state) {
    const { comparison, world, measure } = chosen(data, state);
    const told = sorted(measure, state.order).map((arm) => `${arm.name} ${arm.text}`);
    return `Means and 95 % intervals of ${measure.name} (${comparison.name}; ${world.name}): ${told.join("; ")}.`;
  },
  numbers(data, state) {
    const arms = sorted(chosen(data, state).measure, state.order);
    const replicates = [...new Set(arms.flatMap((arm) => arm.dots.map(([r]) => r)))].sort((a, b) => a - b);
    const value = (arm, r) => arm.dots.find(([one]) => one === r)?.[1] ?? "–";
    return [["replicate", ...arms.map(({ name }) => name)],
      ...replicates.map((r) => [r, ...arms.map((arm) => value(arm, r))])];
  },
};

export default { render: (given) => explore(given, runs) };
