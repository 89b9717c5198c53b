/* Making elements. Text only ever gets into the page as text. */

const byId = (id) => document.getElementById(id);

/** An element with properties (`class`, `on` for click, others as they are named in the DOM) and children. */
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name === "on") element.addEventListener("click", value);
    else if (name.startsWith("aria-") || name.startsWith("data-")) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children);
  return element;
}

function press(button, on) {
  button.setAttribute("aria-pressed", String(on));
}
