"use strict";
// Behaviour of the page. All data is in the JSON element before this script; nothing is loaded.
const data = JSON.parse(document.getElementById("data").textContent);
const graph = data.graph;
const byId = (id) => document.getElementById(id);

function el(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

// Copying
function say(text) {
  byId("said").textContent = text;
  setTimeout(() => { if (byId("said").textContent === text) byId("said").textContent = ""; }, 2500);
}
async function copy(text, from) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Fallback without clipboard access: select and copy, inside the open dialog because it owns the focus.
    const field = el("textarea", { "aria-hidden": "true", style: "position:fixed;top:0;opacity:0" }, text);
    (from.closest("dialog") || document.body).append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
    from.focus();
  }
  say(text.length > 50 ? `Copied ${text.slice(0, 40)}…` : `Copied ${text}`);
}
const hash = (digest) => digest
  ? el("button", { type: "button", class: "hash", "data-hash": digest, title: digest, "aria-label": `Copy ${digest.slice(0, 12)}… in full` }, digest.slice(0, 12))
  : el("span", {}, "no fixed hash: measured again in every run");
const command = (...paths) => {
  const text = `python -m workflow_scripts.tools.audit ${[...new Set(paths)].join(" ")}`;
  return el("p", { class: "command" }, el("code", {}, text), el("button", { type: "button", "data-copy": text }, "Copy"));
};
const number = (value) => value === null || value === undefined ? "–" : String(value).replace("-", "\u2212");
const counted = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
const percent = (value) => value === null ? "–" : `${value < 0 ? "\u2212" : "+"}${(100 * Math.abs(value)).toFixed(1)} %`;

// Lookups
function row(place) {
  const values = data.rows[place], found = { place };
  data.columns.forEach((name, index) => { found[name] = name === "maker" ? values[index] : data.values[values[index]]; });
  return found;
}
const label = (arm) => data.labels[arm] || arm;
const metric = (name) => data.metrics[name] || name;
const words = (name) => name.replaceAll("_", " ");
function stepName(step) {
  const { arm, ...rest } = step.wildcards;
  const parts = Object.entries(rest).map(([key, value]) => (key === "seed" || key === "step" ? `${key} ${Number(value)}` : key === "nfe" ? `NFE ${Number(value)}` : value));
  const what = step.rule && step.rule !== step.entry && !arm && !parts.length ? step.rule : step.entry;
  return [words(what), [arm ? label(arm) : null, ...parts].filter(Boolean).join(", ")].filter(Boolean).join(": ");
}
function upstream(starts) {
  const seen = new Set(starts), waiting = [...starts];
  while (waiting.length) {
    for (const input of graph.steps[waiting.pop()].inputs) {
      if (input[4] !== null && !seen.has(input[4])) { seen.add(input[4]); waiting.push(input[4]); }
    }
  }
  return [...seen].sort((a, b) => b - a);
}

