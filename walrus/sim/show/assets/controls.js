/* Toolbar, search, keys and pointer. */

class Controls {
  constructor(run, filter, view, diagram, details) {
    Object.assign(this, { run, filter, view, diagram, details, hits: [], hit: -1 });
    this.toolbar();
    this.pointer(diagram.canvas);
    addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.redraw()).observe(diagram.canvas);
  }

  redraw() {
    this.diagram.draw();
    const { shown } = this.diagram, drowned = this.filter.drowned && this.filter.hidden.has("Heartbeat");
    byId("status").textContent = `${asTime(Math.max(0, this.view.from))} to ${asTime(this.view.to)}, ` +
      `${asCount(shown, "message")} in view${this.diagram.arrows.length || !shown ? "" : ": too many for arrows, zoom in"}` +
      (drowned ? "; heartbeats are hidden (h)" : "");
  }

  refilter() {
    this.filter.changed();
    this.redraw();
  }

  choose(event, move = true) {
    this.diagram.chosen = event;
    if (event && move && !this.view.shows(event[2])) this.view.centre(event[2]);
    if (event) {
      this.details.show(event, [["Earlier on its lanes (k)", this.next(event, -1, true)],
        ["Later on its lanes (j)", this.next(event, 1, true)]]);
    } else this.details.hide();
    this.redraw();
  }

  next(event, step, onLane = false) {
    const { events } = this.filter, lanes = new Set(event ? this.run.lanes(event) : []);
    let index = event ? events.findIndex((other) => other[0] === event[0] && other[1] === event[1]) : -1;
    if (index < 0) index = firstFrom(events.map((other) => other[2]), this.view.from) - (step > 0 ? 1 : 0);
    for (index += step; index >= 0 && index < events.length; index += step) {
      if (!onLane || this.run.lanes(events[index]).some((lane) => lanes.has(lane))) return events[index];
    }
    return null;
  }

  toolbar() {
    const sheet = byId("kinds").querySelector(".sheet");
    for (const [kind] of this.run.kinds) {
      const box = make("input", { type: "checkbox", checked: !this.filter.hidden.has(kind) });
      box.addEventListener("change", () => { this.filter.showKind(kind, box.checked); this.refilter(); });
      box.dataset.kind = kind;
      sheet.append(make("label", {}, box, ` ${kind}`));
    }
    const topic = byId("topic");
    topic.append(make("option", { value: "" }, "all"), ...this.run.topics.map((name) => make("option", { value: name }, name)));
    topic.addEventListener("change", () => { this.filter.topic = topic.value; this.refilter(); });
    const press = { lost: () => this.lost(), "zoom-in": () => this.zoom(0.5), "zoom-out": () => this.zoom(2),
      fit: () => this.fit(), help: () => this.help(), "to-violation": () => this.violation(),
      "found-before": () => this.found(-1), "found-after": () => this.found(1) };
    for (const [id, action] of Object.entries(press)) byId(id).addEventListener("click", action);
    byId("to-violation").hidden = !this.run.violation;
    byId("search").addEventListener("input", () => this.search());
    for (const item of document.querySelectorAll("#story li")) {
      item.addEventListener("click", () => { this.view.centre(Number(item.dataset.at)); this.redraw(); });
    }
  }

  lost() {
    this.filter.onlyLost = !this.filter.onlyLost;
    press(byId("lost"), this.filter.onlyLost);
    this.refilter();
  }

  zoom(factor, x = (this.view.width + LABEL) / 2) {
    this.view.zoom(factor, x);
    this.redraw();
  }

  fit() {
    this.view.whole();
    this.redraw();
  }

  help() {
    const keys = byId("keys");
    keys.hidden = !keys.hidden;
    byId("help").setAttribute("aria-expanded", String(!keys.hidden));
  }

  violation() {
    if (!this.run.violation) return;
    this.view.centre(this.run.violation.at, Math.min(this.run.end, 20 * MS));
    this.redraw();
    byId("story").querySelector(".violated")?.scrollIntoView({ block: "center" });
  }

  heartbeats() {
    this.filter.showFamily("heartbeats", this.filter.hidden.has("Heartbeat"));
    for (const box of byId("kinds").querySelectorAll("input")) box.checked = !this.filter.hidden.has(box.dataset.kind);
    this.refilter();
  }

  async search() {
    const wanted = byId("search").value.toLowerCase();
    await this.details.texts.load();
    this.hits = wanted ? this.filter.events.filter((event) =>
      `${this.details.title(event)} ${this.details.content(event)}`.toLowerCase().includes(wanted)) : [];
    this.hit = -1;
    byId("found").textContent = wanted ? asCount(this.hits.length, "hit") : "";
    for (const id of ["found-before", "found-after"]) byId(id).hidden = !this.hits.length;
  }

  found(step) {
    if (!this.hits.length) return;
    this.hit = (this.hit + step + this.hits.length) % this.hits.length;
    byId("found").textContent = `${this.hit + 1} of ${asCount(this.hits.length, "hit")}`;
    this.choose(this.hits[this.hit]);
  }

  key(event) {
    if (event.target === byId("search")) {
      if (event.key === "Enter") this.found(event.shiftKey ? -1 : 1);
      if (event.key === "Escape") byId("search").blur();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const span = this.view.to - this.view.from;
    const keys = {
      ArrowLeft: () => { this.view.move(-span / 4); this.redraw(); },
      ArrowRight: () => { this.view.move(span / 4); this.redraw(); },
      "+": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.fit(), "/": () => byId("search").focus(),
      j: () => this.choose(this.next(this.diagram.chosen, 1) || this.diagram.chosen),
      k: () => this.choose(this.next(this.diagram.chosen, -1) || this.diagram.chosen),
      n: () => this.found(1), p: () => this.found(-1), l: () => this.lost(), h: () => this.heartbeats(),
      v: () => this.violation(), "?": () => this.help(),
      Escape: () => { byId("keys").hidden = true; this.choose(null); },
    };
    if (keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  }

  pointer(canvas) {
    let from = null, moved = false;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      if (event.shiftKey) this.view.move(((this.view.to - this.view.from) * (event.deltaY + event.deltaX)) / 1000);
      else this.view.zoom(event.deltaY > 0 ? 1.25 : 0.8, event.offsetX);
      this.redraw();
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      from = event.offsetX;
      moved = false;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from === null || Math.abs(event.offsetX - from) < (moved ? 1 : 4)) return;
      this.view.move(this.view.time(from) - this.view.time(event.offsetX));
      from = event.offsetX;
      moved = true;
      this.redraw();
    });
    canvas.addEventListener("pointerup", (event) => {
      if (!moved) this.choose(this.diagram.at(event.offsetX, event.offsetY), false);
      from = null;
    });
    canvas.addEventListener("dblclick", (event) => this.zoom(0.25, event.offsetX));
  }
}
