"use strict";
(() => {
  const PAGE = 50; // jobs shown at once: the page stays light however many there are
  const STATES = ["done", "failed", "running", "waiting"];
  const $ = (id) => document.getElementById(id);
  const { jobs, pictures } = JSON.parse($("data").textContent);
  const form = $("filters");
  const fields = form.elements;
  let found = [];
  let page = 0;

  const number = (value) =>
    value && Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));

  const element = (name, text, into) => {
    const made = document.createElement(name);
    made.textContent = text;
    into.append(made);
    return made;
  };

  const clone = (id) => $(id).content.firstElementChild.cloneNode(true);

  // What is searched, and the order by name, are settled once.
  const collator = new Intl.Collator(undefined, { numeric: true });
  jobs.sort((a, b) => collator.compare(a.key, b.key));
  for (const job of jobs) {
    const names = [job.content, ...job.styles.map(([index]) => index)].map((i) => pictures[i].name);
    const words = [job.key, ...names, ...(job.overrides ?? []), job.error ?? ""];
    job.text = words.join("\n").toLowerCase();
  }

  function fillFilters() {
    const states = new Map();
    const styles = new Map();
    const count = (map, key) => map.set(key, (map.get(key) ?? 0) + 1);
    for (const job of jobs) {
      count(states, job.state);
      new Set(job.styles.map(([index]) => index)).forEach((index) => count(styles, index));
    }
    for (const state of STATES.filter((state) => states.has(state))) {
      element("option", `${state} (${states.get(state)})`, fields.state).value = state;
    }
    const names = new Map();
    for (const index of styles.keys()) count(names, pictures[index].name);
    const byName = [...styles.keys()].sort((a, b) =>
      collator.compare(pictures[a].name, pictures[b].name));
    for (const index of byName) {
      const { name, url } = pictures[index];
      const text = names.get(name) > 1 ? url : name;
      element("option", `${text} (${styles.get(index)})`, fields.style).value = url;
    }
  }

  // Jobs without a number come last, whichever the direction.
  const byNumber = (field, sign) => (a, b) => {
    const [x, y] = [a[field], b[field]];
    if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
    return sign * (x - y);
  };

  function search() {
    const words = fields.q.value.toLowerCase().split(/\s+/).filter(Boolean);
    const [state, style, sort] = [fields.state.value, fields.style.value, fields.sort.value];
    found = jobs.filter((job) =>
      (!state || job.state === state) &&
      (!style || job.styles.some(([index]) => pictures[index].url === style)) &&
      words.every((word) => job.text.includes(word)));
    if (sort) found.sort(byNumber(sort, fields.down.checked ? -1 : 1));
    else if (fields.down.checked) found.reverse();
  }

  function box(picture, words, open) {
    const figure = clone("picture");
    const into = figure.querySelector(".box");
    figure.querySelector("figcaption").textContent = words;
    const missing = (why) => { into.textContent = ""; element("p", why, into); };
    if (!picture.thumb) {
      missing(picture.problem);
      return figure;
    }
    const link = element("a", "", into);
    link.href = picture.url;
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      open();
    });
    const image = element("img", "", link);
    image.loading = "lazy";
    image.decoding = "async";
    image.alt = words;
    image.addEventListener("error", () => missing("the thumbnail is missing"));
    image.src = `.gallery/${picture.thumb}.jpg`;
    return figure;
  }

  // The pictures of a job in the order shown: words, picture, and the column it stands in.
  function parts(job) {
    const total = job.styles.reduce((sum, [, weight]) => sum + weight, 0);
    const share = (weight) =>
      job.styles.length > 1 ? `, ${Math.round((100 * weight) / total)}\u00a0%` : "";
    const list = [["content", `content: ${pictures[job.content].name}`, pictures[job.content]]];
    for (const [index, weight] of job.styles) {
      const { name } = pictures[index];
      list.push(["style", `style: ${name}${share(weight)}`, pictures[index]]);
    }
    const result = job.result === undefined
      ? { problem: job.state === "failed" ? "failed" : "not made yet" }
      : pictures[job.result];
    list.push(["result", "result", result]);
    return list;
  }

  function row(job, at) {
    const item = clone("job");
    const get = (selector) => item.querySelector(selector);
    get("h2").textContent = job.key;
    const styles = document.createElement("div");
    styles.className = job.styles.length > 1 ? "styles several" : "styles";
    parts(job).forEach(([column, words, picture], spot) => {
      const figure = box(picture, words, () => view(at, spot));
      if (column === "style") styles.append(figure);
      else get(".pictures").append(figure);
    });
    get(".pictures").insertBefore(styles, get(".pictures").lastElementChild);
    get(".state").textContent = job.state;
    get(".state").dataset.state = job.state;
    get(".how").textContent = [
      job.time && `${job.state === "failed" ? "after" : "in"} ${job.time}`,
      job.attempts > 1 && `${job.attempts} attempts`,
      job.size && `${job.size[1]} × ${job.size[0]}`,
    ].filter(Boolean).join(", ");
    get(".error").textContent = job.error ?? "";
    get(".error").hidden = !job.error;
    fillCurve(get(".curve"), job);
    for (const [name, value] of Object.entries(job.losses ?? {})) {
      element("dt", name, get(".losses"));
      element("dd", number(value), get(".losses"));
    }
    for (const text of job.overrides ?? []) element("li", text, get(".overrides"));
    get(".overrides").hidden = !job.overrides;
    return item;
  }

  function fillCurve(figure, job) {
    figure.hidden = !job.curve;
    if (!job.curve) return;
    const [first, last, steps] = job.span;
    const words = `loss ${number(first)} → ${number(last)} in ${steps} steps`;
    figure.querySelector("polyline").setAttribute("points", job.curve);
    figure.querySelector("svg").setAttribute("aria-label", words);
    figure.querySelector("figcaption").textContent = words;
  }

  const shown = () => found.slice(page * PAGE, (page + 1) * PAGE);

  function show() {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    $("jobs").replaceChildren(...shown().map(row));
    $("jobs").start = page * PAGE + 1;
    $("found").textContent = `${found.length} of ${jobs.length} jobs`;
    $("page").textContent = found.length ? `page ${page + 1} of ${pages}` : "nothing fits";
    $("previous").disabled = page === 0;
    $("next").disabled = page === pages - 1;
  }

  // The choice is kept in the address, so that it can be sent to others and survives a reload.
  function readAddress() {
    const given = new URLSearchParams(location.hash.slice(1));
    for (const name of ["q", "state", "style", "sort"]) {
      fields[name].value = given.get(name) ?? "";
      if (fields[name].selectedIndex === -1) fields[name].value = "";
    }
    fields.down.checked = given.get("down") === "1";
    page = (Number.parseInt(given.get("page") ?? "1", 10) || 1) - 1;
    search();
    show();
  }

  function writeAddress() {
    const chosen = new URLSearchParams();
    for (const name of ["q", "state", "style", "sort"]) {
      if (fields[name].value) chosen.set(name, fields[name].value);
    }
    if (fields.down.checked) chosen.set("down", "1");
    if (page) chosen.set("page", String(page + 1));
    history.replaceState(null, "", `#${chosen}`);
  }

  function turn(by) {
    page += by;
    show();
    writeAddress();
    form.scrollIntoView();
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    page = 0;
    search();
    show();
    writeAddress();
  });
  $("previous").addEventListener("click", () => turn(-1));
  $("next").addEventListener("click", () => turn(1));
  addEventListener("hashchange", readAddress);

  const viewer = $("viewer");
  const full = viewer.querySelector("img");
  const moves = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  let at = [0, 0]; // which job of the page, and which of its pictures

  function view(job, spot) {
    at = [job, spot];
    const [, words, picture] = parts(shown()[job])[spot];
    $("caption").textContent = `${shown()[job].key} — ${words}`;
    $("note").textContent = "";
    full.alt = words;
    full.src = picture.url;
    viewer.querySelector("a").href = picture.url;
    if (!viewer.open) viewer.showModal();
  }

  // Sideways through the pictures of a job; up and down to the same column of its neighbours.
  function go([jobsBy, spotsBy]) {
    const rows = shown();
    let [job, spot] = at;
    for (;;) {
      const column = parts(rows[job])[spot][0];
      job += jobsBy;
      spot += spotsBy;
      if (!rows[job]) return;
      const list = parts(rows[job]);
      if (jobsBy) spot = list.findIndex(([other]) => other === column);
      if (!list[spot]) return;
      if (list[spot][2].thumb) return view(job, spot);
    }
  }

  full.addEventListener("error", () => {
    const { thumb } = parts(shown()[at[0]])[at[1]][2];
    const small = `.gallery/${thumb}.jpg`;
    if (full.getAttribute("src") === small) return;
    $("note").textContent = "This browser cannot show the file itself; this is its thumbnail.";
    full.src = small;
  });
  viewer.addEventListener("keydown", (event) => {
    if (!moves[event.key]) return;
    event.preventDefault();
    go(moves[event.key]);
  });
  viewer.addEventListener("click", (event) => {
    const move = event.target.dataset.go;
    if (move) go(moves[move]);
    else if (event.target === $("close") || event.target === viewer) viewer.close();
  });

  fillFilters();
  readAddress();
})();