// Steps
function files(items, isInput) {
  return el("ul", { class: "paths" }, items.map((item) => el("li", {},
    el("code", {}, item[1]), " ", hash(item[2]),
    isInput && item[4] !== null ? [" from ", el("button", { type: "button", class: "n", "data-from": `s:${item[4]}` }, stepName(graph.steps[item[4]]))] : null,
    isInput && !item[5] ? el("span", { class: "broken" }, " (the manifest of the step that made it is missing or has changed)") : null)));
}
function settingText(value) { return typeof value === "object" && value !== null ? JSON.stringify(value, null, 1) : String(value); }
function stepBody(step) {
  const source = graph.sources[step.source], packages = graph.packages[step.packages];
  const modules = Array.isArray(source.files) ? source.files : Object.keys(source.files);
  const versions = Object.entries(packages.versions || {});
  return [
    el("dl", { class: "facts-of" },
      el("dt", {}, "Rule"), el("dd", {}, step.rule || "none"),
      el("dt", {}, "Lineage"), el("dd", {}, hash(step.sha256)),
      el("dt", {}, "Code"), el("dd", {}, hash(source.digest)),
      el("dt", {}, "Packages"), el("dd", {}, packages.digest ? hash(packages.digest) : "none")),
    el("details", {}, el("summary", {}, "Settings"), el("pre", { tabindex: 0, role: "group", "aria-label": "Settings" },
      Object.entries(step.settings).map(([key, place]) => `${key}: ${settingText(graph.settings[place])}\n`).join("") || "none")),
    el("details", {}, el("summary", {}, `Code: ${counted(modules.length, "file")}`), el("ul", { class: "paths" }, modules.map((name) => el("li", {}, el("code", {}, name))))),
    el("details", {}, el("summary", {}, counted(versions.length, "package")), el("p", {}, versions.map(([name, version]) => `${name} ${version}`).join(", "))),
    el("details", { open: step.inputs.length < 9 }, el("summary", {}, counted(step.inputs.length, "input")), files(step.inputs, true)),
    el("details", { open: step.outputs.length < 9 }, el("summary", {}, counted(step.outputs.length, "output")), files(step.outputs, false)),
    step.outputs.length ? command(step.outputs[0][1]) : null,
  ];
}
function stepDetails(place, open) {
  const step = graph.steps[place], node = el("details", { class: "step" }, el("summary", {}, stepName(step)));
  const fill = () => { if (node.open && node.childElementCount === 1) node.append(...stepBody(step).filter(Boolean)); };
  node.addEventListener("toggle", fill);
  if (open) { node.open = true; fill(); }
  return node;
}
function stepList(places) {
  const groups = new Map();
  for (const place of places) {
    const entry = graph.steps[place].entry;
    if (!groups.has(entry)) groups.set(entry, []);
    groups.get(entry).push(place);
  }
  return [...groups].map(([entry, members]) => {
    if (members.length === 1) return stepDetails(members[0]);
    const node = el("details", { class: "step" }, el("summary", {}, `${words(entry)}: ${members.length} steps`));
    node.addEventListener("toggle", () => { if (node.open && node.childElementCount === 1) node.append(...members.map((member) => stepDetails(member))); });
    return node;
  });
}
function chain(starts) {
  const known = starts.filter((start) => start !== null && start !== undefined);
  if (!known.length) return [el("h3", {}, "Steps"), el("p", { class: "note" }, "The step that made this left no manifest, so its lineage ends here.")];
  return [el("h3", {}, "Made by, nearest first"), ...stepList(upstream(known))];
}

// Lineage of a number, hypothesis, figure, setting or stage
const FIELDS = [["step", "Training step"], ["sampler", "Sampler"], ["eta", "η"], ["nfe", "NFE"], ["num_samples", "Samples"], ["objective", "Objective"],
  ["num_probes", "Probes"], ["weights", "Weights"], ["extractor", "Extractor"], ["extractor_sha256", "Extractor's hash"],
  ["reference_sha256", "Reference's hash"], ["probe_sha256", "Probe set's hash"]];
