"use strict";
// Trains the first network of the chosen cell here, from the first weights of the run, in a worker: full batches, in
// 64-bit numbers. The live curves are drawn over the recorded ones, and how far they part is said.
(() => {
  const root = document.getElementById("explorer");
  const home = root?.querySelector('[data-part="live"]');
  if (!home || !root.kit) return;
  const { book, state, bytes, numbers, places, index, show, finite, colour, render } = root.kit;
  const $ = (name) => root.querySelector(`[data-part="${name}"]`);
  const NAMES = ["train accuracy", "test accuracy", "train loss", "test loss"];
  const EARLY = 50;
  let run = null; // what is, or was, trained: its place, the readings, and the worker while it works

  const pool = new Map();
  const array = (which, Kind) => {
    if (!pool.has(which)) pool.set(which, new Kind(bytes(book.arrays[which]).buffer));
    return pool.get(which);
  };
  const diagram = () => book.diagrams[state.diagram];
  const here = () => diagram().live.find((one) => one.place.slice(0, -1).join() === state.cell.join());
  const mine = () => run && run.diagram === state.diagram && run.cell === state.cell.join();

  // all that works apart from the page: it becomes the worker's own script, and sees nothing from outside
  function trainer() {
    function step(n, net, rows, gradient) { // the gradient of the mean loss over rows, or, without one, the readings
      const { arity, p, width: H, outputs: K, degree, scale } = n, { inputs, labels, weights } = net;
      const W = arity * p * H, act = new Float64Array(H), slope = new Float64Array(H), out = new Float64Array(K), back = new Float64Array(H);
      let [loss, right] = [0, 0];
      for (const row of rows) {
        act.fill(0);
        for (let s = 0; s < arity; s++) {
          const at = (s * p + inputs[row * arity + s]) * H;
          for (let h = 0; h < H; h++) act[h] += weights[at + h];
        }
        for (let h = 0; h < H; h++) {
          const z = act[h];
          slope[h] = degree ? degree * z ** (degree - 1) : z > 0 ? 1 : 0;
          act[h] = degree ? z ** degree : Math.max(z, 0);
        }
        let best = 0;
        for (let k = 0; k < K; k++) {
          let sum = 0;
          for (let h = 0, at = W + k * H; h < H; h++) sum += act[h] * weights[at + h];
          out[k] = scale * sum;
          if (!(out[k] <= out[best])) best = k;
        }
        const label = labels[row];
        right += Number.isFinite(out[best]) ? Number(best === label) : NaN;
        if (n.loss === "mse") {
          for (let k = 0; k < K; k++) {
            const off = out[k] - Number(k === label);
            loss += (off * off) / K;
            out[k] = (2 * off) / K;
          }
        } else {
          const top = out[best];
          let total = 0;
          for (let k = 0; k < K; k++) total += Math.exp(out[k] - top);
          loss += Math.log(total) + top - out[label];
          for (let k = 0; k < K; k++) out[k] = Math.exp(out[k] - top) / total - Number(k === label);
        }
        if (!gradient) continue;
        back.fill(0);
        for (let k = 0; k < K; k++) {
          const g = (out[k] * scale) / rows.length;
          for (let h = 0, at = W + k * H; h < H; h++) {
            gradient[at + h] += g * act[h];
            back[h] += g * weights[at + h];
          }
        }
        for (let s = 0; s < arity; s++) {
          const at = (s * p + inputs[row * arity + s]) * H;
          for (let h = 0; h < H; h++) gradient[at + h] += back[h] * slope[h];
        }
      }
      return [right / rows.length, loss / rows.length];
    }
    // torch's rules; the weight decay of sgd and adamw is decoupled
    function update(n, weights, gradient, first, second, at) {
      const { lr, weight_decay: decay, momentum, beta1, beta2, eps } = n.numbers;
      const [left, long] = [1 - beta1 ** at, Math.sqrt(1 - beta2 ** at)];
      for (let i = 0; i < weights.length; i++) {
        let g = gradient[i];
        if (n.optimizer === "adam") g += decay * weights[i];
        else weights[i] *= 1 - lr * decay;
        if (n.optimizer === "sgd") {
          first[i] = momentum * first[i] + g;
          weights[i] -= lr * first[i];
        } else {
          first[i] = beta1 * first[i] + (1 - beta1) * g;
          second[i] = beta2 * second[i] + (1 - beta2) * g * g;
          weights[i] -= ((lr / left) * first[i]) / (Math.sqrt(second[i]) / long + eps);
        }
      }
    }
    onmessage = ({ data: [n, net, stops] }) => {
      const { weights, train, test } = net, made = () => new Float64Array(weights.length);
      const [gradient, first, second] = [made(), made(), made()];
      let at = 0;
      for (const stop of stops) {
        while (at < stop) {
          gradient.fill(0);
          step(n, net, train, gradient);
          update(n, weights, gradient, first, second, ++at);
        }
        const [[trained, train_loss], [tested, test_loss]] = [step(n, net, train), test.length ? step(n, net, test) : [NaN, NaN]];
        postMessage([at, [trained, tested, train_loss, test_loss]]);
      }
      postMessage(null);
    };
  }

  const recorded = (q, place) => numbers(q)[(index(state.cell) * diagram().seeds) * places(q) + place]; // of the first seed

  function begin() {
    const n = here(), shown = diagram().quantities.filter((q) => NAMES.includes(q.name) && q.along === "step");
    if (!n || !shown.length) return;
    stop();
    const [first] = shown, stops = Array.from(first.places).filter((_, place) => !Number.isNaN(recorded(first, place)));
    const net = {
      weights: Float64Array.from(array(n.weights, Float32Array)), inputs: array(n.inputs, Int32Array),
      labels: array(n.labels, Int32Array), train: array(n.train, Int32Array), test: array(n.test, Int32Array),
    };
    const address = URL.createObjectURL(new Blob([`"use strict";(${trainer})()`], { type: "text/javascript" }));
    run = { diagram: state.diagram, cell: state.cell.join(), steps: [], readings: [], last: stops.at(-1), worker: new Worker(address) };
    URL.revokeObjectURL(address);
    run.worker.onmessage = ({ data }) => {
      if (data === null) stop();
      else { run.steps.push(data[0]); run.readings.push(data[1]); }
      if (mine()) render();
    };
    run.worker.onerror = () => { stop(); say("It could not be trained here."); };
    run.worker.postMessage([n, net, stops]);
    render();
  }

  function stop() {
    run?.worker?.terminate();
    if (run) run.worker = null;
  }

  // the largest difference between live and recorded readings, of the steps that a test lets through
  function apart(asked) {
    let found = [0, 0, ""];
    for (const q of diagram().quantities) {
      const which = NAMES.indexOf(q.name);
      if (which < 0 || q.along !== "step") continue;
      q.places.forEach((at, place) => {
        const k = run.steps.indexOf(at), off = k < 0 ? NaN : Math.abs(run.readings[k][which] - recorded(q, place));
        if (asked(at) && off > found[0]) found = [off, at, q.name];
      });
    }
    return found;
  }

  const say = (...words) => $("live-told").replaceChildren(...words);

  function told() {
    if (!mine()) return say("");
    const at = run.steps.at(-1) ?? 0, early = apart((step) => step <= EARLY), all = apart(() => true);
    const now = run.worker ? `step ${at} of ${run.last}` : at === run.last ? `trained to step ${at}` : `stopped at step ${at}`;
    const near = `over the first ${EARLY} steps live and recorded differ by ${show(early[0])} at most`;
    const far = all[0] > early[0] ? `, by ${show(all[0])} at step ${all[1]} (${all[2]})` : "";
    const why = all[0] > 1e-3 ? ". The run rounded to 32 bits, this page to 64: what rounding leaves grows with training, most where accuracy jumps" : "";
    return say(`${now}: ${near}${far}${why}.`);
  }

  // what explorer.js draws over the median of the seeds: the recorded curve of this network, and the live one
  root.kit.live = (q, x) => {
    const which = NAMES.indexOf(q.name);
    if (!mine() || which < 0 || q.along !== "step") return [];
    const y = q.places.map((_, place) => finite(recorded(q, place)));
    const at = new Map(run.steps.map((step, k) => [step, run.readings[k][which]]));
    return [
      { type: "scatter", mode: "lines", x, y, line: { color: colour("--control"), width: 1.5, dash: "dot" }, hoverinfo: "skip", name: "recorded" },
      { type: "scatter", mode: "lines", x, y: q.places.map((step) => finite(at.get(step) ?? NaN)), line: { color: colour("--chosen"), width: 2.5 }, hoverinfo: "x+y", name: "live" },
    ];
  };

  $("train").addEventListener("click", () => {
    if (mine() && run.worker) { stop(); render(); } else begin();
  });
  root.addEventListener("rendered", () => {
    const n = here();
    if (run?.worker && !mine()) stop(); // another cell: what nobody looks at is not trained
    home.hidden = !n || !diagram().quantities.some((q) => NAMES.includes(q.name) && q.along === "step");
    $("train").textContent = mine() && run.worker ? "Stop" : "Train this cell here";
    told();
  });
  render();
})();
