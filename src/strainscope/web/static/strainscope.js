// The part of the page that has to be quick: uploads, sliders, the curve that follows them, colours of light and dark.
"use strict";
window.strainscope = (() => {
  const SIMULATE = "/api/simulate", SCANS = "/api/scans", CIFS = "/api/cifs", LARGEST_SAMPLE = 100_000, STEPS = 1000, REST_MS = 150;
  const state = { ask: null, scan: null, parameters: [], values: {}, measured: null, ids: {}, moved: 0, fresh: true };
  // Times from a move of a slider to the drawn curve [ms], the last thousand.
  const latencies = [];
  let busy = false, dirty = false;

  const byId = (id) => document.getElementById(id);
  const dark = () => document.body.classList.contains("body--dark");
  const say = (line) => emitEvent("strainscope_error", line);

  async function answer(reply) {
    if (reply.ok) return reply.status === 204 ? null : reply.json();
    let line = `the server answered ${reply.status}.`;
    try { line = (await reply.json()).error; } catch { /* no JSON: the status says it */ }
    throw new Error(line);
  }

  // Uploads -------------------------------------------------------------------------------------------------------

  async function sent(place, file) {
    const form = new FormData();
    form.append("file", file);
    return answer(await fetch(place, { method: "POST", body: form }));
  }

  // CIFs go first, as the sample names them; the sample next, as it says what scans are.
  async function upload(files) {
    const of = (pattern) => files.filter((file) => pattern.test(file.name));
    const cifs = of(/\.cif$/i), samples = of(/\.ya?ml$/i), scans = files.filter((f) => !cifs.includes(f) && !samples.includes(f));
    const taken = { cifs: [], scans: [] };
    const each = async (own, take) => {
      for (const file of own) {
        try { await take(file); } catch (error) {
          say(`${file.name}: ${error.message}`.replace(`${file.name}: ${file.name}: `, `${file.name}: `));
        }
      }
    };
    await each(cifs, async (file) => taken.cifs.push((await sent(CIFS, file)).name));
    if (taken.cifs.length && !samples.length) emitEvent("strainscope_cifs", taken.cifs);
    await each(samples.slice(-1), async (file) => {
      if (file.size > LARGEST_SAMPLE) throw new Error(`is larger than ${LARGEST_SAMPLE / 1000} kB, the limit of sample files.`);
      emitEvent("strainscope_sample", await file.text());
    });
    await each(scans, async (file) => taken.scans.push((await sent(SCANS, file)).scan));
    if (taken.scans.length) emitEvent("strainscope_uploaded", taken.scans);
  }

  // Listened for from the script's first line on: a file that is dropped before the server is connected is not lost.
  const area = () => byId("ss-drop")?.classList;
  document.addEventListener("change", ({ target }) => {
    if (!["ss-file", "ss-sample-file"].includes(target.id)) return;
    upload([...target.files]);
    target.value = "";
  });
  // Anywhere on the page: a file that misses the area must not replace the page.
  for (const kind of ["dragenter", "dragover"]) {
    document.addEventListener(kind, (e) => { e.preventDefault(); area()?.add("ss-over"); });
  }
  document.addEventListener("dragleave", (e) => { if (!e.relatedTarget) area()?.remove("ss-over"); });
  document.addEventListener("drop", (e) => {
    e.preventDefault();
    area()?.remove("ss-over");
    if (e.dataTransfer?.files.length) upload([...e.dataTransfer.files]);
  });

  // Sliders -------------------------------------------------------------------------------------------------------

  const scale = (p) => (p.unit === "Å" && !p.name.endsWith("_A") ? 0.1 : 1);
  const unit = (p) => (scale(p) === 0.1 ? "nm" : p.unit === "1" ? "" : p.unit);
  const toStep = (p, v) => Math.round(STEPS * (p.logarithmic
    ? Math.log(v / p.lower) / Math.log(p.upper / p.lower) : (v - p.lower) / (p.upper - p.lower)));
  const toValue = (p, s) => (p.logarithmic
    ? p.lower * (p.upper / p.lower) ** (s / STEPS) : p.lower + (p.upper - p.lower) * (s / STEPS));
  const written = (p, v) => String(Number((v * scale(p)).toPrecision(5)));

  function slider(p) {
    const box = document.createElement("div");
    box.className = "ss-parameter";
    const name = unit(p) && !p.name.endsWith(unit(p)) ? `${p.name} (${unit(p)})` : p.name;
    box.innerHTML = `<label for="ss-${p.name}"></label><input type="number" step="any" id="ss-n-${p.name}">
      <input type="range" min="0" max="${STEPS}" id="ss-${p.name}"><small></small>`;
    const [label, number, range, words] = box.children;
    label.textContent = name;
    words.textContent = p.description;
    number.setAttribute("aria-label", `${name}, number`);
    range.setAttribute("aria-describedby", `ss-w-${p.name}`);
    words.id = `ss-w-${p.name}`;
    const put = (v) => {
      number.value = written(p, v);
      range.value = toStep(p, v);
      range.setAttribute("aria-valuetext", `${number.value} ${unit(p)}`);
    };
    put(state.values[p.name]);
    p.put = put;
    range.disabled = number.disabled = p.held;
    range.addEventListener("input", () => { move(p.name, toValue(p, Number(range.value))); put(state.values[p.name]); });
    number.addEventListener("change", () => {
      const v = Number(number.value) / scale(p);
      if (!(v >= p.lower && v <= p.upper)) {
        say(`${p.name} = ${number.value} ${unit(p)}; it must lie in ${written(p, p.lower)} to ${written(p, p.upper)} ${unit(p)}.`
          .replaceAll("  ", " ").replace(" ;", ";").replace(" .", "."));
        put(state.values[p.name]);
        return;
      }
      move(p.name, v);
      put(v);
      tell();
    });
    range.addEventListener("change", tell);
    return box;
  }

  function move(name, value) {
    state.values[name] = value;
    state.moved = performance.now();
    dirty = true;
    pump();
  }

  const tell = () => emitEvent("strainscope_values", { ...state.values });

  // One request at a time, always with the latest values: slider events are never queued.
  async function pump() {
    if (busy || !state.ask) return;
    busy = true;
    while (dirty) {
      dirty = false;
      const moved = state.moved, asked = state.ask;
      try {
        const reply = await answer(await fetch(SIMULATE, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ ...asked, values: state.values }),
        }));
        if (asked !== state.ask) continue;
        draw(reply);
        if (latencies.push(performance.now() - moved) > 1000) latencies.shift();
      } catch (error) {
        say(error.message);
      }
    }
    busy = false;
  }

  // Charts --------------------------------------------------------------------------------------------------------

  const chart = (id) => getElement(id);
  async function ready(id) {
    for (let i = 0; i < 500; i++) {
      const own = chart(id);
      if (own?.Plotly && own.$el?.data) return own;
      await new Promise((r) => setTimeout(r, 20));
    }
    throw new Error("the charts did not load; reload the page.");
  }

  const residuals = (curve) => state.measured.intensity.map(
    (m, i) => (m > 0 && curve[i] > 0 ? Math.log10(m / curve[i]) : null));

  // While a slider moves only the lines' own paths are written, which takes a millisecond; a chart that is drawn anew takes
  // thirty. Ranges and what a pointer shows follow once the slider rests.
  function writeLine(element, subplot, nth, x, y) {
    const layout = element._fullLayout, line = element.querySelectorAll(`.subplot.${subplot} .scatterlayer .trace`)[nth]
      ?.querySelector("path.js-line");
    if (!line || !layout) return false;
    const across = layout.xaxis, along = subplot === "xy" ? layout.yaxis : layout.yaxis2;
    let path = "", pen = "M";
    for (let i = 0; i < x.length; i++) {
      const v = y[i] === null ? NaN : along.c2p(y[i]);
      if (!Number.isFinite(v)) { pen = "M"; continue; }
      path += `${pen}${across.c2p(x[i]).toFixed(1)},${v.toFixed(1)}`;
      pen = "L";
    }
    line.setAttribute("d", path || "M0,0");
    return true;
  }

  let resting = 0, missed = false;
  function draw(reply) {
    // Another tab is open: drawn when this one is.
    if (!byId("ss-rms")) { missed = true; return; }
    const own = chart(state.ids.curve), beside = chart(state.ids.profile);
    const angle = state.measured.angle, residual = residuals(reply.intensity);
    const nm = reply.profile.depth_A.map((d) => d / 10), strain = reply.profile.strain.map((s) => 100 * s);
    const factor = reply.profile.debye_waller;
    const quick = !state.fresh && writeLine(own.$el, "xy", 1, angle, reply.intensity) && writeLine(own.$el, "xy2", 0, angle, residual)
      && writeLine(beside.$el, "xy", 0, nm, strain) && writeLine(beside.$el, "xy2", 0, nm, factor);
    const whole = () => {
      own.Plotly.restyle(own.$el, { y: [reply.intensity, residual] }, [1, 2]);
      beside.Plotly.restyle(beside.$el, { x: [nm, nm], y: [strain, factor] }, [0, 1]);
    };
    clearTimeout(resting);
    if (quick) resting = setTimeout(whole, REST_MS); else whole();
    state.fresh = false;
    byId("ss-rms").textContent = `rms of log₁₀ ${reply.rms_log10.toPrecision(3)}`;
    byId("ss-notes").textContent = reply.notes.join(" ");
  }

  // While another tab is open the charts and sliders are not in the document: they are filled once they are.
  let pending = null;
  async function load(given) {
    state.ask = null;
    pending = given;
    if (!byId(given.ids.sliders)) return;
    const [own, beside] = await Promise.all([ready(given.ids.curve), ready(given.ids.profile)]);
    // Another tab may have been opened meanwhile, or something else asked for.
    if (pending !== given || !byId(given.ids.sliders)) return;
    pending = null;
    Object.assign(state, { parameters: given.parameters, values: { ...given.values }, measured: given.measured, ids: given.ids });
    const seen = given.measured.intensity.map((v) => (v > 0 ? v : null)), angle = given.measured.angle;
    const { ask } = given, scan = [ask.scan, ask.number, ask.axis].join(" ");
    if (scan !== state.scan) {
      own.Plotly.restyle(own.$el, { x: [angle, angle, angle], y: [seen, [], []] }, [0, 1, 2]);
      state.scan = scan;
    }
    own.Plotly.relayout(own.$el, {
      "xaxis.title.text": given.measured.label, "xaxis.autorange": true, "yaxis.autorange": true, "yaxis2.autorange": true,
      "yaxis.title.text": given.measured.words,
    });
    beside.Plotly.relayout(beside.$el, { "yaxis2.title.text": given.factor });
    const box = byId(given.ids.sliders);
    box.replaceChildren(...given.parameters.map(slider));
    state.ask = given.ask;
    state.fresh = true;
    stale(false);
    theme();
    dirty = true;
    state.moved = performance.now();
    await pump();
  }

  function setValues(values) {
    const given = pending ?? state, outside = [];
    for (const p of given.parameters) {
      if (!(p.name in values) || p.held) continue;
      if (values[p.name] >= p.lower && values[p.name] <= p.upper) given.values[p.name] = values[p.name];
      else outside.push(p.name);
    }
    if (outside.length) say(`${outside.join(", ")}: the result's values lie outside of this scan's sliders; they were left.`);
    if (pending) { shown(); return; }
    for (const p of state.parameters) p.put(state.values[p.name]);
    if (state.parameters.length) move(state.parameters[0].name, state.values[state.parameters[0].name]);
    tell();
  }

  // What is described cannot be simulated: the curves are of something else, and the sliders rest.
  function hold() {
    state.ask = pending = null;
    stale(true);
  }

  function stale(is) {
    for (const part of document.querySelectorAll(".ss-live")) part.classList.toggle("ss-stale", is);
  }

  function shown() {
    theme();
    if (pending) load(pending);
    else if (missed) { missed = false; dirty = true; pump(); }
  }

  // Light and dark ------------------------------------------------------------------------------------------------

  // The browser keeps what was chosen; without a choice the page follows the system.
  const KEPT = "strainscope-dark";
  const kept = () => JSON.parse(localStorage.getItem(KEPT));
  function turned() {
    const wanted = !dark();
    localStorage.setItem(KEPT, JSON.stringify(wanted));
    return wanted;
  }

  const BEST = { light: "#0072B2", dark: "#56B4E9" }, POINTS = { light: "#6b6b6b", dark: "#b0b6bd" };

  function theme() {
    const mode = dark() ? "dark" : "light";
    const ink = dark() ? "#e6e9ec" : "#1b1f23", rule = dark() ? "#363c43" : "#d8dee4";
    for (const element of document.querySelectorAll(".js-plotly-plot")) {
      const component = getElement(Number(element.id.slice(1)));
      // What is hidden has no size; it is seen to when its tab is opened.
      if (!component?.Plotly || !element.data || !element.offsetParent) continue;
      component.Plotly.Plots.resize(element);
      const layout = { "font.color": ink, "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)" };
      for (const axis of Object.keys(element.layout).filter((key) => /^[xy]axis/.test(key))) {
        layout[`${axis}.gridcolor`] = rule;
        layout[`${axis}.zerolinecolor`] = rule;
        layout[`${axis}.linecolor`] = rule;
      }
      component.Plotly.relayout(element, layout);
      element.data.forEach((trace, i) => {
        const colour = trace.meta === "best" ? BEST[mode] : trace.meta === "points" ? POINTS[mode] : null;
        if (colour) component.Plotly.restyle(element, { "line.color": colour, "marker.color": colour }, [i]);
      });
    }
  }

  document.addEventListener("DOMContentLoaded", () => {
    let before = dark();
    new MutationObserver(() => { if (dark() !== before) { before = dark(); theme(); } })
      .observe(document.body, { attributes: true, attributeFilter: ["class"] });
  });

  let resizing = 0;
  window.addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(theme, REST_MS); });

  async function copy(text) {
    try { await navigator.clipboard.writeText(text); return true; } catch { return false; }
  }

  return { load, hold, setValues, shown, theme, turned, kept, copy, latencies, state, idle: () => !busy && !dirty };
})();
