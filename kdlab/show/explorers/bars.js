// Answers of teacher and student as bars under T, and what each term of KD asks of every logit.
// The loss: (1 - alpha) H(y, q_1) + alpha T^2 KL(p_T || q_T), Hinton et al. 2015, section 2.1.

function softmax(z, T) {
  const top = Math.max(...z);
  const raised = z.map((value) => Math.exp((value - top) / T));
  const sum = raised.reduce((a, b) => a + b);
  return raised.map((value) => value / sum);
}

// Return what the picture shows: probabilities, and minus the gradient of each weighted term.
function measure(found, { stage, T, alpha }) {
  const [z_t, z_s] = [found.teacher, found.students[stage]];
  const [p, q, plain] = [softmax(z_t, T), softmax(z_s, T), softmax(z_s, 1)];
  const hard = plain.map((value, c) => (1 - alpha) * ((c === found.label) - value));
  const soft = p.map((value, c) => alpha * T * (value - q[c]));
  const sum = hard.map((value, c) => value + soft[c]);
  const entropy = -p.reduce((total, value) => total + (value > 0 ? value * Math.log(value) : 0), 0);
  return { p, q, hard, soft, sum, entropy, cosine: towardsMatching(z_t, z_s, p, q) };
}

// The cosine between the soft pull and its limit for large T, the gap of the centred logits.
function towardsMatching(z_t, z_s, p, q) {
  const gap = z_t.map((value, c) => value - z_s[c]);
  const mean = gap.reduce((a, b) => a + b) / gap.length;
  const limit = gap.map((value) => value - mean);
  const pull = p.map((value, c) => value - q[c]);
  const dot = (a, b) => a.reduce((total, value, i) => total + value * b[i], 0);
  return dot(pull, limit) / Math.max(Math.sqrt(dot(pull, pull) * dot(limit, limit)), 1e-30);
}

// Draw one panel: bars side by side for each class, and diamonds for a series that is a sum.
function panel({ title, note, classes, series, low, high, width }) {
  const slanted = Math.max(...classes.map((name) => name.length)) > 3;
  const [left, top, height, below] = [40, 8, 170, slanted ? 72 : 24];
  const y = (value) => top + ((high - value) / (high - low)) * height;
  const step = (width - left - 4) / classes.length;
  const svg = node("svg", { width, height: top + height + below, "aria-hidden": "true" });
  for (const value of ticks(low, high, 5)) {
    svg.append(
      node("line", { class: value ? "grid" : "zero", x1: left, x2: width, y1: y(value), y2: y(value) }),
      node("text", { x: left - 5, y: y(value) + 4, "text-anchor": "end" }, String(value).replace("-", "−")),
    );
  }
  classes.forEach((name, c) => {
    const [x, under] = [left + (c + 0.5) * step, top + height + 15];
    const turn = slanted ? `rotate(-50 ${x} ${under})` : undefined;
    svg.append(node("text", { x, y: under, "text-anchor": slanted ? "end" : "middle", transform: turn }, name));
  });
  const bars = series.filter((one) => !one.diamond);
  series.forEach(({ key, values, diamond }) => values.forEach((value, c) => {
    const x = left + (c + 0.5) * step;
    const mark = { class: `mark ${key}`, "data-key": key, "data-class": c, "data-value": value };
    if (diamond) {
      svg.append(node("path", { ...mark, d: `M${x} ${y(value) - 6}l6 6l-6 6l-6-6z` }));
      return;
    }
    const [wide, place] = [0.4 * step, bars.findIndex((one) => one.key === key)];
    const size = { width: wide, height: Math.max(1, Math.abs(y(value) - y(0))) };
    svg.append(node("rect", { ...mark, ...size, x: x + (place - 1) * wide, y: y(Math.max(value, 0)) }));
  }));
  const legend = series.map(({ key, name, diamond }) =>
    node("span", {}, node("i", { class: `swatch ${key}${diamond ? " diamond" : ""}` }), name));
  return node("div", { class: "panel" }, node("h4", {}, title), node("div", { class: "legend" }, ...legend),
    svg, node("div", { class: "note" }, note));
}

