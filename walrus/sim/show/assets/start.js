/* Begins: unpacks the run, draws it, and goes to the violation if there is one. */

function legend(run) {
  const colours = palette(), box = byId("legend").querySelector("div");
  const swatch = (colour, text) => {
    const spot = make("i", {});
    spot.style.background = colour;
    return make("span", {}, spot, ` ${text}`);
  };
  box.append(
    ...run.families.map((family) => swatch(colours.families[family], family)),
    ...Object.entries(colours.roles).map(([role, colour]) => swatch(colour, role)),
    ...Object.entries(colours.states).map(([state, colour]) => swatch(colour, state)),
    ...Object.entries(SIGNS).map(([name, sign]) => make("span", {}, make("b", {}, sign), ` ${name}`)),
    make("span", {}, "filled arrowhead: request, open: answer, dashed ×: lost; thick segment band: its writer"));
}

async function start() {
  const run = new Run(await unpack("drawn"));
  byId("trouble").hidden = true;
  byId("tool").hidden = false;
  const filter = new Filter(run), view = new View(run), texts = new Texts();
  const diagram = new Diagram(byId("diagram"), run, filter, view);
  const details = new Details(run, texts, (event) => controls.choose(event));
  const controls = new Controls(run, filter, view, diagram, details);
  legend(run);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => controls.redraw());
  controls.redraw();
  document.documentElement.dataset.ready = "yes";
}

start();
