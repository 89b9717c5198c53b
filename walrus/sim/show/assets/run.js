/* The run: columns as they came, with times made whole again. An event is [sort, row, time]. */

const MESSAGE = 0, REQUEST = 1, MARK = 2;

function summed(differences) {
  let time = 0;
  return differences.map((difference) => (time += difference));
}

class Run {
  constructor(drawn) {
    Object.assign(this, drawn);
    for (const table of [this.messages, this.requests]) table.sent = summed(table.sent);
    for (const table of [this.marks, this.roles, this.segments]) table.at = summed(table.at);
    this.family = new Map(this.kinds.map(([kind, family]) => [kind, family]));
    this.answers = new Set(this.kinds.filter((kind) => kind[2]).map((kind) => kind[0]));
    this.longest = this.messages.took.reduce((most, took) => Math.max(most, took), 0);
    this.topics = [...new Set([...this.messages.topic, ...this.requests.topic].map((name) => this.names[name]))]
      .map((name) => name.split(":")[0]).filter((name, index, all) => name && all.indexOf(name) === index).sort();
  }

  name(number) {
    return this.names[number];
  }

  isLost(row) {
    return this.messages.took[row] < 0;
  }

  /** Lanes on which an event is: positive for nodes, -1 - number for clients. */
  lanes([sort, row]) {
    if (sort === MESSAGE) return [this.messages.sender[row], this.messages.to[row]];
    if (sort === REQUEST) return [-1 - this.requests.client[row], this.requests.node[row]];
    return [...this.marks.nodes[row], ...this.marks.clients[row].map((client) => -1 - client)];
  }
}

/** The first index of the ascending `times` at which they are `time` or more. */
function firstFrom(times, time) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}
