"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const { layers, here, units, photos, bins } = JSON.parse($("data").textContent);
  const fields = $("filters").elements;
  const RESULTS = 100; // of a search through all layers: more than that are not looked through
  const SVG = "http://www.w3.org/2000/svg";

  const number = (value) =>
    value && Math.abs(value) < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));

  const element = (name, into, text = "") => {
    const made = document.createElement(name);
    made.textContent = text;
    into.append(made);
    return made;
  };

  // Dark or light: as the system has it, until a person decides; some browsers keep nothing here.
  const THEME = "styler-theme"; // which the page's head reads
  const root = document.documentElement;
  const isDark = () => (root.style.colorScheme || (
    matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  function turn() {
    root.style.colorScheme = isDark() ? "light" : "dark";
    try { localStorage.setItem(THEME, root.style.colorScheme); } catch { /* for this page alone */ }
  }

  // A number means the unit of that number; any other word is looked for in names and labels.
  const finder = (query) => {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    return (name, unit) => words.every((word) =>
      /^\d+$/.test(word) ? Number(word) === unit : name.includes(word));
  };

  const target = () => {
    try { return decodeURIComponent(location.hash.slice(1)); } catch { return ""; }
  };

  const go = (by) => {
    const at = layers[here === null ? (by > 0 ? 0 : layers.length - 1) : here + by];
    location.href = at ? at.page : "index.html";
  };

  // What is current moves through the things shown; `step` is +1 or -1, `row` whether by rows.
  let current = null;
  let items = () => [];
  let chosen = () => {};
  function choose(item) {
    current?.classList.remove("current");
    current = item;
    item.classList.add("current");
    (item.querySelector("[data-first]") ?? item).focus({ preventScroll: true });
    item.scrollIntoView({ block: "nearest" });
    chosen(item);
  }

  function across(items) {
    const top = items[0]?.offsetTop;
    const found = items.findIndex((item) => item.offsetTop !== top);
    return found === -1 ? items.length : found;
  }

  function move(items, step, byRow) {
    if (!items.length) return;
    const at = items.indexOf(current);
    const to = at === -1 ? 0 : at + step * (byRow ? across(items) : 1);
    if (items[to]) choose(items[to]);
  }

  const STEPS = {
    j: [1, false], k: [-1, false], ArrowRight: [1, false], ArrowLeft: [-1, false],
    ArrowDown: [1, true], ArrowUp: [-1, true],
  };

  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    const typing = event.target.matches?.("input:not([type=checkbox]), select");
    if (event.key === "Escape") {
      hide();
      if (typing) event.target.blur();
    }
    if (typing) return;
    const acts = {
      "/": () => { fields.q.focus(); fields.q.select(); },
      "[": () => go(-1),
      "]": () => go(1),
      "?": () => $("help").showModal(),
      d: turn,
      Home: () => { location.href = "index.html"; },
    };
    const act = STEPS[event.key] ? () => move(items(), ...STEPS[event.key]) : acts[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  $("theme").addEventListener("click", turn);
  $("keys").addEventListener("click", () => $("help").showModal());
  $("filters").addEventListener("submit", (event) => event.preventDefault());

  // The photograph of a patch, with its box: beside the patch, or at the foot of a small screen.
  const peek = $("peek");
  let shown = null;
  function hide() {
    peek.hidden = true;
    shown?.classList.remove("shown");
    shown = null;
  }

  function show(cell, unit, [photo, value, top, left, height, width, clipped]) {
    hide();
    shown = cell;
    cell.classList.add("shown");
    const { name, thumb, size: [high, wide] } = photos[photo];
    const image = peek.querySelector("img");
    image.src = thumb;
    image.alt = name;
    const frame = peek.querySelector(".frame").style;
    [frame.top, frame.left] = [`${top}%`, `${left}%`];
    [frame.height, frame.width] = [`${height}%`, `${width}%`];
    const most = Math.min(20.5 * 16, innerWidth - 40);
    const scale = Math.min(most / wide, (innerHeight * 0.45) / high);
    const photoBox = peek.querySelector(".photo").style;
    [photoBox.width, photoBox.height] = [`${wide * scale}px`, `${high * scale}px`];
    peek.querySelector("p").textContent =
      `${number(value)} in ${name}${clipped ? ", at the border, where padding was seen" : ""}`;
    peek.hidden = false;
    const from = cell.closest(".window").getBoundingClientRect();
    const own = peek.getBoundingClientRect();
    const right = from.right + 12;
    const x = right + own.width < innerWidth ? right : Math.max(8, from.left - own.width - 12);
    const y = Math.min(Math.max(8, from.top), innerHeight - own.height - 8);
    [peek.style.left, peek.style.top] = [`${x}px`, `${Math.max(8, y)}px`];
  }

  function cells(unit, grid) {
    const [rows, columns] = [Number(grid.dataset.rows), Number(grid.dataset.columns)];
    unit.patches.forEach((patch, at) => {
      const cell = element("button", grid);
      cell.type = "button";
      cell.className = "cell";
      const [row, column] = [Math.floor(at / columns), at % columns];
      Object.assign(cell.style, {
        left: `${(100 * column) / columns}%`, top: `${(100 * row) / rows}%`,
        width: `${100 / columns}%`, height: `${100 / rows}%`,
      });
      cell.setAttribute("aria-label",
        `Patch ${at + 1}: ${number(patch[1])} in ${photos[patch[0]].name}`);
      cell.addEventListener("pointerenter", (event) => {
        if (event.pointerType === "mouse") show(cell, unit, patch);
      });
      cell.addEventListener("pointerleave", (event) => {
        if (event.pointerType === "mouse" && shown === cell) hide();
      });
      cell.addEventListener("focus", () => {
        if (cell.matches(":focus-visible")) show(cell, unit, patch);
      });
      cell.addEventListener("blur", () => { if (shown === cell) hide(); });
      cell.addEventListener("click", () => show(cell, unit, patch));
    });
  }

  // Heights are logarithmic: most places are hardly active, and the few that are matter.
  function spread(unit, figure) {
    const most = Math.log1p(Math.max(...unit.spread));
    if (!most) return;
    const svg = document.createElementNS(SVG, "svg");
    const path = document.createElementNS(SVG, "path");
    const count = unit.spread.length;
    svg.setAttribute("viewBox", `0 0 ${count} 100`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("role", "img");
    const ends = `from ${number(bins[0])} to ${number(bins.at(-1))}`;
    svg.setAttribute("aria-label", `Histogram of activations ${ends}`);
    path.setAttribute("d", unit.spread.map((value, at) => {
      const tall = (96 * Math.log1p(value)) / most;
      return value ? `M${at + 0.08} 100V${(100 - tall).toFixed(1)}h.84V100z` : "";
    }).join(""));
    svg.append(path);
    figure.prepend(svg);
    const words = figure.querySelector("figcaption");
    words.replaceChildren();
    element("span", words, number(bins[0]));
    element("span", words, "activations");
    element("span", words, number(bins.at(-1)));
  }

  function layerPage() {
    const places = new Map(units.map((unit) => [unit.id, unit]));
    for (const unit of units) {
      unit.node = $(unit.id);
      unit.text = unit.id.toLowerCase() + "\n" + (unit.label ?? "").toLowerCase();
    }

    // What a unit's card needs beyond its pictures is made when it comes near the screen.
    const seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target: node } of entries) {
        if (!isIntersecting) continue;
        seen.unobserve(node);
        const unit = places.get(node.id);
        const grid = node.querySelector(".real .window");
        if (grid) cells(unit, grid);
        if (unit.spread) spread(unit, node.querySelector(".spread"));
      }
    }, { rootMargin: "600px" });
    units.forEach((unit) => seen.observe(unit.node));

    const counts = new Map();
    units.forEach(({ state }) => counts.set(state, (counts.get(state) ?? 0) + 1));
    for (const state of ["active", "silent", "dead"].filter((name) => counts.has(name))) {
      element("option", fields.state, `${state} (${counts.get(state)})`).value = state;
    }

    // Units without a number come last, whichever the direction.
    const order = (name, sign) => (a, b) => {
      const [x, y] = [a[name], b[name]];
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
      return sign * (x - y) || a.unit - b.unit;
    };

    function filter() {
      const fits = finder(fields.q.value);
      const state = fields.state.value;
      let count = 0;
      for (const unit of units) {
        const wanted = (!state || unit.state === state) && fits(unit.text, unit.unit);
        unit.node.hidden = !wanted;
        count += wanted;
      }
      $("found").textContent = `${count} of ${units.length} units`;
      $("none").hidden = count > 0;
      hide();
    }

    function sort() {
      const sorted = [...units].sort(order(fields.sort.value, fields.down.checked ? -1 : 1));
      $("units").append(...sorted.map((unit) => unit.node));
    }

    function follow() {
      const unit = places.get(target());
      if (!unit) return;
      if (unit.node.hidden) {
        $("filters").reset();
        sort();
        filter();
      }
      current?.classList.remove("current");
      current = unit.node;
      current.classList.add("current");
      current.scrollIntoView({ block: "nearest" });
    }

    items = () => [...$("units").children].filter((node) => !node.hidden);
    chosen = (item) =>
      history.replaceState(null, "", `#${encodeURIComponent(item.id).replaceAll("%3A", ":")}`);
    $("filters").addEventListener("input", (event) => {
      if (event.target.name === "sort" || event.target.name === "down") sort();
      filter();
    });
    addEventListener("hashchange", follow);
    addEventListener("scroll", hide, { passive: true });
    document.addEventListener("click", (event) => {
      if (!event.target.closest?.(".cell")) hide();
    });
    sort();
    filter();
    follow();
  }

  function indexPage() {
    // An anchor of a unit leads on to the page of its layer.
    function follow() {
      const name = target();
      const found = layers.find(({ layer }) => name === layer || name.startsWith(`${layer}:`));
      if (found) location.replace(`${found.page}${name === found.layer ? "" : location.hash}`);
    }

    function search() {
      const query = fields.q.value.trim();
      const fits = finder(query);
      const found = [];
      for (const { layer, page, anchor, units: own } of query ? layers : []) {
        for (const [unit, label = ""] of own) {
          if (!fits(`${layer}:${unit}\n${label}`.toLowerCase(), unit)) continue;
          found.push([`${page}#${anchor}:${unit}`, `${layer}:${unit} ${label}`]);
        }
      }
      $("results").replaceChildren();
      for (const [address, words] of found.slice(0, RESULTS)) {
        element("a", element("li", $("results")), words).href = address;
      }
      $("results").hidden = !found.length;
      const more = found.length > RESULTS ? `, the first ${RESULTS} shown` : "";
      $("found").textContent = query ? `${found.length} units${more}` : "";
    }

    items = () => [...document.querySelectorAll(".page")];
    $("filters").addEventListener("input", search);
    fields.q.addEventListener("keydown", (event) => {
      const first = $("results").querySelector("a");
      if (event.key === "Enter" && first) location.href = first.href;
    });
    addEventListener("hashchange", follow);
    search();
    follow();
  }

  // Of many layers on a small screen, the open one is in sight.
  const open = document.querySelector("[aria-current]");
  const bar = open.parentElement;
  new ResizeObserver(() => {
    bar.scrollLeft = open.offsetLeft - bar.offsetLeft - (bar.clientWidth - open.clientWidth) / 2;
  }).observe(bar);
  if (here === null) indexPage();
  else layerPage();
})();
