/* Which part of the run is shown. */

class Filter {
  constructor(run) {
    this.run = run;
    this.hidden = new Set();
    this.topic = "";
    this.onlyLost = false;
    const beats = run.messages.kind.filter((kind) => run.family.get(run.name(kind)) === "heartbeats").length;
    this.drowned = run.messages.kind.length > 200 && beats > run.messages.kind.length / 4;
    if (this.drowned) this.showFamily("heartbeats", false);
    this.changed();
  }

  showFamily(family, on) {
    for (const [kind, its] of this.run.family) {
      if (its === family) this.showKind(kind, on);
    }
  }

  showKind(kind, on) {
    if (on) this.hidden.delete(kind);
    else this.hidden.add(kind);
  }

  ofTopic(name) {
    return !this.topic || name === this.topic || name.startsWith(`${this.topic}:`);
  }

  showsMessage(row) {
    const { messages } = this.run;
    return !this.hidden.has(this.run.name(messages.kind[row])) && this.ofTopic(this.run.name(messages.topic[row])) &&
      (!this.onlyLost || this.run.isLost(row));
  }

  showsRequest(row) {
    const outcome = this.run.name(this.run.requests.outcome[row]);
    return this.ofTopic(this.run.name(this.run.requests.topic[row])) &&
      (!this.onlyLost || outcome === "unknown" || outcome === "failed");
  }

  /** Rebuild what is shown: messages by row, and all events in the order of time. */
  changed() {
    const { messages, requests, marks } = this.run;
    this.messages = [];
    this.requests = [];
    this.events = [];
    messages.sent.forEach((time, row) => {
      if (this.showsMessage(row)) { this.messages.push(row); this.events.push([MESSAGE, row, time]); }
    });
    requests.sent.forEach((time, row) => {
      if (this.showsRequest(row)) { this.requests.push(row); this.events.push([REQUEST, row, time]); }
    });
    marks.at.forEach((time, row) => this.events.push([MARK, row, time]));
    this.events.sort((a, b) => a[2] - b[2]);
    this.sent = this.messages.map((row) => messages.sent[row]);
  }
}
