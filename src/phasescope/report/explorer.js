"use strict";
// The explorer: any two axes of a grid, any quantity, a film over steps, and the curves of a cell.
// Plain script; Plotly draws. State lives in one object; "#cell-0-1-2" in the address opens diagram 0 at cell (1, 2).
(() => {
  const root = document.getElementById("explorer");
  const source = document.getElementById("explorer-data");
  if (!root || !source || !window.Plotly) return;
  const book = JSON.parse(source.textContent);
  const $ = (name) => root.querySelector(`[data-part="${name}"]`);
  const state = { diagram: 0, quantity: 0, x: 0, y: 1, cell: [], place: 0, level: null };
  let timer = null, near = false; // near: the curves are in view, or almost

  // -- numbers -------------------------------------------------------------------------------------------------------

  const bytes = (text) => {
    const raw = atob(text), found = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) found[i] = raw.charCodeAt(i); // a third of the time of Uint8Array.from
    return found;
  };
  const numbers = (q) => (q.decoded ??= whole(bytes(q.values)));
  const whole = (parts) => { // the first bytes of all numbers stand first, then the second, ...
    const count = parts.length / 4, found = new Uint8Array(parts.length);
    for (let part = 0; part < 4; part++) for (let i = 0; i < count; i++) found[4 * i + part] = parts[part * count + i];
    return new Float32Array(found.buffer);
  };
  const diagram = () => book.diagrams[state.diagram];
  const quantity = () => diagram().quantities[state.quantity];
  const places = (q) => (q.places ? q.places.length : 1);
  const index = (cell) => diagram().axes.reduce((at, axis, i) => at * axis.values.length + cell[i], 0);

  // the values of a cell's seeds at one place; a network that has left the batch keeps its last reading
  const seeds = (q, cell, place) => {
    const d = diagram(), all = numbers(q), count = places(q), found = [];
    for (let s = 0; s < d.seeds; s++) {
      const start = (index(cell) * d.seeds + s) * count;
      let at = place;
      if (q.along === "step") while (at > 0 && Number.isNaN(all[start + at])) at--;
      if (!Number.isNaN(all[start + at])) found.push(all[start + at]);
    }
    return found.sort((a, b) => a - b);
  };
  const middle = (sorted) => {
    const n = sorted.length;
    if (!n) return NaN;
    return n % 2 ? sorted[(n - 1) / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
  };
  const show = (v) => {
    if (v === undefined || Number.isNaN(v)) return "no value";
    if (!Number.isFinite(v)) return v > 0 ? "∞" : "−∞";
    const size = Math.abs(v);
    return size >= 1e5 || (size > 0 && size < 1e-3) ? v.toExponential(2) : String(Number(v.toPrecision(3)));
  };
  const say = (q, v) => (q.words.length && Number.isFinite(v) ? q.words[Math.round(v)] : show(v));
  const address = () => `#${["cell", state.diagram, ...state.cell].join("-")}`;
  const finite = (v) => (Number.isFinite(v) ? v : null);
  const plain = (words) => String(words).replaceAll("&", "&amp;").replaceAll("<", "&lt;"); // Plotly reads a few tags
  const label = (q) => (q.unit ? `${q.name} (${q.unit})` : q.name);

  // -- controls ------------------------------------------------------------------------------------------------------

  const options = (select, names, chosen) => {
    select.replaceChildren(...names.map((name, i) => new Option(name, String(i), false, i === chosen)));
    select.closest("label").hidden = names.length < 2;
  };
  const pick = (name, change) => {
    $(name).addEventListener("change", (event) => {
      change(Number(event.target.value));
      render();
    });
  };

  function open(which) {
    state.diagram = which;
    const d = diagram();
    const wide = d.axes.map((axis, i) => [axis.values.length, i]).filter(([n]) => n > 1).map(([, i]) => i);
    [state.x, state.y] = [wide.at(-1) ?? 0, wide.length > 1 ? wide.at(-2) : -1];
    state.cell = d.axes.map((axis) => Math.floor((axis.values.length - 1) / 2));
    choose(Math.max(0, d.quantities.findIndex((q) => q.name === "test accuracy")));
  }

  function choose(which) {
    state.quantity = which;
    state.place = places(quantity()) - 1;
    const [low, high] = range();
    state.level = low >= 0 && high <= 1 && low < 0.5 && high > 0.5 ? 0.5 : null; // of other scales no level is known
  }

  function controls() {
    const d = diagram(), q = quantity();
    options($("diagram"), book.diagrams.map((one) => one.title), state.diagram);
    options($("quantity"), d.quantities.map(label), state.quantity);
    const wide = d.axes.map((axis, i) => [axis.name, i]).filter(([, i]) => d.axes[i].values.length > 1);
    for (const [name, chosen] of [["x", state.x], ["y", state.y]]) {
      $(name).replaceChildren(...wide.map(([word, i]) => new Option(word, String(i), false, i === chosen)));
      $(name).closest("label").hidden = wide.length < 2 || (name === "y" && state.y < 0);
    }
    const others = d.axes.map((axis, i) => i).filter((i) => i !== state.x && i !== state.y && d.axes[i].values.length > 1);
    $("others").replaceChildren(...others.map((i) => {
      const box = document.createElement("label"), select = document.createElement("select");
      select.append(...d.axes[i].values.map((v, n) => new Option(v, String(n), false, n === state.cell[i])));
      select.addEventListener("change", () => { state.cell[i] = Number(select.value); render(); });
      box.append(`${d.axes[i].name} `, select);
      return box;
    }));
    const film = $("film");
    film.hidden = places(q) < 2;
    $("place").max = String(places(q) - 1);
    $("place").value = String(state.place);
    const told = q.places ? `${q.along} ${show(q.places[state.place])}` : "";
    $("place").setAttribute("aria-valuetext", told);
    $("told").textContent = told;
    $("play").textContent = timer ? "Pause" : "Play";
    $("note").textContent = d.note;
    $("level").value = state.level === null ? "" : show(state.level).replace("−", "-");
    $("level").closest("label").hidden = state.y < 0 || q.words.length > 0;
  }

  function play() {
    if (timer) {
      clearInterval(timer);
      timer = null;
      return render();
    }
    if (state.place >= places(quantity()) - 1) state.place = 0;
    timer = setInterval(() => {
      state.place += 1;
      if (state.place >= places(quantity()) - 1) {
        clearInterval(timer);
        timer = null;
      }
      render();
    }, 150);
  }

  // -- drawing -------------------------------------------------------------------------------------------------------

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const axis = (more) => ({
    color: colour("--soft"), gridcolor: colour("--line"), zerolinecolor: colour("--line"), linecolor: colour("--line"),
    fixedrange: true, ...more,
  });
  const layout = (more) => ({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 54, r: 12, t: 12, b: 58 },
    font: { family: "inherit", size: 12, color: colour("--ink") }, showlegend: false, ...more,
  });
  const config = { displayModeBar: false, responsive: true };
  // margins are measured only where labels are long: it takes as long as the drawing
  const named = (which) => {
    const values = diagram().axes[which].values, stride = Math.ceil(values.length / 14);
    const shown = values.map((v, i) => i).filter((i) => i % stride === 0);
    return axis({ title: { text: plain(diagram().axes[which].name) }, tickvals: shown, ticktext: shown.map((i) => plain(values[i])),
      showgrid: false, automargin: values.some((v) => v.length > 6) });
  };
  const at = (column, row) => {
    const cell = [...state.cell];
    cell[state.x] = column;
    if (state.y >= 0) cell[state.y] = row;
    return cell;
  };

  // smallest and largest finite value of the quantity over all cells and places: the colours do not move in a film
  function range() {
    const q = quantity();
    if (!q.range) {
      const sorted = Float32Array.from(numbers(q)).filter(Number.isFinite).sort();
      q.range = sorted.length ? [sorted[0], sorted[sorted.length - 1]] : [0, 1];
      // over many decades colours go by the logarithm, from the smallest number above 0 or a millionth of the largest
      const first = sorted.find((v) => v > 0), half = sorted[Math.floor(sorted.length / 2)], top = q.range[1];
      q.least = sorted.length && sorted[0] >= 0 && !q.words.length && top > 300 * Math.max(half, top * 1e-9) ? Math.max(first, top * 1e-6) : 0;
    }
    return q.range;
  }

  function map() {
    const d = diagram(), q = quantity(), across = d.axes[state.x].values, up = d.axes[state.y].values;
    const z = up.map((_, row) => across.map((_, column) => middle(seeds(q, at(column, row), state.place))));
    const text = z.map((line, row) => line.map((v, column) =>
      [[d.axes[state.x].name, across[column]], [d.axes[state.y].name, up[row]], [q.name, say(q, v)]]
        .map(([name, value]) => plain(`${name} ${value}`)).join("<br>")));
    const [low, high] = range(), log = q.least > 0;
    const scaled = (v) => finite(log ? Math.log10(Math.max(v, q.least)) : v);
    const decades = log ? Array.from({ length: 12 }, (_, n) => Math.ceil(Math.log10(q.least)) + n).filter((n) => 10 ** n <= high) : [];
    const stops = q.colours.flatMap((ink, n) => [[n / q.colours.length, ink], [(n + 1) / q.colours.length, ink]]);
    const told = q.words.length ? { colorscale: stops, zmin: -0.5, zmax: q.words.length - 0.5 }
      : { colorscale: "Viridis", zmin: scaled(low), zmax: scaled(high) };
    const ticks = q.words.length ? { tickvals: q.words.map((_, n) => n), ticktext: q.words.map(plain) }
      : log ? { tickvals: decades, ticktext: decades.map((n) => show(10 ** n)) } : {};
    const cells = {
      type: "heatmap", z: z.map((line) => line.map(scaled)), text, hoverinfo: "text", ...told,
      xgap: 1, ygap: 1, colorbar: { ...ticks, title: { text: plain(label(q)), side: "right" }, thickness: 12, outlinewidth: 0 },
    };
    const edge = {
      type: "contour", z: cells.z, autocontour: false, contours: { start: scaled(state.level), end: scaled(state.level), size: 1, coloring: "none" },
      line: { color: "#ffffff", width: 2.5, smoothing: 0 }, hoverinfo: "skip", showscale: false,
    };
    const chosen = {
      type: "scatter", mode: "markers", x: [state.cell[state.x]], y: [state.cell[state.y]], hoverinfo: "skip",
      marker: { symbol: "square-open", size: 17, color: "#ff3d7f", line: { width: 3 } },
    };
    const bounded = across.length > 1 && up.length > 1 && state.level !== null && !q.words.length;
    const traces = bounded ? [cells, edge, chosen] : [cells, chosen];
    Plotly.react($("map"), traces, layout({ xaxis: named(state.x), yaxis: named(state.y) }), config);
  }

  function line() {
    const d = diagram(), q = quantity(), across = d.axes[state.x].values.map((_, i) => i);
    const all = across.map((column) => seeds(q, at(column, 0), state.place));
    const band = ribbon(across, all, colour("--measured"));
    const chosen = state.cell[state.x];
    band.push({
      type: "scatter", mode: "markers", x: [chosen], y: [finite(middle(all[chosen]))], hoverinfo: "skip",
      marker: { symbol: "circle-open", size: 16, color: "#ff3d7f", line: { width: 3 } },
    });
    Plotly.react($("map"), band, layout({ xaxis: named(state.x), yaxis: axis({ title: { text: plain(label(q)) }, automargin: true }) }), config);
  }

  // the median with a band from the smallest to the largest seed
  function ribbon(x, all, ink) {
    const low = all.map((v) => finite(v[0])), high = all.map((v) => finite(v[v.length - 1]));
    const text = all.map((v) => `${show(middle(v))} [${show(v[0])}, ${show(v[v.length - 1])}]`);
    return [
      { type: "scatter", mode: "lines", x, y: low, line: { width: 0 }, hoverinfo: "skip" },
      { type: "scatter", mode: "lines", x, y: high, line: { width: 0 }, fill: "tonexty", fillcolor: `${ink}33`, hoverinfo: "skip" },
      { type: "scatter", mode: x.length > 30 ? "lines" : "lines+markers", x, y: all.map((v) => finite(middle(v))), text,
        hoverinfo: "x+text", line: { color: ink, width: 2 }, marker: { size: 5 } },
    ];
  }

  function curves() {
    const d = diagram(), home = $("curves"), drawn = d.quantities.filter((q) => places(q) > 1);
    while (home.children.length > drawn.length) {
      Plotly.purge(home.lastElementChild.lastElementChild);
      home.lastElementChild.remove();
    }
    while (home.children.length < drawn.length) {
      const box = document.createElement("div"), title = document.createElement("h4"), plot = document.createElement("div");
      box.append(title, plot);
      home.append(box);
    }
    drawn.forEach((q, n) => {
      const [title, plot] = home.children[n].children;
      title.textContent = label(q);
      const wide = q.along === "step" && q.places[q.places.length - 1] / Math.max(q.places.find((p) => p > 0) ?? 1, 1e-9) > 50;
      const least = q.places.find((p) => p > 0) ?? 1;
      const x = wide ? q.places.map((p) => (p > 0 ? p : least / 2)) : q.places; // step 0 stands left of the first step
      const all = q.places.map((_, place) => seeds(q, state.cell, place));
      const traces = [...ribbon(x, all, colour("--measured")), ...(root.kit.live?.(q, x) ?? [])];
      const here = q.along === quantity().along && places(quantity()) === places(q) ? [{
        type: "line", x0: x[state.place], x1: x[state.place], yref: "paper", y0: 0, y1: 1, line: { color: colour("--control"), dash: "dot", width: 1 },
      }] : [];
      Plotly.react(plot, traces, layout({
        height: 190, margin: { l: 50, r: 8, t: 6, b: 36 }, shapes: here,
        xaxis: axis({ title: { text: plain(q.along) }, ...(wide ? { type: "log", dtick: 1 } : {}) }), yaxis: axis({}),
      }), config);
    });
  }

  function words() {
    const d = diagram(), q = quantity(), found = seeds(q, state.cell, state.place);
    const where = d.axes.map((one, i) => `${one.name} ${one.values[state.cell[i]]}`).join(", ") || d.title;
    const when = q.places ? ` at ${q.along} ${show(q.places[state.place])}` : "";
    const range = d.seeds > 1 && !q.words.length ? ` [${show(found[0])}, ${show(found[found.length - 1])}]` : "";
    const counted = d.seeds > 1 ? `, median and range of ${d.seeds} seeds` : "";
    const value = `${q.name} ${say(q, middle(found))}${range}${when}`;
    const link = document.createElement("a");
    link.href = address();
    link.textContent = "Link to this cell";
    $("cell").replaceChildren(`${where}: ${value}${counted}${fates()}. `, link);
  }

  function fates() {
    const d = diagram();
    if (!d.fates) return "";
    d.fates.decoded ??= bytes(d.fates.codes);
    const counts = new Map();
    for (let s = 0; s < d.seeds; s++) {
      const name = d.fates.names[d.fates.decoded[index(state.cell) * d.seeds + s]];
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    return `; in the end ${[...counts].map(([name, n]) => `${n} ${name}`).join(", ")}`;
  }

  function render() {
    controls();
    const d = diagram(), flat = d.axes.every((one) => one.values.length < 2);
    root.classList.toggle("alone", flat || d.quantities.every((q) => places(q) < 2)); // map or curves, not both
    $("map").hidden = flat;
    if (!flat) (state.y < 0 ? line : map)();
    words();
    if (near) curves();
    root.dispatchEvent(new CustomEvent("rendered", { detail: { ...state } }));
  }

  // -- hands ---------------------------------------------------------------------------------------------------------

  pick("diagram", open);
  pick("quantity", choose);
  pick("x", (i) => { if (i === state.y) state.y = state.x; state.x = i; });
  pick("y", (i) => { if (i === state.x) state.x = state.y; state.y = i; });
  $("place").addEventListener("input", (event) => { state.place = Number(event.target.value); render(); });
  $("level").addEventListener("change", (event) => {
    const typed = event.target.value.trim(), wanted = Number(typed);
    if (Number.isFinite(wanted)) state.level = typed ? wanted : null;
    render();
  });
  $("play").addEventListener("click", play);
  $("map").addEventListener("keydown", (event) => {
    const moves = { ArrowRight: [state.x, 1], ArrowLeft: [state.x, -1], ArrowUp: [state.y, 1], ArrowDown: [state.y, -1] };
    const [which, by] = moves[event.key] ?? [-1, 0];
    if (which < 0) return;
    event.preventDefault();
    const last = diagram().axes[which].values.length - 1;
    state.cell[which] = Math.min(Math.max(state.cell[which] + by, 0), last);
    render();
  });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);

  // a link to a cell, from a claim above all
  function follow() {
    const [word, which, ...cell] = location.hash.slice(1).split("-");
    const d = word === "cell" ? book.diagrams[Number(which)] : undefined;
    const inside = (i, n) => Number.isInteger(i) && i >= 0 && i < n;
    if (!d || cell.length !== d.axes.length || !cell.every((i, n) => inside(Number(i), d.axes[n].values.length))) return false;
    if (state.diagram !== Number(which)) open(Number(which));
    state.cell = cell.map(Number);
    return true;
  }
  window.addEventListener("hashchange", () => {
    if (!follow()) return;
    render();
    $("cell").focus({ preventScroll: true });
    root.scrollIntoView();
  });

  root.hidden = false;
  const cells = (d) => d.axes.reduce((n, one) => n * one.values.length, 1);
  open(book.diagrams.reduce((best, d, i) => (cells(d) > cells(book.diagrams[best]) ? i : best), 0));
  const asked = follow();
  root.kit = { book, state, bytes, numbers, places, index, show, finite, plain, options, colour, axis, layout, config, render }; // for the others
  render();
  if (asked) root.scrollIntoView();
  new IntersectionObserver(([entry]) => { // the first time after the map is painted, so that the page opens sooner
    near = entry.isIntersecting;
    if (near) curves();
  }, { rootMargin: "300px" }).observe($("curves"));
  $("map").on?.("plotly_click", ({ points }) => {
    const [point] = points;
    state.cell = at(Math.round(point.x), Math.round(point.y));
    render();
  });
})();