function shown(name, value) {
  if (name.endsWith("_sha256")) return hash(value);
  return name === "weights" && value === "ema" ? "averaged (EMA)" : number(value);
}
function aboutRows(places) {
  const items = places.map(row), first = items[0];
  const common = FIELDS.filter(([name]) => items.every((item) => item[name] === first[name]) && first[name] !== null);
  const table = el("table", {},
    el("thead", {}, el("tr", {}, ["Arm", "Seed", "Value", "95 % interval", "Std. error", "Checkpoint"].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, items.map((item) => el("tr", {}, el("th", { scope: "row" }, label(item.arm)), el("td", {}, String(item.seed)), el("td", {}, number(item.value)),
      el("td", {}, item.interval_low === null ? "–" : `${number(item.interval_low)} to ${number(item.interval_high)}`), el("td", {}, number(item.stderr)), el("td", {}, hash(item.checkpoint_sha256))))));
  return {
    title: `${metric(first.metric)}: ${items.length === 1 ? `${label(first.arm)}, seed ${first.seed}` : `${items.length} result rows`}`,
    parts: [
      el("p", {}, items.length === 1 ? "One line of results.jsonl, unrounded:" : "Computed from these lines of results.jsonl, unrounded:"),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Result rows" }, table),
      el("h3", {}, "What was measured"),
      el("dl", { class: "facts-of" }, common.flatMap(([name, title]) => [el("dt", {}, title), el("dd", {}, shown(name, first[name]))])),
      el("h3", {}, "Verify"), command(...items.map((item) => item.file)),
      ...chain(items.map((item) => item.maker)),
    ],
  };
}
function aboutHypotheses(ids) {
  const parts = ids.flatMap((id) => {
    const item = data.hypotheses[id];
    const written = item.estimand === "ratio" ? percent : number;
    const interval = item.interval ? `${written(item.interval[0])} to ${written(item.interval[1])} (${Number((100 * item.confidence).toPrecision(4))} %)` : "–";
    const facts = [["Statement", item.statement], ["Role", item.role], ...[["Arm", item.arm], ["Comparator", item.comparator]].filter(([, arm]) => arm !== null).map(([name, arm]) => [name, label(arm)]), ["Metric", item.metric],
      ["Locked claim", item.threshold], ["Estimate", written(item.change)], ["Interval", interval], ["Outcome", item.outcome]];
    const cell = (place) => el("td", {}, place === null ? "–" : el("button", { type: "button", class: "n", "data-from": `r:${place}` }, number(row(place).value)));
    const seeds = el("table", {},
      el("thead", {}, el("tr", {}, ["Seed", "Arm", "Comparator", "Estimate"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, item.seeds.map(([seed, arm, comparator, change]) => el("tr", {}, el("th", { scope: "row" }, String(seed)), cell(arm), cell(comparator), el("td", {}, written(change))))));
    return [el("h3", {}, id), el("dl", { class: "facts-of" }, facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])), el("p", {}, item.reason),
      item.seeds.length ? el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": `Seeds of ${id}` }, seeds) : null];
  });
  return { title: `Verdict on ${ids.join(", ")}`, parts: [...parts, el("h3", {}, "Verify"), command(data.verdict.path), ...chain([data.verdict.maker])] };
}
function aboutFigure(name) {
  const figure = data.figures[name];
  return { title: `Figure: ${figure.title}`, parts: [el("h3", {}, "Verify"), command(figure.path), ...chain([figure.maker])] };
}
function aboutSteps(places) {
  const title = places.length > 1 ? `${words(graph.steps[places[0]].entry)}: ${places.length} steps` : stepName(graph.steps[places[0]]);
  return { title, parts: [el("h3", {}, "Verify"), command(...madeFirst(places)), ...chain(places)] };
}
const stepsOf = (entry) => graph.steps.flatMap((step, place) => (step.entry === entry ? [place] : []));
const madeFirst = (places) => places.map((place) => graph.steps[place].outputs[0][1]);
function aboutStage(entry, cost) {
  const places = stepsOf(entry);
  const parts = cost
    ? [el("p", {}, "Time and memory are measured where each step runs and collected from the manifests of these steps. They differ between machines and runs, and no result depends on them."),
      el("h3", {}, "Verify"), command(data.costs.path), el("h3", {}, "The measured steps")]
    : [el("h3", {}, "Verify"), command(...madeFirst(places)), el("h3", {}, "The steps")];
  return { title: `${cost ? "Cost of " : ""}${words(entry)}: ${counted(places.length, "step")}`, parts: [...parts, ...places.map((place) => stepDetails(place))] };
}
// The steps that have this value among their settings; for arms and seeds, the training runs.
function ranWith(arm, name, value) {
  if (name === "arms" || name === "seeds") return stepsOf("train_model");
  const [section, ...inner] = name.split("."), text = JSON.stringify(value);
  return graph.steps.flatMap((step, place) => {
    const held = inner.reduce((found, key) => (found === null || found === undefined ? found : found[key]), graph.settings[step.settings[section]]);
    return JSON.stringify(held) === text && (!arm || step.wildcards.arm === arm) ? [place] : [];
  });
}
function aboutSetting(key) {
  const [name, arm] = key.split("/").reverse(), [value, file] = data.settings[key], places = ranWith(arm, name, value);
  const locked = data.gate.locked === data.preset
    ? ["The preregistration's lock contains this setting: "] : [`This is a ${data.gate.kind}; the preregistration's lock contains the settings of the preset ${data.gate.locked}: `];
  const facts = [["Value", el("code", {}, settingText(value))], ["File", el("code", {}, file)], ...(arm ? [["Arm", label(arm)]] : [])];
  return { title: `Setting: ${name}`, parts: [
    el("dl", { class: "facts-of" }, facts.flatMap(([title, shown]) => [el("dt", {}, title), el("dd", {}, shown)])),
    el("p", {}, locked, el("code", {}, data.gate.lock), "."),
    el("h3", {}, "Verify"), command(data.gate.path),
    el("h3", {}, "Steps that ran with it"), ...(places.length ? stepList(places) : [el("p", { class: "note" }, "No known step has it among its own settings.")]),
  ] };
}
function about(key) {
  const kind = key[0], name = key.slice(2), names = name.split(" ");
  if (kind === "r") return aboutRows(names.map(Number));
  if (kind === "h") return aboutHypotheses(names);
  if (kind === "c") return aboutSetting(name);
  if (kind === "e" || kind === "k") return aboutStage(name, kind === "k");
  return kind === "f" ? aboutFigure(name) : aboutSteps(names.map(Number));
}
function openPanel(key) {
  const { title, parts } = about(key), panel = byId("panel");
  byId("panel-title").textContent = title;
  panel.querySelector(".body").replaceChildren(...parts.filter(Boolean));
  panel.querySelector(".body").scrollTop = 0;
  if (!panel.open) panel.showModal();
}

// Tables: sorting and CSV
const collator = new Intl.Collator("en", { numeric: true });
function sort(table, column, ascending) {
  const body = table.tBodies[0];
  const key = (line) => { const cell = line.cells[column]; return cell.dataset.value !== undefined ? Number(cell.dataset.value) : cell.textContent.trim(); };
  const rank = (value) => (value === "–" || value === "" ? 2 : typeof value === "number" ? 0 : 1);
  const lines = [...body.rows].map((line) => [key(line), line]);
  lines.sort(([a], [b]) => rank(a) - rank(b) || (rank(a) === 2 ? 0 : (typeof a === "number" ? a - b : collator.compare(a, b)) * (ascending ? 1 : -1)));
  body.append(...lines.map(([, line]) => line));
  [...table.tHead.rows[0].cells].forEach((head, place) => head.setAttribute("aria-sort", place === column ? (ascending ? "ascending" : "descending") : "none"));
}
function csv(table) {
  const text = (cell) => cell.dataset.csv || cell.textContent.trim().replace(/\s+/g, " ");
  const quote = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return [...table.rows].map((line) => [...line.cells].map((cell) => quote(text(cell))).join(",")).join("\n") + "\n";
}
for (const table of document.querySelectorAll("table[data-csv]")) {
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = el("button", { type: "button", onclick: () => sort(table, column, head.getAttribute("aria-sort") !== "ascending") }, ...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
  });
  const name = `${table.dataset.csv}.csv`;
  const save = el("button", { type: "button", "aria-label": `Download the table as ${name}`, onclick: () => {
    const url = URL.createObjectURL(new Blob([csv(table)], { type: "text/csv" }));
    el("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  } }, "Download CSV");
  table.closest(".table").append(el("p", { class: "tools" }, save));
}

// Enlarging
function zoom(name) {
  byId("zoom-title").textContent = data.figures[name].title;
  byId("zoom").querySelector(".body").replaceChildren(byId(`figure-${name}`).querySelector("img").cloneNode());
  byId("zoom").showModal();
}

// The graph: each box holds the steps of one kind and arm, from data on the left to this report on the right
const WIDTH = 168, HEIGHT = 48, GAP_X = 64, GAP_Y = 14;
let haystacks = null, edges = [];
const left = (box) => box.column * (WIDTH + GAP_X), top_ = (box) => box.row * (HEIGHT + GAP_Y);
function showSteps(title, places) {
  const limit = 60, more = places.length - limit;
  byId("graph").querySelector(".side").replaceChildren(el("h3", {}, title), ...places.slice(0, limit).map((place) => stepDetails(place, places.length === 1)),
    ...(more > 0 ? [el("p", { class: "note" }, `and ${more} more; narrow the search`)] : []));
}
function choose(place) {
  const box = graph.boxes[place];
  byId("graph").querySelector(".split").classList.remove("wide");
  edges.forEach(([from, to, path]) => path.classList.toggle("on", from === place || to === place));
  byId("graph").querySelectorAll(".plane button").forEach((button, index) => button.setAttribute("aria-pressed", index === place));
  showSteps(`${words(box.entry)}${box.arm ? `: ${label(box.arm)}` : ""}`, box.steps);
}
function drawGraph() {
  const plane = byId("graph").querySelector(".plane");
  if (plane.childElementCount) return;
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("aria-hidden", "true");
  const draw = (x1, y1, x2, y2) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path"), middle = Math.max((x2 - x1) / 2, 24);
    path.setAttribute("d", `M${x1} ${y1}C${x1 + Math.min(middle, 60)} ${y1} ${x2 - Math.min(middle, 60)} ${y2} ${x2} ${y2}`);
    svg.append(path);
    return path;
  };
  edges = graph.edges.map(([from, to]) => {
    const a = graph.boxes[from], b = graph.boxes[to];
    const path = draw(left(a) + WIDTH, top_(a) + HEIGHT / 2, left(b), top_(b) + HEIGHT / 2);
    path.classList.toggle("far", b.column - a.column > 1);
    return [from, to, path];
  });
  plane.append(svg, ...graph.boxes.map((box, place) => {
    const count = box.steps.length > 1 ? ` × ${box.steps.length}` : "";
    const button = el("button", { type: "button", "aria-pressed": "false", title: `${words(box.entry)}${box.arm ? `: ${label(box.arm)}` : ""}${count}`, onclick: () => choose(place) },
      el("span", {}, words(box.entry) + count), el("span", { class: "arm" }, box.arm ? label(box.arm) : ""));
    button.style.left = `${left(box)}px`;
    button.style.top = `${top_(box)}px`;
    return button;
  }));
  const extent = (measure) => Math.max(0, ...graph.boxes.map(measure));
  plane.style.width = `${extent(left) + WIDTH}px`;
  plane.style.height = `${extent(top_) + HEIGHT}px`;
}
function search(query) {
  haystacks = haystacks || graph.steps.map((step) => [step.rule, step.entry, stepName(step), step.sha256, graph.sources[step.source].digest,
    ...Object.values(step.wildcards), ...[...step.inputs, ...step.outputs].flatMap((file) => [file[1], file[2]]),
    ...Object.entries(step.settings).map(([key, place]) => `${key} ${JSON.stringify(graph.settings[place])}`)].join(" ").toLowerCase());
  const wanted = query.toLowerCase().split(/\s+/).filter(Boolean);
  const hits = wanted.length ? haystacks.flatMap((text, place) => (wanted.every((word) => text.includes(word)) ? [place] : [])) : [];
  const boxes = new Set(hits.map((place) => graph.steps[place].box));
  byId("graph").querySelector(".plane").classList.toggle("searching", wanted.length > 0);
  byId("graph").querySelectorAll(".plane button").forEach((button, place) => button.classList.toggle("hit", boxes.has(place)));
  byId("found").textContent = wanted.length ? `${hits.length} of ${graph.steps.length} steps` : "";
  byId("graph").querySelector(".split").classList.toggle("wide", !wanted.length && graph.steps.length > 0);
  if (wanted.length) showSteps(`Steps that match “${query.trim()}”`, hits);
  else if (!graph.steps.length) showSteps("No step manifests were found when this page was built", []);
}
function openGraph() {
  drawGraph();
  search(byId("search").value);
  byId("graph").showModal();
}
byId("search").addEventListener("input", (event) => search(event.target.value));

// One listener for all buttons
document.addEventListener("click", (event) => {
  const target = event.target.closest("button");
  if (event.target.localName === "dialog") event.target.close();
  if (!target) return;
  if (target.dataset.from) openPanel(target.dataset.from);
  else if (target.dataset.hash) copy(target.dataset.hash, target);
  else if (target.dataset.copy) copy(target.dataset.copy, target);
  else if (target.dataset.zoom) zoom(target.dataset.zoom);
  else if ("graph" in target.dataset) openGraph();
  else if ("close" in target.dataset) target.closest("dialog").close();
});

// Light and dark: the system's choice until the reader makes one
const system = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme || (system.matches ? "dark" : "light")) === "dark";
const nameTheme = () => { byId("theme").textContent = isDark() ? "Light" : "Dark"; };
byId("theme").addEventListener("click", () => { document.documentElement.dataset.theme = isDark() ? "light" : "dark"; nameTheme(); });
system.addEventListener("change", nameTheme);
nameTheme();

// Mark the current section in the contents
const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.getAttribute("href").slice(1), link]));
const visible = new Set();
const watcher = new IntersectionObserver((entries) => {
  entries.forEach((entry) => (entry.isIntersecting ? visible.add(entry.target.id) : visible.delete(entry.target.id)));
  const current = [...links.keys()].find((id) => visible.has(id));
  links.forEach((link, id) => (id === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current")));
}, { rootMargin: "-10% 0px -60% 0px" });
document.querySelectorAll("main > section").forEach((section) => watcher.observe(section));

// Print what is folded
let opened = [];
addEventListener("beforeprint", () => { opened = [...document.querySelectorAll("main details:not([open])")]; opened.forEach((node) => { node.open = true; }); });
addEventListener("afterprint", () => { opened.forEach((node) => { node.open = false; }); });