const worldOf = (data, state) => data.worlds.find((one) => one.name === state.world);
const caseOf = (data, state) => worldOf(data, state).cases.find((one) => one.name === state.image);

const bars = {
  role: "img",
  controls: (data) => [
    choice("world", "images", () => data.worlds.map(({ name }) => [name, name])),
    choice("image", "image", (state) => worldOf(data, state).cases.map(({ name }) => [name, name])),
    choice("stage", "student", (state) => Object.keys(caseOf(data, state).students).map((name) => [name, name])),
    slider("T", "temperature T", data.T, (T) => `T = ${T}`),
    slider("alpha", "alpha, soft share", data.alpha, (alpha) => `alpha = ${alpha}`),
  ],
  settle(data, given) {
    const world = worldOf(data, given) ?? data.worlds[0];
    const image = world.cases.find(({ name }) => name === given.image) ?? world.cases[0];
    const stages = Object.keys(image.students);
    const stage = stages.includes(given.stage) ? given.stage : stages[0];
    return { ...given, world: world.name, image: image.name, stage };
  },
  draw(data, state, width) {
    const { classes } = worldOf(data, state);
    const found = caseOf(data, state);
    const { p, q, hard, soft, sum, entropy, cosine } = measure(found, state);
    const label = `label ${classes[found.label]}`;
    const image = found.image ? node("img", { src: found.image, alt: "" }) : node("div", { class: "tile" }, label);
    const room = width < 700 ? width : (width - 130) / 2 - 24;
    const high = nice(Math.max(0.1, ...[...hard, ...soft, ...sum].map(Math.abs)));
    const distributions = panel({
      title: `Answers at T = ${state.T}`, classes, low: 0, high: 1, width: room,
      note: `teacher: entropy ${entropy.toFixed(2)} nats, p(label) ${p[found.label].toFixed(3)}`,
      series: [{ key: "teacher", name: "teacher", values: p }, { key: "student", name: "student", values: q }],
    });
    const pull = panel({
      title: `Pull of the loss on each logit, alpha = ${state.alpha}`, classes, low: -high, high, width: room,
      note: `soft term: cosine to logit matching ${cosine.toFixed(2)}`,
      series: [
        { key: "hard", name: "hard term", values: hard }, { key: "soft", name: "soft term", values: soft },
        { key: "sum", name: "sum", values: sum, diamond: true },
      ],
    });
    return [node("div", { class: "shown" }, image, node("div", {}, label)), distributions, pull];
  },
  tell(data, state) {
    const { classes } = worldOf(data, state);
    const found = caseOf(data, state);
    const { p, q, sum, entropy } = measure(found, state);
    const ranked = (values) => values.map((value, c) => [value, classes[c]]).sort(([a], [b]) => b - a);
    const said = (values) => ranked(values).slice(0, 2).map(([x, name]) => `${name} ${x.toFixed(2)}`).join(", ");
    const [up, down] = [ranked(sum)[0], ranked(sum).at(-1)];
    return `An image of ${classes[found.label]} (${state.world}), student ${state.stage}, T = ${state.T}: the ` +
      `teacher answers ${said(p)} (entropy ${entropy.toFixed(2)} nats), the student ${said(q)}. With alpha = ` +
      `${state.alpha} the loss raises ${up[1]} most (${signed(up[0])}) and lowers ${down[1]} most (${signed(down[0])}).`;
  },
  numbers(data, state) {
    const { classes } = worldOf(data, state);
    const { p, q, hard, soft, sum } = measure(caseOf(data, state), state);
    const rows = classes.map((name, c) => [
      name, p[c].toFixed(4), q[c].toFixed(4), ...[hard, soft, sum].map((part) => signed(part[c], 4)),
    ]);
    return [["class", "teacher", "student", "hard term", "soft term", "sum"], ...rows];
  },
};

export default { render: (given) => explore(given, bars) };
