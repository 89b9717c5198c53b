/* Where things stand: time from left to right, a lane per node, then a lane per client. */

const AXIS = 22, LABEL = 74, CLIENT_LANE = 22, LEAST_SPAN = 2e3;

class View {
  constructor(run) {
    this.run = run;
    this.whole();
  }

  whole() {
    this.from = 0;
    this.to = Math.max(this.run.end, 1);
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
    const clients = (this.run.clients + 1) * CLIENT_LANE;
    this.nodeLane = Math.max(48, (height - AXIS - clients) / Math.max(1, this.run.nodes));
  }

  x(time) {
    return LABEL + ((time - this.from) / (this.to - this.from)) * (this.width - LABEL);
  }

  time(x) {
    return this.from + ((x - LABEL) / (this.width - LABEL)) * (this.to - this.from);
  }

  /** The line of a lane; of a node it is where arrows start. */
  y(lane) {
    if (lane > 0) return AXIS + (lane - 0.5) * this.nodeLane;
    return AXIS + this.run.nodes * this.nodeLane + (-1 - lane + 0.5) * CLIENT_LANE;
  }

  zoom(factor, x) {
    const at = this.time(x), span = (this.to - this.from) * factor;
    if (span < LEAST_SPAN || span > this.run.end * 1.5) return;
    const share = (at - this.from) / (this.to - this.from);
    this.from = at - share * span;
    this.to = this.from + span;
  }

  move(byTime) {
    const span = this.to - this.from;
    this.from = Math.min(Math.max(this.from + byTime, -span / 2), this.run.end - span / 2);
    this.to = this.from + span;
  }

  centre(time, span = this.to - this.from) {
    this.from = time - span / 2;
    this.to = time + span / 2;
  }

  shows(time) {
    return time >= this.from && time <= this.to;
  }
}
