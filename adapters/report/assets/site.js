/* One classic script for all pages: no request, no module, no handler in the markup. A page reads without it. */
(() => {
  "use strict";

  const find = (id) => document.getElementById(id);
  const all = (selector, from = document) => [...from.querySelectorAll(selector)];
  const data = (id) => { const node = find(id); return node && JSON.parse(node.textContent); };
  const say = (text) => { find("spoken").textContent = text; };
  const make = (name, text, classes) => {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    if (classes) node.className = classes;
    return node;
  };

  /* Theme: as the system says, light, or dark. Storage may be forbidden. */
  const themes = ["auto", "light", "dark"];
  const readTheme = () => {
    try { const kept = localStorage.getItem("cab-theme"); return themes.includes(kept) ? kept : "auto"; } catch { return "auto"; }
  };
  let theme = readTheme();
  const themeButton = find("theme");
  const applyTheme = () => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    if (themeButton) themeButton.textContent = `Theme: ${theme}`;
  };
  applyTheme();
  if (themeButton) {
    themeButton.hidden = false;
    themeButton.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      try { localStorage.setItem("cab-theme", theme); } catch { /* it lasts as long as the page */ }
      applyTheme();
    });
  }

  /* Tables of many rows come as columns: rows are drawn here. */
  const drawCell = (column, row) => {
    const kind = column.kind;
    const cell = make(kind === "step" || kind === "link" ? "th" : "td");
    const text = column.text[row], raw = column.raw[row], mark = column.mark ? column.mark[row] : "";
    const classes = [mark, kind === "number" || kind === "step" ? "r" : "", kind === "code" ? "code" : "", column.alarm && column.alarm[row] ? "alarm" : ""];
    cell.className = classes.filter(Boolean).join(" ");
    if (raw !== null && raw !== text) cell.dataset.v = raw;
    if (kind === "link") {
      cell.scope = "row";
      const link = cell.appendChild(make("a", text));
      link.href = column.href[row];
    } else if (kind === "step") {
      cell.scope = "row";
      const button = cell.appendChild(make("button", text));
      button.type = "button";
      button.dataset.stepTo = column.steps[row];
      button.append(make("span", " in the replay", "vh"));
    } else cell.textContent = text;
    return cell;
  };
  const drawRows = (table) => {
    const given = data(table.dataset.columns);
    const bad = new Set(given.bad), rows = document.createDocumentFragment();
    for (let n = 0; n < given.columns[0].text.length; n += 1) {
      const row = make("tr", undefined, bad.has(n) ? "bad" : "");
      if (given.columns[0].steps) row.dataset.step = given.columns[0].steps[n];
      row.append(...given.columns.map((column) => drawCell(column, n)));
      rows.append(row);
    }
    table.tBodies[0].append(rows);
  };
  all("table[data-columns]").forEach(drawRows);

  /* Messages of calls, where they were kept: the page holds their number, a script beside it the texts. */
  const saidRows = new Map(); /* row of a call -> the row below it that shows its messages */
  const plural = (count, noun) => `${count} ${noun}${count === 1 ? "" : "s"}`;
  const fold = (title, content, isOpen, classes) => {
    const box = make("details", undefined, classes), head = make("summary", title);
    box.open = isOpen;
    box.append(head);
    const fill = () => { if (box.open && box.childElementCount === 1) box.append(...content()); };
    box.addEventListener("toggle", fill);
    fill();
    return box;
  };
  const saidText = (text) => {
    const block = make("pre", text, "printed");
    block.tabIndex = 0; /* a long one is scrolled */
    return block;
  };
  const saidPart = (part) => {
    const id = part.id ? ` (${part.id})` : "";
    if (part.kind === "text") return saidText(part.text);
    if (part.kind === "media") return make("p", part.text, "note");
    if (part.kind === "reasoning") return fold("Reasoning", () => [saidText(part.text)], false);
    if (part.kind === "call") return fold(`Tool call: ${part.name}${id}`, () => [saidText(part.text)], true);
    if (part.kind === "result") return fold(`${part.error ? "Failed tool result" : "Tool result"}${part.name ? `: ${part.name}` : ""}${id}`, () => part.parts.map(saidPart), true);
    return fold(`Other: ${part.name}`, () => [saidText(part.text)], false);
  };
  const saidMessage = (message) => {
    const box = make("div", undefined, "message");
    box.append(make("h4", message.finish ? `${message.role} · ${message.finish}` : message.role));
    box.append(...(message.parts.length ? message.parts.map(saidPart) : [make("p", "Empty.", "note")]));
    return box;
  };
  const saidContent = (place, index, calls, numbers) => {
    const facts = index[place], call = calls[place], content = [];
    const history = (n) => { /* all messages of a call's request, and its answer */
      const before = "as" in index[n] ? history(index[n].as).slice(0, index[n].earlier) : [];
      return [...before, ...calls[n].new, ...(calls[n].answer ? calls[n].answer.messages : [])];
    };
    content.push(make("h3", "Request"));
    if (!call.kept) content.push(make("p", "The request was not kept.", "note"));
    if ("as" in facts) {
      const title = `${plural(facts.earlier, "earlier message")} as in call ${numbers[facts.as]}`;
      content.push(fold(title, () => history(facts.as).slice(0, facts.earlier).map(saidMessage), false));
    }
    content.push(...call.new.map(saidMessage));
    content.push(make("h3", "Answer"));
    if (!call.answer) content.push(make("p", "No answer was kept.", "note"));
    else {
      if (call.answer.error !== null) content.push(make("p", call.answer.error, "alarm"));
      content.push(...call.answer.messages.map(saidMessage));
    }
    if (call.tools.length) content.push(fold(`${plural(call.tools.length, "tool")} offered`, () => [make("p", call.tools.join(", "), "note")], false));
    if (call.settings) content.push(fold("Other members of the request", () => [saidText(call.settings)], false));
    return content;
  };
  let saidLoaded = null;
  const loadSaid = (given) => {
    saidLoaded ??= given.data ? Promise.resolve(given.data) : new Promise((resolve, reject) => {
      const script = make("script");
      script.src = given.file;
      script.addEventListener("load", () => (Array.isArray(window.cabMessages) ? resolve(window.cabMessages) : reject(new Error(given.file))));
      script.addEventListener("error", () => { script.remove(); saidLoaded = null; reject(new Error(given.file)); });
      document.body.append(script);
    });
    return saidLoaded;
  };
  const closeSaid = (row) => {
    const below = saidRows.get(row);
    if (!below) return;
    below.remove();
    saidRows.delete(row);
    row.querySelector("button[data-said-of]").setAttribute("aria-expanded", "false");
  };
  const openSaid = (table, row, place, given) => {
    const below = make("tr", undefined, "said"), cell = below.appendChild(make("td"));
    const box = cell.appendChild(make("div"));
    cell.colSpan = row.cells.length;
    row.after(below);
    saidRows.set(row, below);
    row.querySelector("button[data-said-of]").setAttribute("aria-expanded", "true");
    loadSaid(given).then(
      (calls) => box.append(...saidContent(place, given.calls, calls, table.saidNumbers)),
      () => box.append(make("p", `${given.file} is missing: it lies beside this page.`, "alarm")),
    );
  };
  const addSaid = (table) => {
    const given = data(table.dataset.said), rows = [...table.tBodies[0].rows];
    const head = make("th", "messages");
    head.scope = "col";
    table.tHead.rows[0].cells[0].after(head);
    table.tFoot.rows[0].cells[0].after(make("td"));
    table.saidNumbers = rows.map((row) => row.cells[0].dataset.v ?? row.cells[0].firstChild.textContent);
    rows.forEach((row, place) => {
      const facts = given.calls[place], cell = make("td", "new" in facts ? undefined : "–");
      row.cells[0].after(cell);
      if (!("new" in facts)) return;
      cell.dataset.v = facts.new;
      const button = cell.appendChild(make("button", `${facts.new} new`, "small"));
      button.type = "button";
      button.dataset.saidOf = place;
      button.append(make("span", ` in call ${table.saidNumbers[place]}`, "vh"));
      button.setAttribute("aria-expanded", "false");
      button.addEventListener("click", () => (saidRows.has(row) ? closeSaid(row) : openSaid(table, row, place, given)));
    });
  };
  all("table[data-said]").forEach(addSaid);

  /* Sorting: raw values where there are some; what is unknown stays at the end either way. */
  const rawValue = (cell) => {
    const raw = cell.dataset.v ?? cell.textContent.trim();
    if (raw === "" || raw === "–" || cell.querySelector(".v.n")) return null;
    return Number.isNaN(Number(raw)) ? raw : Number(raw);
  };
  const words = new Intl.Collator("en", { numeric: true });
  const inOrder = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : words.compare(String(a), String(b)));
  const sortBy = (table, head) => {
    const isNumber = head.classList.contains("r");
    const before = head.getAttribute("aria-sort");
    const down = before ? before === "ascending" : isNumber;
    all("thead th", table).forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].filter((row) => row.className !== "said").map((row) => [rawValue(row.cells[head.cellIndex]), row]);
    rows.sort(([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return down ? inOrder(b, a) : inOrder(a, b);
    });
    body.append(...rows.flatMap(([, row]) => [row, saidRows.get(row)]).filter(Boolean));
    say(`Sorted by ${head.textContent}, ${down ? "descending" : "ascending"}`);
  };
  all("table[data-sort]").forEach((table) => {
    all("thead th", table).forEach((head) => {
      const button = make("button", head.textContent);
      button.type = "button";
      head.replaceChildren(button);
      button.addEventListener("click", () => sortBy(table, head));
    });
  });

  /* Filtering: each word must be somewhere in a row. */
  const filters = all("input[data-filter]");
  filters.forEach((input) => {
    const table = find(input.dataset.filter), count = document.querySelector(`[data-count="${input.dataset.filter}"]`);
    const texts = new Map([...table.tBodies[0].rows].map((row) => [row, row.textContent.toLowerCase()]));
    input.disabled = false;
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase().split(/\s+/);
      let shown = 0;
      texts.forEach((text, row) => {
        row.hidden = !wanted.every((word) => text.includes(word));
        if (row.hidden) closeSaid(row);
        shown += !row.hidden;
      });
      count.textContent = input.value ? `${shown} of ${texts.size}` : "";
    });
  });
  document.addEventListener("keydown", (event) => {
    const typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable;
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing || !filters.length) return;
    event.preventDefault();
    filters[0].focus();
  });

  /* Copying: a block's text, or the rows of a table that are shown, with raw values. */
  const asTsv = (table) => [...table.rows].filter((row) => !row.hidden && row.className !== "said").map((row) => [...row.cells].map((cell) => {
    const hidden = all(".vh", cell).map((node) => node.textContent).join("");
    const text = cell.dataset.v ?? cell.textContent.replace(hidden, "").trim();
    return text === "–" ? "" : text.replace(/\s+/g, " ");
  }).join("\t")).join("\n") + "\n";
  const copyOldWay = (text) => {
    const area = make("textarea", undefined, "vh");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done ? Promise.resolve() : Promise.reject(new Error("copying is not allowed"));
  };
  const copy = (text) => (navigator.clipboard && window.isSecureContext
    ? navigator.clipboard.writeText(text).catch(() => copyOldWay(text)) : copyOldWay(text));
  all("button[data-copy]").forEach((button) => {
    button.hidden = false;
    const label = [...button.childNodes];
    let timer = 0;
    button.addEventListener("click", () => {
      const from = find(button.dataset.copy);
      copy(from.tagName === "TABLE" ? asTsv(from) : from.textContent).then(
        () => { button.textContent = "Copied"; say("Copied"); },
        () => { button.textContent = "Not allowed"; say("Copying is not allowed here"); },
      ).finally(() => {
        button.focus();
        clearTimeout(timer);
        timer = setTimeout(() => button.replaceChildren(...label), 1500);
      });
    });
  });

  /* The rail marks the part that is being read. */
  const rail = new Map(all(".rail a").map((link) => [link.hash.slice(1), link]));
  if (rail.size && "IntersectionObserver" in window) {
    const visible = new Set();
    const observer = new IntersectionObserver((entries) => {
      entries.forEach((entry) => (entry.isIntersecting ? visible.add(entry.target.id) : visible.delete(entry.target.id)));
      const first = [...rail.keys()].find((id) => visible.has(id));
      if (first) rail.forEach((link, id) => link.classList.toggle("here", id === first));
    }, { rootMargin: "0px 0px -55% 0px" });
    rail.forEach((_, id) => { if (find(id)) observer.observe(find(id)); });
  }

  /* Replay: spans and calls on the clock of the run. */
  const trace = data("trace-data"), box = find("replay");
  if (trace && box) {
    const { steps, end } = trace;
    const position = find("position"), clock = find("clock"), head = find("playhead"), chart = find("timeline");
    const playButton = find("play"), speed = find("speed"), title = find("step-name"), facts = find("step-facts");
    const asTime = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);
    let now = 0, current = -1, frame = 0, last = 0;

    const stepAt = (ms) => {
      let running = -1, begun = 0;
      steps.forEach((step, n) => {
        if (step.at > ms + 0.001) return;
        begun = n;
        if (step.at + step.ms >= ms) running = n;
      });
      return running < 0 ? begun : running;
    };
    const rowOf = (n) => { /* a call is a row of a table already */
      const row = document.querySelector(`#calls-table tr[data-step="${n}"]`);
      if (!row) return [];
      const heads = document.querySelectorAll("#calls-table thead th");
      return [...row.cells].slice(1).map((cell, at) => [heads[at + 1].textContent, cell.dataset.v ?? cell.textContent]);
    };
    const show = (n) => {
      if (n === current) return;
      current = n;
      all("[data-step].now").forEach((node) => node.classList.remove("now"));
      all(`[data-step="${n}"]`).forEach((node) => node.classList.add("now"));
      const step = steps[n];
      title.textContent = `${n + 1} of ${steps.length} · ${step.kind} · ${step.name}`;
      facts.replaceChildren(...[...rowOf(n), ...step.rows].flatMap(([name, value]) => [make("dt", name), make("dd", value)]));
    };
    const moveTo = (ms, n) => {
      now = Math.min(Math.max(ms, 0), end);
      position.value = now;
      position.setAttribute("aria-valuetext", asTime(now));
      const x = `${end ? 100 * now / end : 0}%`;
      head.setAttribute("x1", x);
      head.setAttribute("x2", x);
      clock.textContent = `t = ${asTime(now)} / ${asTime(end)}`;
      show(n ?? stepAt(now));
    };
    const pause = () => {
      cancelAnimationFrame(frame);
      frame = 0;
      playButton.textContent = "Play";
      playButton.setAttribute("aria-pressed", "false");
    };
    const tick = (stamp) => {
      const factor = speed.value === "fit" ? end / 10000 : Number(speed.value);
      moveTo(now + Math.max(0, stamp - last) * factor);
      last = stamp;
      if (now >= end) pause(); else frame = requestAnimationFrame(tick);
    };
    const toggle = () => {
      if (frame) { pause(); return; }
      if (now >= end) moveTo(0);
      last = performance.now();
      frame = requestAnimationFrame(tick);
      playButton.textContent = "Pause";
      playButton.setAttribute("aria-pressed", "true");
    };
    const toStep = (n) => {
      pause();
      const to = Math.min(Math.max(n, 0), steps.length - 1);
      moveTo(steps[to].at, to);
      say(title.textContent);
    };
    const toTime = (ms) => { pause(); moveTo(ms); };
    const keys = {
      " ": toggle,
      ArrowLeft: () => toStep(current - 1),
      ArrowRight: () => toStep(current + 1),
      ",": () => toTime(now - 100),
      ".": () => toTime(now + 100),
      Home: () => toTime(0),
      End: () => toTime(end),
    };
    box.addEventListener("keydown", (event) => {
      const on = event.target.tagName;
      if (event.ctrlKey || event.metaKey || event.altKey || on === "SELECT" || !(event.key in keys)) return;
      if (event.key === " " && on === "BUTTON") return;
      event.preventDefault();
      keys[event.key]();
    });
    [playButton, find("back"), find("fore"), speed, position].forEach((control) => { control.disabled = false; });
    playButton.addEventListener("click", toggle);
    find("back").addEventListener("click", keys.ArrowLeft);
    find("fore").addEventListener("click", keys.ArrowRight);
    position.addEventListener("input", () => toTime(Number(position.value)));
    chart.addEventListener("click", (event) => {
      const hit = event.target.closest("[data-step]"), area = chart.getBoundingClientRect();
      if (hit) toStep(Number(hit.dataset.step)); else toTime(end * (event.clientX - area.left) / area.width);
      box.focus({ preventScroll: true });
    });
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-step-to]");
      if (!button) return;
      toStep(Number(button.dataset.stepTo));
      box.scrollIntoView({ block: "center" });
      box.focus({ preventScroll: true });
    });
    moveTo(0, 0);
  }

  /* Terminal playback; the player is there only if there is a recording. */
  const screen = find("player"), cast = data("cast-data");
  if (screen && cast && window.AsciinemaPlayer) {
    screen.replaceChildren();
    window.AsciinemaPlayer.create({ data: cast }, screen, {
      fit: "width", idleTimeLimit: 2, preload: true, poster: `npt:${screen.dataset.end}`,
      terminalFontFamily: "monospace", theme: "asciinema",
    });
  }
})();
