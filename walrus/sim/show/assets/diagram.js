/* Draws the diagram: bands, then messages (as arrows, or how many there are where arrows would blur), then marks. */

const ARROWS_MOST = 3000;

class Diagram {
  constructor(canvas, run, filter, view) {
    Object.assign(this, { canvas, run, filter, view, chosen: null });
    this.context = canvas.getContext("2d");
  }

  draw() {
    const ratio = devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = this.canvas;
    this.canvas.width = width * ratio;
    this.canvas.height = height * ratio;
    this.view.resize(width, height);
    this.colours = palette();
    const c = this.context;
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.fillStyle = this.colours.paper;
    c.fillRect(0, 0, width, height);
    c.font = "11px system-ui, sans-serif";
    c.textBaseline = "middle";
    this.axis(width, height);
    c.save();
    c.beginPath();
    c.rect(LABEL, 0, width - LABEL, height);
    c.clip();
    this.roles();
    this.segments();
    this.requests();
    this.messages();
    this.marks();
    this.violation(height);
    c.restore();
    this.labels();
  }

  axis(width, height) {
    const c = this.context, span = this.view.to - this.view.from;
    const step = [1, 2, 5].flatMap((n) => [...Array(11).keys()].map((e) => n * 10 ** e)).sort((a, b) => a - b)
      .find((s) => (s / span) * (width - LABEL) > 90) || span;
    for (let t = Math.ceil(Math.max(0, this.view.from) / step) * step; t <= this.view.to; t += step) {
      const x = this.view.x(t);
      c.fillStyle = this.colours.line;
      c.fillRect(x, AXIS - 4, 1, height);
      c.fillStyle = this.colours.faint;
      c.fillText(asTime(t, step < MS ? 3 : 0), x + 3, 10);
    }
  }

  labels() {
    const c = this.context;
    for (let node = 1; node <= this.run.nodes; node++) this.label(`node ${node}`, this.view.y(node), true);
    for (let client = 0; client <= this.run.clients; client++) {
      this.label(client ? `client ${client}` : "auditor", this.view.y(-1 - client), false);
    }
    c.globalAlpha = 1;
  }

  label(text, y, strong) {
    const c = this.context;
    c.fillStyle = this.colours.ink;
    c.font = `${strong ? "600 " : ""}12px system-ui, sans-serif`;
    c.fillText(text, 8, y);
    c.fillStyle = this.colours.line;
    c.fillRect(LABEL, y, this.view.width, 1);
  }

  band(table, row, y, height, colour) {
    const from = this.view.x(table.at[row]), to = this.view.x(table.at[row] + table.lasts[row]);
    if (to < LABEL || from > this.view.width) return null;
    this.context.fillStyle = colour;
    this.context.fillRect(from, y, Math.max(1, to - from), height);
    return [Math.max(from, LABEL), Math.min(to, this.view.width)];
  }

  roles() {
    const { roles } = this.run, half = this.view.nodeLane / 2;
    roles.at.forEach((_, row) => {
      const name = this.run.name(roles.role[row]), y = this.view.y(roles.node[row]) - half + 4;
      const seen = this.band(roles, row, y, 10, this.colours.roles[name] || this.colours.faint);
      if (seen && seen[1] - seen[0] > 70) this.inside(`${name}, term ${roles.term[row]}`, seen[0] + 3, y + 5.5, name);
    });
  }

  inside(text, x, y, name) {
    this.context.font = "9px system-ui, sans-serif";
    this.context.fillStyle = name === "leader" || name === "down" ? "#fff" : this.colours.ink;
    this.context.fillText(text, x, y);
  }

