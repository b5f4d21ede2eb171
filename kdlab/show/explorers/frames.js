// Pictures that Python drew, one for each setting of the controls, changed without a pause.
// A setting is a list of places, one for each control. Pictures that are not there yet are asked of
// the kernel; a page without one shows the nearest that it has, and says so.

function framesOf(model) {
  const pictures = { ...model.get("data").pictures };
  const awaited = new Set();
  const alive = typeof model.send === "function";
  let last = "";

  const controlsOf = (data) => data.controls.map(({ key }) => key);
  const nameOf = (data, state) => controlsOf(data).map((key) => state[key]).join(",");

  // The picture that agrees with most of what is set, and most with what was set last.
  function nearest(name) {
    const wanted = name.split(",");
    const moved = wanted.map((place, i) => place !== last.split(",")[i]);
    const agreement = (other) => other.split(",").reduce(
      (sum, place, i) => sum + (place === wanted[i]) * (moved[i] ? wanted.length + 1 : 1), 0);
    return Object.keys(pictures).reduce((best, other) => (agreement(other) > agreement(best) ? other : best));
  }
  function found(data, state) {
    const name = nameOf(data, state);
    if (pictures[name]) return { name, ...pictures[name] };
    if (alive) {
      if (!awaited.has(name)) model.send({ want: name });
      awaited.add(name);
      return { name: last, ...pictures[last], late: true };
    }
    const near = nearest(name);
    return { name: near, ...pictures[near], near: true };
  }
  const reset = (data) => {
    const button = node("button", { type: "button", title: "Back to the start" }, "Reset");
    return {
      box: node("div", { class: "control" }, button),
      connect: (choose) => button.addEventListener("click", () =>
        controlsOf(data).forEach((key) => choose(key, data.start[key], true))),
      refresh() {},
    };
  };
  return {
    role: "img",
    controls: (data) => [...data.controls.map(({ kind, key, label, texts }) => {
      const places = texts.map((_, place) => place);
      if (kind === "choice") return choice(key, label, () => places.map((place) => [place, texts[place]]));
      return slider(key, label, places, (place) => texts[place], (place) => texts[place]);
    }), reset(data)],
    settle(data, given) {
      const right = ({ key, texts }) => Number.isInteger(given[key]) && given[key] >= 0 && given[key] < texts.length;
      return Object.fromEntries(data.controls.map((one) => [one.key, right(one) ? given[one.key] : data.start[one.key]]));
    },
    draw(data, state) {
      const one = found(data, state);
      if (!one.near) last = one.name;
      const image = node("img", { class: one.late ? "frame late" : "frame", src: one.src, alt: "", "data-frame": one.name });
      if (one.error) return [node("pre", {}, one.error)];
      if (!one.near) return [image];
      const places = one.name.split(",");
      const said = data.controls.flatMap(({ key, label, texts }, i) =>
        (String(state[key]) === places[i] ? [] : [`${label} ${texts[places[i]]}`]));
      return [image, node("p", { class: "note" }, `Without a kernel, one control moves at a time: this is ${said.join(", ")}.`)];
    },
    tell: (data, state) => found(data, state).alt ?? "",
    listen(_, redraw) {
      model.on("msg:custom", ({ name, picture }) => {
        pictures[name] = picture;
        redraw();
      });
      if (alive) model.send({ want: "" }); // somebody looks: the pictures around can be drawn
    },
  };
}

export default { render: (given) => explore(given, framesOf(given.model)) };
