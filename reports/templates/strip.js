"use strict";
(() => {
  // Draws the samples of a case when its drill-down opens: launches side by side, dots over time.
  const HEIGHT = 200, LANE = 44, LEFT = 52, TOP = 26, GAP = 14, DOTS = 6000;
  const COLOURS = ["var(--hue)", "color-mix(in oklab, var(--hue) 52%, var(--ink))"];

  const element = (name, attributes, text) => {
    const made = document.createElementNS(document.querySelector("svg").namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  };
  const digits = (ms) => ms.toFixed(ms >= 100 ? 0 : ms >= 10 ? 1 : ms >= 1 ? 2 : ms >= 0.1 ? 3 : 4);
  const middle = (values) => { const s = [...values].sort((a, b) => a - b); return s[s.length >> 1]; };

  // Times and latencies of one launch in ms; the warm-up is laid out before zero.
  function laidOut(launch, index) {
    const { samples_us: timed, gaps_us: gaps, warmup } = launch.result;
    const points = [];
    let at = 0;
    warmup.samples_us.forEach((us, i) => { points.push({ at, ms: us / 1e3, warm: true, i }); at += us / 1e3; });
    timed.forEach((us, i) => { at += (gaps[i] ?? 0) / 1e3; points.push({ at, ms: us / 1e3, warm: false, i }); at += us / 1e3; });
    return { index, number: launch.index + 1, points, length: at || 1, result: launch.result };
  }

  // At most DOTS dots: in each step of time the extremes and the first stay.
  function thinned(points, room) {
    if (points.length <= room) return points;
    const step = Math.ceil((points.length * 3) / room), kept = [];
    for (let i = 0; i < points.length; i += step) {
      const part = points.slice(i, i + step);
      const low = part.reduce((a, b) => (b.ms < a.ms ? b : a)), high = part.reduce((a, b) => (b.ms > a.ms ? b : a));
      kept.push(...new Set([part[0], low, high]));
    }
    return kept;
  }

  function ticks(low, high) {
    const rough = (high - low) / 3 || 1, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((n) => n * power >= rough) * power;
    const found = [];
    for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) found.push(v);
    return found;
  }

  function lane(svg, launches, x, top, title, reading, text) {
    const values = launches.flatMap((l) => [reading(l.result.state_start), reading(l.result.state_end)]).filter((v) => v !== null);
    if (!values.length) return false;
    const low = Math.min(...values), high = Math.max(...values), room = high - low || 1;
    const y = (v) => top + LANE - 10 - ((v - low) / room) * (LANE - 22);
    svg.append(element("text", { x: 0, y: top + LANE / 2 }, title));
    for (const l of launches) {
      const ends = [[0, reading(l.result.state_start)], [l.length, reading(l.result.state_end)]].filter(([, v]) => v !== null);
      if (!ends.length) continue;
      const places = ends.map(([at, v]) => `${x(l, at).toFixed(1)},${y(v).toFixed(1)}`);
      svg.append(element("polyline", { points: places.join(" "), fill: "none", stroke: "var(--muted)", "stroke-width": 1.5 }));
      ends.forEach(([at, v], i) => svg.append(element("text", { x: x(l, at), y: y(v) - 4, "text-anchor": i ? "end" : "start" }, text(v))));
    }
    return true;
  }

  function draw(figure) {
    const measurement = window.pocketbench.data().measurements[Number(figure.dataset.index)];
    const launches = measurement.launches.filter((l) => l.result?.samples_us.length).map(laidOut);
    const width = Math.max(280, figure.clientWidth);
    const total = launches.reduce((sum, l) => sum + l.length, 0);
    const scale = (width - LEFT - 6 - GAP * (launches.length - 1)) / total;
    const starts = [];
    launches.reduce((x, l) => { starts.push(x); return x + l.length * scale + GAP; }, LEFT);
    const x = (l, at) => starts[l.index] + at * scale;

    const timed = launches.flatMap((l) => l.points.filter((p) => !p.warm));
    const ordered = timed.map((p) => p.ms).sort((a, b) => a - b);
    const at = (share) => ordered[Math.min(ordered.length - 1, Math.floor(share * ordered.length))];
    const centre = at(0.5), ceiling = Math.max(at(0.95) + 4 * (at(0.95) - at(0.05)), centre * 1.03);
    const beyond = timed.filter((p) => p.ms > ceiling).length;
    let low = ordered[0], high = Math.min(ordered.at(-1), ceiling);
    const pad = Math.max((high - low) * 0.12, centre * 0.005);
    low = Math.max(0, low - pad); high += pad;
    const y = (ms) => TOP + (HEIGHT - TOP - 8) * (1 - (Math.min(Math.max(ms, low), high) - low) / (high - low));

    const svg = element("svg", { role: "img", "aria-label": figure.getAttribute("aria-label") });
    for (const v of ticks(low, high)) {
      svg.append(element("line", { x1: LEFT, x2: width, y1: y(v), y2: y(v), stroke: "var(--rule)" }));
      svg.append(element("text", { x: LEFT - 8, y: y(v) + 4, "text-anchor": "end" }, Number(v.toPrecision(6))));
    }
    svg.append(element("text", { x: 0, y: 10 }, "ms"));
    const interval = measurement.latency?.interval;
    if (interval) {
      const [a, b] = [y(interval.high_ms), y(interval.low_ms)];
      svg.append(element("rect", { x: LEFT, width: width - LEFT, y: a, height: Math.max(1, b - a), fill: "var(--hue)", opacity: 0.13 }));
    }
    let drawn = 0;
    for (const l of launches) {
      const kept = thinned(l.points, Math.floor(DOTS / launches.length));
      drawn += kept.filter((p) => !p.warm).length;
      for (const warm of [true, false]) {
        const d = kept.filter((p) => p.warm === warm).map((p) => `M${x(l, p.at).toFixed(1)} ${y(p.ms).toFixed(1)}h0`).join("");
        svg.append(element("path", { d, stroke: warm ? "var(--muted)" : COLOURS[l.index % 2], "stroke-width": kept.length > 900 ? 2.4 : 4, "stroke-linecap": "round", fill: "none", opacity: warm ? 0.45 : 0.8 }));
      }
      svg.append(element("text", { x: starts[l.index], y: 10 }, `launch ${l.number}`));
      const own = middle(l.points.filter((p) => !p.warm).map((p) => p.ms));
      svg.append(element("line", { x1: starts[l.index], x2: x(l, l.length), y1: y(own), y2: y(own), stroke: "var(--ink)", "stroke-width": 1.2 }));
    }
    let bottom = HEIGHT;
    const largest = (readings) => { const v = Object.values(readings ?? {}); return v.length ? Math.max(...v) : null; };
    if (lane(svg, launches, x, bottom, "°C", (s) => largest(s.temperatures_celsius), (v) => v.toFixed(0))) bottom += LANE;
    if (lane(svg, launches, x, bottom, "GHz", (s) => largest(s.frequencies_khz), (v) => (v / 1e6).toFixed(2))) bottom += LANE;
    svg.setAttribute("viewBox", `0 0 ${width} ${bottom}`);
    svg.setAttribute("height", bottom);

    const caption = document.createElement("figcaption");
    const notes = [`${timed.length.toLocaleString("en")} timed samples${drawn < timed.length ? `, ${drawn.toLocaleString("en")} drawn` : ""}; lines are launch medians, the band is the interval, grey is warm-up`];
    if (beyond) notes.push(`${beyond} slower than ${digits(ceiling)} ms drawn at the upper edge, the slowest took ${digits(ordered.at(-1))} ms`);
    const resting = notes.join("; ") + ".";
    caption.textContent = resting;
    const cursor = element("circle", { r: 5, fill: "none", stroke: "var(--ink)", "stroke-width": 1.5, visibility: "hidden" });
    svg.append(cursor);
    svg.addEventListener("pointermove", (event) => {
      const place = event.clientX - svg.getBoundingClientRect().left;
      const l = launches.findLast((one) => place >= starts[one.index] - GAP / 2) ?? launches[0];
      const at = (place - starts[l.index]) / scale;
      const p = l.points.reduce((a, b) => (Math.abs(b.at - at) < Math.abs(a.at - at) ? b : a));
      cursor.setAttribute("cx", x(l, p.at)); cursor.setAttribute("cy", y(p.ms)); cursor.setAttribute("visibility", "visible");
      caption.textContent = `Launch ${l.number}, ${p.warm ? "warm-up" : "sample"} ${p.i + 1}: ${digits(p.ms)} ms`;
    });
    svg.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); caption.textContent = resting; });
    figure.replaceChildren(svg, caption);
  }

  const openStrips = () => document.querySelectorAll("details[open] figure.strip");
  document.addEventListener("toggle", (event) => {
    if (event.target.open) event.target.querySelectorAll?.("figure.strip").forEach(draw);
  }, true);
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => openStrips().forEach(draw), 120); });
})();
