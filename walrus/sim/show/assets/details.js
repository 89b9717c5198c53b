/* What is known of the chosen event, and what to look at next. */

class Details {
  constructor(run, texts, choose) {
    Object.assign(this, { run, texts, choose, box: byId("details") });
  }

  async show(event, neighbours) {
    await this.texts.load();
    const facts = this.facts(event).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)));
    const steps = neighbours.filter(([, other]) => other)
      .map(([name, other]) => make("button", { on: () => this.choose(other) }, name));
    this.box.replaceChildren(
      make("h2", {}, this.title(event)), make("dl", {}, ...facts), make("pre", { id: "content" }, this.content(event)),
      make("p", {}, ...steps));
    this.box.hidden = false;
  }

  hide() {
    this.box.hidden = true;
  }

  title([sort, row]) {
    const { messages, requests, marks } = this.run;
    if (sort === MESSAGE) return this.run.name(messages.kind[row]);
    return sort === REQUEST ? this.run.name(requests.verb[row]) : marks.text[row];
  }

  facts([sort, row, time]) {
    const { messages, requests, marks } = this.run, at = ["at", asTime(time)];
    if (sort === MESSAGE) {
      const took = messages.took[row];
      return [at, ["from", `node ${messages.sender[row]}`], ["to", `node ${messages.to[row]}`],
        ["segment", this.run.name(messages.topic[row]) || "none"],
        ["fate", `${this.run.name(messages.fate[row])}${took >= 0 ? ` after ${asDuration(took)}` : ""}`]];
    }
    if (sort === REQUEST) {
      const took = requests.took[row];
      return [at, ["client", String(requests.client[row])], ["node", String(requests.node[row])],
        ["outcome", this.run.name(requests.outcome[row])], ["took", took >= 0 ? asDuration(took) : "never answered"]];
    }
    return [at, ["kind", this.run.name(marks.kind[row])], ["lasts", asDuration(marks.lasts[row])]];
  }

  /** The text that search looks through. */
  content([sort, row]) {
    const { messages, requests, marks } = this.run;
    if (sort === MESSAGE) return this.texts.of(messages.content[row]);
    if (sort === REQUEST) return `${this.texts.of(requests.request[row])}\n${this.texts.of(requests.reply[row])}`;
    return marks.text[row];
  }
}
