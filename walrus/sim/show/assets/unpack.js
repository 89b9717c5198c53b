/* The page's data: JSON, deflated, in base64. */

function bytesOf(base64) {
  const characters = atob(base64), bytes = new Uint8Array(characters.length);
  for (let i = 0; i < characters.length; i++) bytes[i] = characters.charCodeAt(i);
  return bytes;
}

/** The value in the data block `id`. The block is emptied: its text is not needed twice. */
async function unpack(id) {
  const block = document.getElementById(id);
  const bytes = bytesOf(block.textContent);
  block.textContent = "";
  if (typeof DecompressionStream === "function") {
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
  }
  return JSON.parse(new TextDecoder().decode(inflate(bytes)));
}

/** Contents of events, unpacked when they are first asked for, or when the browser has nothing else to do. */
class Texts {
  constructor() {
    this.list = null;
  }

  load() {
    this.loading ??= unpack("texts").then((list) => { this.list = list; });
    return this.loading;
  }

  of(number) {
    return this.list === null ? "" : this.list[number];
  }
}