  segments() {
    const { segments } = this.run, rows = Math.max(1, Math.floor((this.view.nodeLane / 2 - 10) / 12));
    const places = new Map();
    segments.at.forEach((_, row) => {
      const name = this.run.name(segments.segment[row]), topic = name.split(":")[0];
      if (!this.filter.ofTopic(name)) return;
      if (!places.has(topic)) places.set(topic, places.size % rows);
      const state = this.run.name(segments.state[row]), part = this.run.name(segments.part[row]);
      const y = this.view.y(segments.node[row]) + 6 + places.get(topic) * 12;
      const height = part === "writer" ? 9 : part ? 6 : 2;
      const colour = part === "lost replica" ? this.colours.alarm : this.colours.states[state.split("(")[0]];
      if (state.startsWith("SEALED") && segments.at[row] + segments.lasts[row] >= this.run.end) return;
      const seen = this.band(segments, row, y, height, colour);
      if (seen && part && seen[1] - seen[0] > 90) this.inside(`${name} ${state} ${part}`, seen[0] + 2, y + 4, "");
    });
  }

  messages() {
    const { sent, messages } = this.filter, { view, run } = this;
    const first = firstFrom(sent, view.from - run.longest), last = firstFrom(sent, view.to);
    this.arrows = last - first <= ARROWS_MOST ? messages.slice(first, last) : [];
    if (this.arrows.length || first === last) this.arrows.forEach((row) => this.arrow(row));
    else this.density(messages, first, last);
    this.shown = last - first;
  }

  ends(row) {
    const { messages } = this.run, from = messages.sent[row], took = messages.took[row];
    const [y1, y2] = [this.view.y(messages.sender[row]), this.view.y(messages.to[row])];
    if (took >= 0) return [this.view.x(from), y1, this.view.x(from + took), y2];
    return [this.view.x(from), y1, this.view.x(from) + 9, y1 + (y2 - y1) * 0.35];
  }

  arrow(row) {
    const c = this.context, kind = this.run.name(this.run.messages.kind[row]), [x1, y1, x2, y2] = this.ends(row);
    const lost = this.run.isLost(row);
    c.strokeStyle = c.fillStyle = lost ? this.colours.alarm : this.colours.families[this.run.family.get(kind)];
    c.lineWidth = 1;
    c.setLineDash(lost ? [3, 3] : []);
    c.beginPath();
    c.moveTo(x1, y1);
    c.lineTo(x2, y2);
    c.stroke();
    c.setLineDash([]);
    if (lost) c.fillText("×", x2 - 3, y2);
    else this.head(x1, y1, x2, y2, this.run.answers.has(kind));
  }

  head(x1, y1, x2, y2, open) {
    const c = this.context, angle = Math.atan2(y2 - y1, x2 - x1);
    c.beginPath();
    c.moveTo(x2 - 7 * Math.cos(angle - 0.4), y2 - 7 * Math.sin(angle - 0.4));
    c.lineTo(x2, y2);
    c.lineTo(x2 - 7 * Math.cos(angle + 0.4), y2 - 7 * Math.sin(angle + 0.4));
    if (open) c.stroke();
    else c.fill();
  }

  /** So many messages that arrows would be a blur: how many each node sends, by pixel, and the lost ones among them. */
  density(messages, first, last) {
    const c = this.context, counts = new Map();
    for (let index = first; index < last; index++) {
      const row = messages[index], x = Math.round(this.view.x(this.run.messages.sent[row]));
      const key = x * 128 + this.run.messages.sender[row];
      const found = counts.get(key) || counts.set(key, [0, 0]).get(key);
      found[this.run.isLost(row) ? 1 : 0]++;
    }
    for (const [key, [arrived, lost]] of counts) {
      const x = Math.floor(key / 128), y = this.view.y(key % 128), most = this.view.nodeLane / 2 - 18;
      c.fillStyle = this.colours.families.replication;
      const height = Math.min(most, 3 * Math.log2(1 + arrived));
      c.fillRect(x, y - height, 1, height);
      c.fillStyle = this.colours.alarm;
      if (lost) c.fillRect(x, y - height - 4, 1, 4);
    }
  }

