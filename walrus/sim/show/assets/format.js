/* Times and counts as people read them. Times are nanoseconds of the simulation. */

const US = 1e3, MS = 1e6, SECOND = 1e9;

const COUNT_FORMAT = new Intl.NumberFormat("en");

function asCount(number, noun = "") {
  const count = COUNT_FORMAT.format(number);
  return noun ? `${count} ${noun}${number === 1 ? "" : "s"}` : count;
}

/** A moment, in milliseconds as in the story. */
function asTime(ns, decimals = 3) {
  const text = (ns / MS).toFixed(decimals);
  const [whole, part] = text.split(".");
  return `${COUNT_FORMAT.format(Number(whole))}${part ? `.${part}` : ""} ms`;
}

/** How long something took, in the unit that suits it. */
function asDuration(ns) {
  if (ns < US) return `${Math.round(ns)} ns`;
  const [unit, name] = ns < MS ? [US, "µs"] : ns < SECOND ? [MS, "ms"] : [SECOND, "s"];
  const value = ns / unit;
  return `${value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${name}`;
}
