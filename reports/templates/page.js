"use strict";
// What the page does beyond being read: tables sort, turn their pages and show one state; figures tell of the point or line
// that is nearest to the pointer, and lead to its part of the page; drawings are unpacked when they are opened.

const number = (text) => {
  const value = parseFloat(text.replace("\u2212", "-").replace(/[, ]/g, ""));
  return Number.isNaN(value) ? null : value;
};

// Numbers as numbers, words as words, and what is not known always last.
const compare = (a, b, up) => {
  const blank = (text) => text === "\u2013" || text === "";
  if (blank(a) || blank(b)) return blank(a) - blank(b);
  const [x, y] = [number(a), number(b)];
  const difference = x === null || y === null ? a.localeCompare(b) : x - y;
  return up ? difference : -difference;
};

// Sets aria-sort on the heading of a column; gives whether it is ascending now.
const turn = (button) => {
  const heading = button.parentElement;
  const up = heading.getAttribute("aria-sort") !== "ascending";
  for (const other of heading.parentElement.cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  return up;
};

// A table all of whose rows are in the page.
const sortable = (table) => {
  const body = table.tBodies[0];
  table.querySelectorAll("thead button").forEach((button, column) => button.addEventListener("click", () => {
    const up = turn(button);
    body.append(...[...body.rows].sort((a, b) => compare(a.cells[column].textContent, b.cells[column].textContent, up)));
  }));
};

// The table of all trials: its rows are data, of which a page is shown.
class Trials {
  constructor(study) {
    this.study = study;
    this.script = study.querySelector("script.trials");
    this.table = study.querySelector(".all-trials table");
    if (!this.table) return;
    this.pager = study.querySelector(".pager");
    this.states = study.querySelector(".states");
    this.first = 0;
    this.table.querySelectorAll("thead button").forEach((button, column) => button.addEventListener("click", () => {
      this.sort(column, turn(button));
      this.show(0);
    }));
    this.states?.addEventListener("change", () => this.show(0));
    this.pager.querySelector(".back").addEventListener("click", () => this.show(this.first - this.all.page));
    this.pager.querySelector(".on").addEventListener("click", () => this.show(this.first + this.all.page));
    if (this.table.tBodies[0].rows.length > 99) this.show(0);
  }

  get all() {
    return (this.data ??= JSON.parse(this.script.textContent));
  }

  get byNumber() {
    return (this.numbers ??= new Map(this.all.lines.map((line) => [line[0], line])));
  }

  cell(line, column) {
    return column ? line[4][column - 1] : String(line[0]);
  }

  sort(column, up) {
    this.all.lines.sort((a, b) => compare(this.cell(a, column), this.cell(b, column), up));
  }

  get shown() {
    const state = this.states?.value;
    return state ? this.all.lines.filter((line) => line[1].split(" ")[0] === state) : this.all.lines;
  }

  show(first) {
    const lines = this.shown, size = this.all.page;
    this.first = Math.max(0, Math.min(first, Math.floor((lines.length - 1) / size) * size));
    const last = Math.min(this.first + size, lines.length);
    this.table.tBodies[0].replaceChildren(...lines.slice(this.first, last).map((line) => this.row(line)));
    this.pager.hidden = lines.length <= size;
    const count = (value) => value.toLocaleString("en");
    this.pager.querySelector(".where").textContent = `${count(this.first + 1)} \u2013 ${count(last)} of ${count(lines.length)}`;
    this.pager.querySelector(".back").disabled = this.first === 0;
    this.pager.querySelector(".on").disabled = last === lines.length;
  }

  row([trial, classes, mark, title, cells]) {
    const row = document.createElement("tr"), head = document.createElement("th");
    row.className = classes;
    row.title = title;
    head.scope = "row";
    const part = document.getElementById(`${this.study.dataset.stem}-trial-${trial}`);
    if (part) {
      const link = document.createElement("a");
      link.href = `#${part.id}`;
      link.textContent = trial;
      head.append(link);
    } else head.append(String(trial));
    if (mark) {
      const word = document.createElement("span");
      word.className = "mark";
      word.textContent = mark;
      head.append(" ", word);
    }
    row.append(head);
    cells.forEach((text, column) => {
      const cell = row.insertCell();
      cell.textContent = text;
      if (!this.all.columns[column][1]) cell.className = "text";
    });
    return row;
  }

  // Leads to a trial's own part of the page, or to its row.
  open(trial) {
    const part = document.getElementById(`${this.study.dataset.stem}-trial-${trial}`);
    if (part) {
      location.hash = part.id;
      part.focus();
      return;
    }
    if (this.states) this.states.value = "";
    const place = this.all.lines.findIndex((line) => line[0] === trial);
    this.show(Math.floor(place / this.all.page) * this.all.page);
    const row = this.table.tBodies[0].rows[place % this.all.page];
    row.classList.add("found");
    row.scrollIntoView({ block: "center" });
  }
}

const tip = document.getElementById("tip");

const tell = (trials, trial, x, y) => {
  const [, classes, mark, title, cells] = trials.byNumber.get(trial);
  const head = document.createElement("strong"), list = document.createElement("dl");
  head.textContent = [`Trial ${trial}`, classes.includes("on-front") ? "on the Pareto front" : mark].filter(Boolean).join(", ");
  trials.all.columns.forEach(([heading], column) => {
    if (cells[column] === "\u2013") return;
    const term = document.createElement("dt"), value = document.createElement("dd");
    term.textContent = heading;
    value.textContent = cells[column];
    list.append(term, value);
  });
  tip.replaceChildren(head, title, list);
  tip.hidden = false;
  const right = document.documentElement.clientWidth - tip.offsetWidth - 8;
  tip.style.left = `${Math.max(8, Math.min(x + 14, right)) + scrollX}px`;
  tip.style.top = `${(y + 18 + tip.offsetHeight > innerHeight ? Math.max(4, y - tip.offsetHeight - 14) : y + 18) + scrollY}px`;
};

// The place of a mark (a trial, then x and y of a point or of each bend of a line) that is nearest to a place.
const nearestOf = ([, ...at], x, y) => {
  let found = { x: at[0], y: at[1] }, least = (at[0] - x) ** 2 + (at[1] - y) ** 2;
  for (let i = 0; i + 3 < at.length; i += 2) {
    const [dx, dy] = [at[i + 2] - at[i], at[i + 3] - at[i + 1]];
    const share = Math.max(0, Math.min(1, ((x - at[i]) * dx + (y - at[i + 1]) * dy) / (dx * dx + dy * dy)));
    const place = { x: at[i] + share * dx, y: at[i + 1] + share * dy };
    const distance = (place.x - x) ** 2 + (place.y - y) ** 2;
    if (distance < least) [found, least] = [place, distance];
  }
  return { ...found, distance: least };
};

// Tells of the points or lines of a figure.
const explain = (figure, trials) => {
  const marks = JSON.parse(figure.querySelector("script.marks").textContent);
  const svg = figure.querySelector("svg"), box = svg.viewBox.baseVal, ring = document.createElement("span");
  const line = document.createElementNS(svg.namespaceURI, "polyline");
  const reach = 24; // px from the pointer
  ring.className = "near";
  line.classList.add("near");
  svg.parentElement.append(ring);
  svg.append(line);
  const hide = () => {
    ring.hidden = tip.hidden = true;
    line.setAttribute("points", "");
  };
  hide();
  const nearest = (event) => {
    const place = svg.getBoundingClientRect(), scale = place.width / box.width;
    const [x, y] = [(event.clientX - place.left) / scale, (event.clientY - place.top) / scale];
    let found = null, least = (reach / scale) ** 2;
    for (const mark of marks) {
      const near = nearestOf(mark, x, y);
      if (near.distance < least) [found, least] = [{ mark, x: near.x * scale, y: near.y * scale, place }, near.distance];
    }
    return found;
  };
  const show = (found) => {
    hide();
    if (!found) return;
    if (found.mark.length > 3) line.setAttribute("points", found.mark.slice(1).join(" "));
    else {
      ring.hidden = false;
      ring.style.left = `${found.x}px`;
      ring.style.top = `${found.y}px`;
    }
    tell(trials, found.mark[0], found.place.left + found.x, found.place.top + found.y);
  };
  svg.addEventListener("pointermove", (event) => show(nearest(event)));
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("click", (event) => {
    const found = nearest(event);
    if (!found) return;
    event.preventDefault();
    hide();
    trials.open(found.mark[0]);
  });
  svg.querySelectorAll("a").forEach((link) => {
    const trial = Number(link.getAttribute("href").split("-").pop());
    const end = marks.find((mark) => mark[0] === trial).slice(-2);
    link.addEventListener("focus", () => {
      const place = svg.getBoundingClientRect(), scale = place.width / box.width;
      if (link.matches(":focus-visible")) tell(trials, trial, place.left + end[0] * scale, place.top + end[1] * scale);
    });
    link.addEventListener("blur", hide);
  });
};

const unpack = async (place) => {
  const packed = Uint8Array.from(atob(place.dataset.packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  place.innerHTML = (await new Response(stream).text()).replace(/^[^]*?(?=<svg)/, "");
  delete place.dataset.packed;
};

for (const study of document.querySelectorAll(".study")) {
  const trials = new Trials(study);
  for (const table of study.querySelectorAll("table.sortable")) if (table !== trials.table) sortable(table);
  for (const script of study.querySelectorAll("script.marks")) explain(script.closest("figure"), trials);
}
for (const details of document.querySelectorAll("details.drawing")) {
  details.addEventListener("toggle", () => {
    const place = details.querySelector("[data-packed]");
    if (place) unpack(place);
  });
}
addEventListener("keydown", (event) => { if (event.key === "Escape") tip.hidden = true; });