  requests() {
    const c = this.context, { requests } = this.run;
    const shown = this.filter.requests.filter((row) => requests.sent[row] < this.view.to &&
      requests.sent[row] + Math.max(0, requests.took[row]) > this.view.from);
    this.bars = shown;
    for (const row of shown) {
      const [x1, x2, y] = this.bar(row), outcome = this.run.name(requests.outcome[row]);
      c.fillStyle = outcome === "unknown" || outcome === "failed" ? this.colours.alarm : this.colours.families.records;
      c.globalAlpha = outcome === "empty" ? 0.45 : 0.85;
      c.fillRect(x1, y - 4, Math.max(2, x2 - x1), 8);
      if (shown.length < 400) {
        c.globalAlpha = 0.35;
        c.fillRect(x1, Math.min(y, this.view.y(requests.node[row])), 1, Math.abs(y - this.view.y(requests.node[row])));
      }
      c.globalAlpha = 1;
    }
  }

  bar(row) {
    const { requests } = this.run, from = this.view.x(requests.sent[row]), took = requests.took[row];
    return [from, took >= 0 ? this.view.x(requests.sent[row] + took) : from + 6, this.view.y(-1 - requests.client[row])];
  }

  marks() {
    const c = this.context, { marks } = this.run;
    this.signs = [];
    marks.at.forEach((at, row) => {
      const nodes = marks.nodes[row].length ? marks.nodes[row] : marks.clients[row].map((client) => -1 - client);
      const from = this.view.x(at), to = this.view.x(at + marks.lasts[row]);
      if (to < LABEL || from > this.view.width) return;
      for (const lane of nodes) {
        const y = this.view.y(lane) - (lane > 0 ? this.view.nodeLane / 2 - 20 : 0);
        c.fillStyle = this.colours.alarm;
        c.globalAlpha = 0.14;
        if (marks.lasts[row]) c.fillRect(from, y - 6, Math.max(1, to - from), 12);
        c.globalAlpha = 1;
        c.font = "13px system-ui, sans-serif";
        c.fillText(SIGNS[this.run.name(marks.sign[row])] || SIGNS.other, from - 5, y);
        this.signs.push([row, from, y]);
      }
    });
  }

  violation(height) {
    const { violation } = this.run, c = this.context;
    c.fillStyle = this.colours.alarm;
    const x = violation ? this.view.x(violation.at) : 0;
    if (violation) c.fillRect(x - 1, 0, 2, height);
    for (const node of violation ? violation.nodes : []) {
      c.beginPath();
      c.arc(x, this.view.y(node), 7, 0, 7);
      c.fill();
    }
    if (this.chosen) this.ring(this.chosen);
  }

  ring([sort, row, time]) {
    const c = this.context;
    c.strokeStyle = this.colours.chosen;
    c.lineWidth = 3;
    c.beginPath();
    if (sort === MESSAGE) {
      const [x1, y1, x2, y2] = this.ends(row);
      c.moveTo(x1, y1);
      c.lineTo(x2, y2);
    } else if (sort === REQUEST) {
      const [x1, x2, y] = this.bar(row);
      c.rect(x1 - 2, y - 6, Math.max(6, x2 - x1 + 4), 12);
    } else {
      for (const [, x, y] of this.signs.filter((sign) => sign[0] === row)) c.rect(x - 8, y - 9, 18, 18);
    }
    c.stroke();
    c.lineWidth = 1;
    c.fillRect(this.view.x(time), AXIS - 6, 1, 6);
  }

  /** The event under the pointer, or null. */
  at(x, y) {
    let best = null, nearest = 8;
    const consider = (distance, event) => { if (distance < nearest) { nearest = distance; best = event; } };
    for (const [row, sx, sy] of this.signs) consider(Math.hypot(x - sx, y - sy), [MARK, row, this.run.marks.at[row]]);
    for (const row of this.bars) {
      const [x1, x2, by] = this.bar(row);
      if (Math.abs(y - by) < 7 && x > x1 - 4 && x < x2 + 4) consider(1, [REQUEST, row, this.run.requests.sent[row]]);
    }
    for (const row of this.arrows) consider(distance(x, y, ...this.ends(row)), [MESSAGE, row, this.run.messages.sent[row]]);
    return best;
  }
}

function distance(x, y, x1, y1, x2, y2) {
  const length = (x2 - x1) ** 2 + (y2 - y1) ** 2;
  const share = length ? Math.min(1, Math.max(0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length)) : 0;
  return Math.hypot(x - x1 - share * (x2 - x1), y - y1 - share * (y2 - y1));
}
