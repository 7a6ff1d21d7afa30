"use strict";
// A verdict as a figure: each seed, the interval of the first n of them, what is expected and the control, on one axis.
// The expectation can be moved, by its ends or by typing: what the rule then says is the reader's, and is called so.
(() => {
  const source = document.getElementById("evidence-data");
  if (!source) return;
  const evidence = JSON.parse(source.textContent);
  const [LEFT, RIGHT, EDGE, WIDTH] = [16, 504, 10, 520];
  const ROWS = { effect: 32, control: 82 }; // the middle of a row of seeds; its interval stands above
  const SVG = "http://www.w3.org/2000/svg";
  const number = (v) => (v === null ? NaN : Number(v)); // "Infinity" is a number in words
  const show = (v) => {
    if (Number.isNaN(v)) return "no value";
    if (!Number.isFinite(v)) return v > 0 ? "∞" : "−∞";
    const size = Math.abs(v);
    const text = size >= 1e6 || (size > 0 && size < 1e-3) ? v.toExponential(2) : String(Number(v.toPrecision(3)));
    return text.replace("-", "−").replace("e+", "e");
  };
  const drawn = (name, more, parent) => {
    const found = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(more)) found.setAttribute(key, value);
    parent?.append(found);
    return found;
  };
  const made = (name, more, ...children) => {
    const found = Object.assign(document.createElement(name), more);
    found.append(...children);
    return found;
  };

  // the rule of phasescope.verdict.decide; with NaN all comparisons are false
  const decide = ([from, to], [low, high], [least, most]) => {
    if (high < from || low > to) return "fails";
    return from <= low && high <= to && (most < from || least > to) ? "holds" : "undecided";
  };

  // an axis for all finite numbers, logarithmic where they are positive and span more than a factor of 60
  function axis(numbers) {
    const there = numbers.filter(Number.isFinite), all = there.length ? there : [0];
    let [low, high] = [Math.min(...all), Math.max(...all)];
    const log = low > 0 && high > 60 * low;
    if (log) [low, high] = [low / (high / low) ** 0.08, high * (high / low) ** 0.08];
    else {
      const reach = high - low > 1e-9 * Math.max(Math.abs(low), Math.abs(high)) ? 0.08 * (high - low) : 0.1 * Math.abs(high) || 1;
      [low, high] = [low - reach, high + reach];
    }
    const scale = log ? Math.log : (v) => v, back = log ? Math.exp : (v) => v;
    const [a, c] = [scale(low), scale(high)];
    const place = (v) => {
      if (v === Infinity || v > high) return RIGHT + EDGE;
      if (v === -Infinity || v < low) return LEFT - EDGE;
      return LEFT + ((RIGHT - LEFT) * (scale(v) - a)) / (c - a);
    };
    const value = (x) => back(a + ((c - a) * (Math.min(Math.max(x, LEFT), RIGHT) - LEFT)) / (RIGHT - LEFT));
    const ticks = [];
    if (log) {
      const every = Math.ceil((Math.log10(high) - Math.log10(low)) / 6) || 1;
      for (let n = Math.ceil(Math.log10(low)); n <= Math.log10(high); n += every) ticks.push(10 ** n);
      if (ticks.length < 2) ticks.splice(0, 9, Number(low.toPrecision(2)), Number(high.toPrecision(1)));
    } else {
      const rough = (high - low) / 5, unit = 10 ** Math.floor(Math.log10(rough));
      const step = unit * ([1, 2, 2.5, 5, 10].find((k) => k * unit >= rough) ?? 10);
      for (let n = Math.ceil(low / step); n * step <= high; n++) ticks.push(Number((n * step).toPrecision(10)));
    }
    return { place, value, ticks };
  }

  function figure(card, told) {
    const read = { effect: {}, control: {} }, stops = told.n;
    for (const role of ["effect", "control"]) for (const name of ["values", "measured", "low", "high"]) read[role][name] = told[role][name].map(number);
    const registered = [Number(card.dataset.low), Number(card.dataset.high)];
    const state = { at: Math.max(0, stops.indexOf(Number(card.dataset.n))), band: [...registered] };
    const last = { ...state };
    const everything = ["effect", "control"].flatMap((role) => [...read[role].values, ...read[role].measured, ...read[role].low, ...read[role].high]);
    const { place, value, ticks } = axis([...everything, ...registered]);

    const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} 136`, class: "bar evidence", role: "img" });
    const band = drawn("rect", { class: "band", y: 2, height: 106 }, svg);
    drawn("line", { class: "axis", x1: 4, x2: WIDTH - 4, y1: 110, y2: 110 }, svg);
    for (const v of ticks) {
      drawn("line", { class: "axis", x1: place(v), x2: place(v), y1: 110, y2: 114 }, svg);
      drawn("text", { x: place(v), y: 128, "text-anchor": "middle" }, svg).textContent = show(v);
    }
    const layers = { effect: drawn("g", {}, svg), control: drawn("g", {}, svg) };
    const ends = registered.map((v, end) => (Number.isFinite(v) ? drawn("g", { class: "grip" }, svg) : null));
    ends.forEach((grip) => {
      if (!grip) return;
      drawn("line", { x1: 0, x2: 0, y1: 2, y2: 110 }, grip);
      drawn("rect", { x: -5, y: 101, width: 10, height: 18, rx: 3 }, grip);
      drawn("rect", { class: "reach", x: -14, y: 0, width: 28, height: 122 }, grip);
    });

    const typed = registered.map((v, end) => made("input", {
      type: "text", inputMode: "decimal", size: 8, disabled: !Number.isFinite(v), ariaLabel: end ? "expected at most" : "expected at least",
    }));
    const slider = made("input", { type: "range", min: 0, max: stops.length - 1, step: 1, disabled: stops.length < 2 });
    const back = made("button", { type: "button", textContent: "As registered" });
    const seeds = made("output"), says = made("p", { className: "says" });
    says.setAttribute("aria-live", "polite");
    const box = made("div", { className: "moved" },
      made("label", {}, "expected from ", typed[0]), made("label", {}, "to ", typed[1]), back,
      made("label", { className: "seeds" }, "seeds ", slider, seeds));

    function row(role) {
      const home = layers[role], y = ROWS[role], r = read[role], n = Math.min(stops[state.at], r.values.length || stops[state.at]);
      home.replaceChildren();
      const [low, high, middle] = [r.low[state.at], r.high[state.at], r.measured[state.at]].map((v) => (Number.isNaN(v) ? NaN : place(v)));
      if (Number.isNaN(low) || Number.isNaN(high)) drawn("text", { x: WIDTH / 2, y: y - 12, "text-anchor": "middle" }, home).textContent = "no interval";
      else {
        drawn("line", { class: `${role === "effect" ? "measured" : "control"} stem`, x1: low, x2: high, y1: y - 16, y2: y - 16 }, home);
        drawn("rect", { class: role === "effect" ? "measured" : "control", x: low, y: y - 20, width: Math.max(high - low, 1), height: 8, rx: 1.5 }, home);
        if (Number.isFinite(r.measured[state.at])) drawn("circle", { class: `${role === "effect" ? "measured" : "control"} dot`, cx: middle, cy: y - 16, r: 5 }, home);
      }
      const full = new Map(); // seeds that fall on one place stand under each other, then beside
      r.values.slice(0, n).forEach((v, seed) => {
        if (Number.isNaN(v)) return;
        const slot = Math.round(place(v) / 5), before = full.get(slot) ?? 0, side = Math.floor(before / 4);
        full.set(slot, before + 1);
        const x = place(v) + 5 * (side % 2 ? (side + 1) / 2 : -side / 2);
        const one = drawn("circle", { class: `seed ${role}`, cx: x, cy: y - 4 + 5 * (before % 4), r: 2.6 }, home);
        drawn("title", {}, one).textContent = `seed ${seed + 1}: ${show(v)}`;
      });
    }

    function render() {
      const [from, to] = state.band, own = from !== registered[0] || to !== registered[1];
      const [x0, x1] = [place(from), place(to)];
      band.setAttribute("x", x0);
      band.setAttribute("width", Math.max(x1 - x0, 2.5));
      ends.forEach((grip, end) => grip?.setAttribute("transform", `translate(${place(state.band[end])} 0)`));
      typed.forEach((input, end) => { if (document.activeElement !== input) input.value = Number.isFinite(state.band[end]) ? String(Number(state.band[end].toPrecision(6))) : "any"; });
      row("effect");
      row("control");
      const at = state.at, n = stops[at], r = read.effect, c = read.control;
      const found = decide(state.band, [r.low[at], r.high[at]], [c.low[at], c.high[at]]);
      const look = told.looks.indexOf(n), planned = told.looks.length ? look >= 0 : at === last.at;
      const where = told.looks.length && look >= 0 ? `look ${look + 1} of ${told.looks.length}` : planned ? "as judged" : "no look of this study: nothing is decided here";
      seeds.textContent = ` ${n} (${where})`;
      slider.setAttribute("aria-valuetext", `${n} seeds, ${where}`);
      const words = `${show(r.measured[at])} [${show(r.low[at])}, ${show(r.high[at])}], control ${show(c.measured[at])} [${show(c.low[at])}, ${show(c.high[at])}]`;
      const verdict = made("strong", { textContent: found });
      if (own) says.replaceChildren("With an expectation of yours, not the registered one: ", verdict, `. ${words}.`);
      else if (planned) says.replaceChildren(`${words}: `, verdict, ".");
      else says.replaceChildren(`On the first ${n} seeds ${words}; the rule would say `, verdict, ".");
      says.classList.toggle("own", own);
      back.disabled = !own && at === last.at;
      svg.setAttribute("aria-label", `${says.textContent} Expected ${show(from)} to ${show(to)}.`);
    }

    const move = (end, v) => {
      if (Number.isNaN(v)) return;
      state.band[end] = end ? Math.max(v, state.band[0]) : Math.min(v, state.band[1]);
      render();
    };
    ends.forEach((grip, end) => grip?.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      grip.setPointerCapture(event.pointerId);
      const drag = (e) => {
        const seen = svg.getBoundingClientRect();
        move(end, value(((e.clientX - seen.left) / seen.width) * WIDTH));
      };
      grip.addEventListener("pointermove", drag);
      grip.addEventListener("pointerup", () => grip.removeEventListener("pointermove", drag), { once: true });
    }));
    typed.forEach((input, end) => input.addEventListener("change", () => {
      const v = Number(input.value.replace("−", "-"));
      input.blur();
      if (input.value.trim() !== "" && Number.isFinite(v)) move(end, v);
      render();
    }));
    slider.value = String(state.at);
    slider.addEventListener("input", () => { state.at = Number(slider.value); render(); });
    back.addEventListener("click", () => { state.at = last.at; state.band = [...registered]; slider.value = String(state.at); render(); });
    render();
    return [svg, box, says];
  }

  for (const card of document.querySelectorAll(".card [data-claim]")) {
    const told = Object.hasOwn(evidence, card.dataset.claim) && evidence[card.dataset.claim], home = card.querySelector(".bar"), details = card.closest("details");
    if (!told || !home || !details) continue;
    const open = () => {
      if (!details.open || card.dataset.drawn) return;
      card.dataset.drawn = "1";
      home.replaceWith(...figure(card, told));
    };
    details.addEventListener("toggle", open);
    open();
  }
})();
