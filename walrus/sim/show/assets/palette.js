/* Colours that differ in lightness too, so that they can be told apart without seeing hue; signs for marks. */

const LIGHT = {
  ink: "#1c2430", faint: "#8a94a3", line: "#d4dae2", alarm: "#c4002b", chosen: "#b000d0", paper: "#ffffff",
  families: { elections: "#b3261e", replication: "#1d4fa3", heartbeats: "#a9b3c1", records: "#0a7d55",
    "sealing and repair": "#8a4b00", "forwarded requests": "#6b3fa0", metadata: "#3a6f8f", other: "#555555" },
  roles: { leader: "#2f6fdb", follower: "#bcd0ef", learner: "#d9e4c8", candidate: "#e7a33e", pre_candidate: "#f1cf94",
    starting: "#e4e7ec", down: "#3b424d" },
  states: { OPEN: "#52b788", SEALING: "#e07a1f", SEALED: "#9aa7b8" },
};
const DARK = {
  ...LIGHT, ink: "#e6ebf2", faint: "#8591a3", line: "#303846", alarm: "#ff5470", chosen: "#e07bff", paper: "#12161d",
  families: { elections: "#ff8a80", replication: "#82b1ff", heartbeats: "#566070", records: "#5fd3a4",
    "sealing and repair": "#f0b45c", "forwarded requests": "#c7a0ff", metadata: "#8cc6e0", other: "#bbbbbb" },
  roles: { ...LIGHT.roles, follower: "#3a5070", learner: "#465438", starting: "#2a303a", down: "#79818e" },
};
const SIGNS = { crash: "✕", start: "▶", stop: "■", pause: "‖", slow: "≈", disk: "◆", clock: "◷", client: "○",
  cut: "≠", end: "✓", other: "•" };

function palette() {
  return matchMedia("(prefers-color-scheme: dark)").matches ? DARK : LIGHT;
}
