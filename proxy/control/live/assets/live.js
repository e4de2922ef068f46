/* The live view: draws each state that the proxy sends. All texts go in as texts, never as markup. */
(() => {
  "use strict";

  const find = (id) => document.getElementById(id);
  const make = (name, classes, text) => {
    const node = document.createElement(name);
    if (classes) node.className = classes;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const shape = (name, attributes) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    Object.entries(attributes).forEach(([key, value]) => node.setAttribute(key, value));
    return node;
  };

  const integer = (value) => Math.round(value).toLocaleString("en-US");
  const seconds = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.floor(ms / 60000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")} min`);
  const dollars = (text) => {
    const value = Number(text);
    return `$${value >= 1 || value === 0 ? value.toFixed(2) : value.toPrecision(2)}`;
  };
  const classes = { measured: "m", estimated: "e", "at least": "l" };
  const marked = (text, mark) => {
    const node = make("span", `v ${classes[mark] || "n"}`, classes[mark] ? text : mark);
    if (classes[mark]) { node.title = mark; node.append(make("span", "vh", ` ${mark}`)); }
    return node;
  };
  const put = (id, node, why = "") => { find(id).replaceChildren(node); find(`${id}-why`).textContent = why; };
  const cell = (content, style) => {
    const node = make("td", style);
    node.append(content);
    return node;
  };

  /* Only the endpoint's own prices are measured, as on pages. */
  const sourceName = (source) => (source === "upstream" ? "the endpoint" : source);
  const priced = (part, isLeast) => {
    const isStated = part.price_kind === null || part.price_kind === "endpoint";
    const node = marked(dollars(part.cost_usd), isLeast ? "at least" : isStated ? "measured" : "estimated");
    node.title = `${node.title}; prices: ${part.price_sources.map(sourceName).join(", ")}`;
    return node;
  };

  const showMinute = (minute) => {
    put("calls", marked(integer(minute.calls), "measured"), minute.failed ? `${integer(minute.failed)} failed attempts` : "no failed attempt");
    const mark = minute.uncounted_calls ? (minute.tokens ? "at least" : "not recorded") : minute.estimated_tokens ? "estimated" : "measured";
    const parts = [];
    if (minute.estimated_tokens) parts.push(`${integer(minute.estimated_tokens)} estimated`);
    if (minute.uncounted_calls) parts.push(`${integer(minute.uncounted_calls)} calls uncounted`);
    put("tokens", marked(integer(minute.tokens), minute.calls ? mark : "measured"), parts.join(", "));
    const cost = minute.cost_usd === null ? marked("", "not recorded") : priced(minute, minute.unpriced_calls);
    const prices = minute.price_sources.length ? [`prices: ${minute.price_sources.map(sourceName).join(", ")}`] : [];
    if (minute.unpriced_calls) prices.push(`${integer(minute.unpriced_calls)} calls without a price`);
    put("cost", cost, prices.join("; "));
    const ttft = minute.ttft_ms_p50 === null ? marked("", "not recorded") : marked(seconds(minute.ttft_ms_p50), "measured");
    put("ttft", ttft, minute.ttft_ms_p50 === null ? "" : `median; p95 ${seconds(minute.ttft_ms_p95)}`);
    const most = Math.max(1, ...minute.tokens_by_second), width = 100 / minute.tokens_by_second.length, parts2 = [];
    minute.tokens_by_second.forEach((value, n) => {
      const height = 38 * value / most;
      if (value) parts2.push(shape("rect", { class: "f-model", x: `${n * width}%`, width: `${0.8 * width}%`, y: 42 - height, height }));
      if (minute.failed_by_second[n]) parts2.push(shape("circle", { class: "f-failed", cx: `${(n + 0.4) * width}%`, cy: 48, r: 2.5 }));
    });
    const text = (x, y, content, anchor) => { const node = shape("text", { x, y, class: anchor || "" }); node.textContent = content; return node; };
    parts2.push(shape("line", { class: "axis", x1: 0, x2: "100%", y1: 42, y2: 42 }), text(0, 62, "60 s ago"), text("100%", 62, `now; most in a second ${integer(most === 1 ? 0 : most)}`, "to"));
    find("rate").replaceChildren(...parts2);
  };

  const bars = (row, now, reach) => {
    const svg = shape("svg", { class: "spark", width: "100%", height: 16, "aria-hidden": "true" });
    const x = (ms) => `${Math.min(100, Math.max(0, 100 * ms / reach))}%`;
    svg.append(shape("rect", { class: "f-agent", x: 0, y: 7.5, width: x(now - row.first_ms), height: 1 }));
    row.bars.forEach(([at, length, ok]) => svg.append(shape("rect", { class: ok ? "f-model" : "f-failed", x: x(at - row.first_ms), y: 3, width: `max(2px, ${x(length)})`, height: 10 })));
    row.open_ms.forEach((at) => svg.append(shape("rect", { class: "f-wait", x: x(at - row.first_ms), y: 3, width: `max(2px, ${x(now - at)})`, height: 10 })));
    return svg;
  };
  const costOf = (row) => {
    if (row.cost_usd === null) return marked("", row.calls ? "not recorded" : "none yet");
    const node = make("span"), isStated = row.price_kind === null || row.price_kind === "endpoint";
    node.append(priced(row, row.cost_is_least));
    if (!isStated) node.append(make("span", "dim", ` by ${row.price_kind}`));
    return node;
  };
  const limit = (spent, most, text, name) => {
    const share = spent === null ? 0 : Math.min(1, Math.max(0, spent / most));
    const bar = shape("svg", { class: "spark", width: 56, height: 8, "aria-hidden": "true" });
    bar.append(shape("rect", { class: "f-agent", x: 0, y: 2, width: "100%", height: 4 }), shape("rect", { class: share >= 0.9 ? "f-failed" : "f-model", x: 0, y: 2, width: `${100 * share}%`, height: 4 }));
    const line = make("div", "limit");
    line.append(bar, make("span", share >= 0.9 ? "alarm" : "", `${spent === null ? "not known" : text(spent)} of ${text(most)} ${name}`.trim()));
    return line;
  };
  /* What counts against each limit of a cell's key; a key without limits has but its time. */
  const budgetOf = (row, now) => {
    const node = make("td", "text"), budget = row.budget;
    if (budget === null) { node.append(marked("", "not known")); return node; }
    const number = (value) => (value === null ? null : Number(value));
    if (budget.calls) node.append(limit(number(budget.calls.spent), budget.calls.limit, integer, "calls"));
    if (budget.tokens) node.append(limit(number(budget.tokens.spent), budget.tokens.limit, integer, "tokens"));
    if (budget.cost_usd) node.append(limit(number(budget.cost_usd.spent), Number(budget.cost_usd.limit), dollars, ""));
    for (const period of ["minute", "day", "month"]) {
      for (const [what, text] of [["calls", integer], ["tokens", integer], ["cost_usd", dollars]]) {
        const part = budget[`${what}_per_${period}`];
        if (part) node.append(limit(number(part.spent), Number(part.limit), text, `${what === "cost_usd" ? "" : what} per ${period}`.trim()));
      }
    }
    if (budget.expires_ms !== undefined) node.append(limit(now - row.first_ms, Math.max(1, budget.expires_ms - row.first_ms), seconds, ""));
    return node;
  };
  const hasBudget = (row) => row.budget === null || Object.keys(row.budget).length > 0;
  const nameOf = (row) => {
    const node = make("th", "text", row.cell_id ?? "calls of no cell");
    node.scope = "row";
    return node;
  };
  const drawRunning = (row, now, reach, budgets) => {
    const line = make("tr");
    const calls = row.in_flight ? `${integer(row.calls)} + ${row.in_flight} open` : integer(row.calls);
    line.append(nameOf(row), cell(seconds(now - row.first_ms), "r"), cell(bars(row, now, reach), "chart"), cell(calls, "r"),
      cell(marked(integer(row.tokens), row.tokens_mark), "r"), cell(costOf(row), "r"), cell(integer(row.failed), row.failed ? "r alarm" : "r"));
    if (budgets) line.append(budgetOf(row, now));
    return line;
  };
  const drawEnded = (row) => {
    const line = make("tr");
    line.append(nameOf(row), cell(integer(row.calls), "r"), cell(marked(integer(row.tokens), row.tokens_mark), "r"), cell(seconds(row.sealed_ms - row.first_ms), "r"));
    return line;
  };
  const drawFailure = (failure) => {
    const line = make("tr");
    line.append(cell(failure.at.slice(11, 19)), cell(failure.cell_id ?? "calls of no cell", "text"), cell(`${failure.status ?? ""} ${failure.end_reason.replaceAll("_", " ")}`, "alarm"));
    return line;
  };
  const none = (columns) => { const line = make("tr"), node = cell("none", "dim"); node.colSpan = columns; line.append(node); return [line]; };
  const fill = (id, rows, columns) => find(id).replaceChildren(...(rows.length ? rows : none(columns)));

  const show = (state) => {
    const now = state.at_ms, reach = Math.max(20000, ...state.cells.map((row) => now - row.first_ms));
    find("now").textContent = `${new Date(now).toISOString().slice(0, 19).replace("T", " ")} UTC · ${integer(state.running_cells)} cells running, ${integer(state.calls_in_flight)} calls in flight`;
    showMinute(state.minute);
    find("running-count").textContent = `(${integer(state.running_cells)})`;
    find("scale").textContent = `calls since its start, 0 to ${seconds(reach)}`;
    const budgets = state.cells.some(hasBudget);
    find("budgets").hidden = !budgets;
    fill("cells", state.cells.map((row) => drawRunning(row, now, reach, budgets)), budgets ? 8 : 7);
    find("more").textContent = state.running_cells > state.cells.length ? `${integer(state.running_cells - state.cells.length)} more are not shown.` : "";
    fill("ended", state.ended.map(drawEnded), 4);
    fill("failures", state.failures.map(drawFailure), 3);
  };

  /* At most twice a second, as states come, and only while somebody can see it. */
  let next = null, frame = 0, last = 0;
  const paint = (stamp) => {
    frame = 0;
    if (stamp - last < 240) { frame = requestAnimationFrame(paint); return; }
    last = stamp;
    if (next) { const state = next; next = null; show(state); }
  };
  const status = (text, isBad) => { find("status").textContent = text; find("status").classList.toggle("alarm", isBad); };
  const source = new EventSource("/cab/live/events");
  source.onopen = () => status("live", false);
  source.onmessage = (event) => { next = JSON.parse(event.data); frame = frame || requestAnimationFrame(paint); };
  source.onerror = () => status(source.readyState === EventSource.CLOSED ? "not followed any more: the proxy has ended, or this session has; open its address again" : "the connection broke; trying again", true);
})();
