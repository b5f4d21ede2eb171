// What a page of the site does beside reading: hide code, open folds, be reached by keyboard.

// Search shows a few words of each page that it finds. A page from disk may not read another one.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

const KEPT = "kdlab-code"; // "hidden" in every page, until the reader wants it otherwise

function kept(value) {
  try {
    if (value !== undefined) localStorage.setItem(KEPT, value);
    return localStorage.getItem(KEPT);
  } catch {
    return null; // a browser that keeps nothing for pages from disk
  }
}

function button(act) {
  const made = document.createElement("button");
  made.type = "button";
  made.addEventListener("click", () => act(made));
  return made;
}

function code() {
  const show = (made, hidden) => {
    document.body.classList.toggle("kdlab-no-code", hidden);
    made.textContent = hidden ? "Show code" : "Hide code";
  };
  const made = button(() => {
    const hidden = !document.body.classList.contains("kdlab-no-code");
    kept(hidden ? "hidden" : "shown");
    show(made, hidden);
  });
  show(made, kept() === "hidden");
  return made;
}

function folds(article) {
  const made = button(() => {
    const open = made.textContent === "Open all folds";
    article.querySelectorAll("details").forEach((fold) => { fold.open = open; });
    made.textContent = open ? "Close all folds" : "Open all folds";
  });
  made.textContent = "Open all folds";
  return made;
}

// Furo opens its menus by labels, which no key reaches, and which say nothing where they are icons.
function reachable(label) {
  const name = label.htmlFor === "__toc" ? "Contents of this page" : "Pages of the site";
  label.setAttribute("aria-label", name);
  label.setAttribute("role", "button");
  label.setAttribute("tabindex", "0");
  label.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    label.click();
  });
}

// What scrolls inside itself is scrolled by keys, too.
function scrollers() {
  const found = ".highlight pre, .table-wrapper, .cell_output .output, div.math, .wide";
  for (const part of document.querySelectorAll(found)) {
    if (part.scrollWidth > part.clientWidth + 1) part.tabIndex = 0;
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const article = document.querySelector("article[role=main]");
  const view = document.createElement("div");
  view.className = "kdlab-view";
  if (article?.querySelector(".cell_input")) view.append(code());
  if (article?.querySelector("details")) view.append(folds(article));
  if (view.children.length) article.querySelector("h1").after(view);
  document.querySelectorAll("label[for=__navigation]:not(.overlay), label[for=__toc]:not(.overlay)").forEach(reachable);
  document.querySelectorAll("p.caption[role=heading]").forEach((title) => { title.ariaLevel = 2; });
  scrollers();
  addEventListener("resize", () => requestAnimationFrame(scrollers));
  document.addEventListener("toggle", () => requestAnimationFrame(scrollers), true);
});
