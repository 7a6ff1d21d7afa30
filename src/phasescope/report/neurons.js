"use strict";
// Inside a network of the chosen cell: its neurons by participation, their phases, weights and spectra, and pruning.
// Numbers come with the page; nothing is trained or evaluated here. Draws only what is in view and what has changed.
(() => {
  const root = document.getElementById("explorer");
  const home = root?.querySelector('[data-part="inside"]');
  if (!home || !root.kit) return;
  const { book, state, bytes, show, finite, plain, options, colour, axis, layout, config } = root.kit;
  const $ = (name) => root.querySelector(`[data-part="${name}"]`);
  const mine = { place: "", network: 0, neuron: 0 };
  let seen = false;

  // -- numbers -------------------------------------------------------------------------------------------------------

  const pool = new Map();
  const array = (which, Kind = Float32Array) => {
    if (!pool.has(which)) pool.set(which, new Kind(bytes(book.arrays[which]).buffer));
    return pool.get(which);
  };
  const cellOf = (one) => one.place.slice(0, -1).join();
  const here = () => book.diagrams[state.diagram].opened.filter((one) => cellOf(one) === state.cell.join());
  const network = () => here()[mine.network];

  // the residues' weights of vector v of the neuron that stands at ``place`` among those shown
  const weights = (n, v, place) => {
    const all = array(n.weights, Int16Array), count = n.shown.length;
    return Array.from({ length: n.residues }, (_, r) => all[(v * n.residues + r) * count + place] * n.scale);
  };
  // share of the power of each frequency 0, 1, ..., P/2 in one vector
  const spectrum = (values) => {
    const p = values.length, power = [];
    for (let k = 0; k <= p / 2; k++) {
      let [re, im] = [0, 0];
      values.forEach((w, r) => {
        const angle = (2 * Math.PI * ((k * r) % p)) / p;
        re += w * Math.cos(angle);
        im += w * Math.sin(angle);
      });
      power.push(re * re + im * im);
    }
    const total = power.reduce((a, b) => a + b, 0);
    return power.map((one) => (total > 0 ? one / total : 0));
  };
  const phase = (n, v, rank) => array(n.phases)[v * n.size + rank];
  // sum of the inputs' phases less the output's, in degrees: 0 where they obey the law
  const mismatch = (n, rank) => {
    let angle = -phase(n, n.vectors.length - 1, rank);
    for (let v = 0; v < n.vectors.length - 1; v++) angle += phase(n, v, rank);
    return ((((angle * 180) / Math.PI) % 360) + 360) % 360;
  };
  const gone = (n) => n.gone[Number($("gone").value)];
  const isGone = (n, rank) => ($("order").value === "highest" ? rank < gone(n) : rank >= n.size - gone(n));
  const accuracy = (n, which) => array(n[$("order").value])[which * n.gone.length + Number($("gone").value)];
  // of the neurons of the exact network that are shown, the one of the same frequency
  const partner = (learnt, exact, rank) => {
    const wanted = array(learnt.frequencies)[rank], all = array(exact.frequencies);
    const found = exact.shown.findIndex((one) => all[one] === wanted);
    return Math.max(0, found);
  };

  // -- drawing -------------------------------------------------------------------------------------------------------

  const OF_A_NEURON = ["weights", "exact-weights", "spectrum", "exact-spectrum"];
  const panels = new Map();
  function panel(name, title, traces, more) {
    if (!panels.has(name)) {
      const box = document.createElement("div"), heading = document.createElement("h4"), plot = document.createElement("div");
      plot.setAttribute("role", "img");
      box.dataset.panel = name;
      box.append(heading, Object.assign(document.createElement("p"), { className: "legend" }), plot);
      $(OF_A_NEURON.includes(name) ? "neuron-panels" : "network-panels").append(box);
      panels.set(name, box);
    }
    const box = panels.get(name), [heading, key, plot] = box.children;
    box.hidden = !traces;
    if (!traces) return plot;
    heading.textContent = title;
    plot.setAttribute("aria-label", title);
    key.replaceChildren(...(more.keys ?? []).map(([word, ink]) => {
      const one = document.createElement("span"), mark = document.createElement("i");
      mark.style.background = ink;
      one.append(mark, word);
      return one;
    }));
    Plotly.react(plot, traces, layout({ height: 230, margin: { l: 48, r: 12, t: 8, b: 40 }, ...more }), config);
    return plot;
  }
  const inks = (n) => Array.from({ length: n }, (_, v) => colour(["--measured", "--third", "--holds", "--undecided", "--fails"][v] ?? "--soft"));
  const ink = (n, v) => (v === n.vectors.length - 1 ? colour("--control") : inks(n.vectors.length)[v]);
  const snug = { margin: { l: 44, r: 10, t: 6, b: 40 } };
  const vectors = (n) => n.vectors.map((word, v) => [word, ink(n, v)]);

  function ranks({ learnt, exact }) {
    const x = (n) => Array.from({ length: n.size }, (_, i) => i + 1);
    const ratios = Array.from(array(learnt.ratios), finite);
    const traces = [{
      type: "scatter", mode: "markers", name: "learnt", x: x(learnt), y: ratios, hovertemplate: "neuron %{x}: %{y:.3f}<extra></extra>",
      marker: { size: 5, color: ratios.map((_, rank) => (isGone(learnt, rank) ? colour("--line") : colour("--measured"))) },
    }];
    if (exact) traces.push({
      type: "scatter", mode: "lines", name: "exact", x: x(exact), y: Array.from(array(exact.ratios), finite),
      line: { color: colour("--control"), width: 2 }, hoverinfo: "skip",
    });
    traces.push(chosen([learnt.shown[mine.neuron] + 1], [ratios[learnt.shown[mine.neuron]]]));
    const plot = panel("ranks", "Participation ratio", traces, {
      ...snug, keys: [["learnt", colour("--measured")], ...(exact ? [["exact", colour("--control")]] : [])],
      xaxis: axis({ title: { text: "rank of the neuron" }, zeroline: false }), yaxis: axis({ range: [-0.03, 1.06], zeroline: false }),
    });
    clicks(plot, (point) => point.x - 1);
  }
  const chosen = (x, y, more = {}) => ({
    type: "scatter", mode: "markers", x, y, hoverinfo: "skip", showlegend: false,
    marker: { symbol: "circle-open", size: 13, color: colour("--chosen"), line: { width: 3 } }, ...more,
  });
  function clicks(plot, rankOf) {
    if (plot.dataset.clicks) return;
    plot.dataset.clicks = "yes";
    plot.on("plotly_click", ({ points: [point] }) => {
      const wanted = rankOf(point), { shown } = network().learnt;
      mine.neuron = shown.reduce((best, rank, i) => (Math.abs(rank - wanted) < Math.abs(shown[best] - wanted) ? i : best), 0);
      draw();
    });
  }

  function circle(name, title, n, ring) {
    if (!n) return panel(name, title, null);
    const ratios = array(n.ratios);
    const known = Array.from({ length: n.size }, (_, rank) => rank).filter((rank) => !Number.isNaN(mismatch(n, rank)));
    known.sort((a, b) => isGone(n, b) - isGone(n, a)); // what is left lies on top
    const frequencies = array(n.frequencies);
    const traces = [{
      type: "scatterpolar", mode: "markers", r: known.map((rank) => ratios[rank]), theta: known.map((rank) => mismatch(n, rank)),
      text: known.map((rank) => `neuron ${rank + 1}, frequency ${frequencies[rank]}`), customdata: known, hoverinfo: "text", cliponaxis: false,
      marker: { size: ring ? 9 : 6, opacity: 0.75, color: known.map((rank) => (isGone(n, rank) ? colour("--line") : colour(ring ? "--control" : "--measured"))) },
    }];
    const rank = n.shown[mine.neuron];
    if (!ring && known.includes(rank)) traces.push(chosen(undefined, undefined, { type: "scatterpolar", cliponaxis: false, r: [ratios[rank]], theta: [mismatch(n, rank)] }));
    const line = { gridcolor: colour("--line"), linecolor: colour("--line"), color: colour("--soft") };
    const plot = panel(name, title, traces, {
      margin: { l: 34, r: 34, t: 22, b: 22 },
      polar: {
        bgcolor: "rgba(0,0,0,0)", radialaxis: { ...line, range: [0, 1], tickvals: [0.5, 1], angle: 90, tickangle: 90, tickfont: { size: 10 }, fixedrange: true },
        angularaxis: { ...line, tickvals: [0, 90, 180, 270], ticktext: ["0", "π/2", "π", "−π/2"] },
      },
    });
    if (!ring) clicks(plot, (point) => point.customdata);
    return plot;
  }

  function waves(name, title, n, place) {
    if (!n) return panel(name, title, null);
    const traces = n.vectors.map((word, v) => ({
      type: "scatter", mode: "lines+markers", name: plain(word), y: weights(n, v, place), hoverinfo: "x+y+name",
      line: { color: ink(n, v), width: 1.5, dash: v === n.vectors.length - 1 ? "dot" : "solid" }, marker: { size: 4 },
    }));
    return panel(name, title, traces, {
      ...snug, keys: vectors(n), xaxis: axis({ title: { text: plain(n.along) }, zeroline: false }), yaxis: axis({}),
    });
  }

  function powers(name, title, n, place) {
    if (!n) return panel(name, title, null);
    const each = n.vectors.map((_, v) => spectrum(weights(n, v, place)));
    const traces = each.map((shares, v) => ({
      type: "bar", name: plain(n.vectors[v]), y: shares.map((one) => one / each.length), marker: { color: ink(n, v) }, hoverinfo: "x+y+name",
    }));
    return panel(name, title, traces, {
      ...snug, keys: vectors(n), barmode: "stack", bargap: 0.15,
      xaxis: axis({ title: { text: "frequency" }, zeroline: false }), yaxis: axis({ range: [0, 1.04] }),
    });
  }

  function pruning({ learnt, exact }) {
    const order = $("order").value, count = learnt.gone.length, at = Number($("gone").value);
    const curve = (n, which, name, more) => ({
      type: "scatter", mode: "lines", name, x: n.gone.map((g) => (100 * g) / n.size), y: Array.from(array(n[order]).slice(which * count, (which + 1) * count), finite),
      hoverinfo: "x+y+name", ...more,
    });
    const traces = [
      curve(learnt, 0, "train", { line: { color: colour("--measured"), width: 2 } }),
      curve(learnt, 1, "test", { line: { color: colour("--third"), width: 2 } }),
    ];
    if (exact) traces.push(curve(exact, 1, "exact, test", { line: { color: colour("--control"), width: 1.5, dash: "dash" } }));
    const x = (100 * learnt.gone[at]) / learnt.size;
    panel("pruning", "Accuracy of what is left", traces, {
      ...snug, keys: [["training", colour("--measured")], ["test", colour("--third")], ...(exact ? [["exact, test", colour("--control")]] : [])],
      xaxis: axis({ title: { text: "neurons taken out (%)" }, range: [-2, 102], zeroline: false }), yaxis: axis({ range: [-0.03, 1.06], zeroline: false }),
      shapes: [{ type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: colour("--chosen"), width: 2, dash: "dot" } }],
    });
  }

  // -- words ---------------------------------------------------------------------------------------------------------

  function words({ learnt, exact }) {
    const order = $("order").value, count = gone(learnt);
    const pair = (n) => `training accuracy ${show(accuracy(n, 0))}, test accuracy ${show(accuracy(n, 1))}`;
    const beside = exact ? `; the exact network: ${pair(exact)}` : "";
    $("gone").setAttribute("aria-valuetext", `${count} of ${learnt.size}`);
    $("pruned").textContent = `Without ${count} of ${learnt.size} neurons, ${order} participation first: ${pair(learnt)}${beside}.`;
    const rank = learnt.shown[mine.neuron], frequency = array(learnt.frequencies)[rank], off = mismatch(learnt, rank);
    const turn = Number.isNaN(off) ? "" : `, phases off by ${show(((off > 180 ? off - 360 : off) * Math.PI) / 180).replace("-", "−")} rad`;
    const told = `Neuron ${rank + 1} of ${learnt.size}: participation ratio ${show(array(learnt.ratios)[rank])}, strongest frequency ${show(frequency)}${turn}.`;
    $("neuron").setAttribute("aria-valuetext", `${rank + 1} of ${learnt.size}`);
    $("neuron-told").textContent = told;
  }

  function draw() {
    const d = book.diagrams[state.diagram], found = here();
    home.hidden = !d.opened.length && !d.inside;
    $("inside-note").textContent = d.inside;
    $("closed").hidden = found.length > 0;
    $("open").hidden = !found.length;
    if (home.hidden || !found.length) return;
    mine.network = Math.min(mine.network, found.length - 1);
    const one = network(), { learnt, exact } = one;
    mine.neuron = Math.min(mine.neuron, learnt.shown.length - 1);
    options($("network"), found.map((each) => `seed ${d.names[each.place[each.place.length - 1]]}`), mine.network);
    $("neuron").max = String(learnt.shown.length - 1);
    $("neuron").value = String(mine.neuron);
    $("gone").max = String(learnt.gone.length - 1);
    words(one);
    const place = exact ? partner(learnt, exact, learnt.shown[mine.neuron]) : 0;
    ranks(one);
    circle("circle", "Phases: inputs − output", learnt, false);
    circle("exact-circle", "Phases, exact network", exact, true);
    pruning(one);
    waves("weights", "Weights of the neuron", learnt, mine.neuron);
    waves("exact-weights", "Weights, exact network", exact, place);
    powers("spectrum", "Power of its frequencies", learnt, mine.neuron);
    powers("exact-spectrum", "Power, exact network", exact, place);
    home.dispatchEvent(new CustomEvent("drawn"));
  }

  // -- hands ---------------------------------------------------------------------------------------------------------

  function changed() {
    const place = [state.diagram, ...state.cell].join();
    if (place === mine.place) return; // a film does not touch what is inside
    mine.place = place;
    home.hidden = !book.diagrams[state.diagram].opened.length && !book.diagrams[state.diagram].inside;
    if (seen) draw();
  }
  $("network").addEventListener("change", (event) => { mine.network = Number(event.target.value); draw(); });
  $("neuron").addEventListener("input", (event) => { mine.neuron = Number(event.target.value); draw(); });
  $("order").addEventListener("change", draw);
  $("gone").addEventListener("input", draw);
  root.addEventListener("rendered", changed);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { if (seen) draw(); });
  changed();
  new IntersectionObserver(([entry]) => {
    seen = entry.isIntersecting;
    if (seen) draw();
  }, { rootMargin: "300px" }).observe(home);
})();
