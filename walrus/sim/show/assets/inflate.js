/* Unpacks zlib data (RFC 1950, 1951) in browsers without DecompressionStream. Slower, but it always works. */

const LENGTH_BASE = [3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131,
  163, 195, 227, 258];
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0];
const DISTANCE_BASE = [1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049,
  3073, 4097, 6145, 8193, 12289, 16385, 24577];
const DISTANCE_EXTRA = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
  13];
const CODE_LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
const CODE_BITS_MAX = 15;

/** Reads bits, least significant first. */
class BitReader {
  constructor(bytes, position) {
    this.bytes = bytes;
    this.position = position;
    this.held = 0;
    this.count = 0;
  }

  take(wanted) {
    while (this.count < wanted) {
      this.held |= this.bytes[this.position++] << this.count;
      this.count += 8;
    }
    const value = this.held & ((1 << wanted) - 1);
    this.held >>>= wanted;
    this.count -= wanted;
    return value;
  }

  toByte() {
    this.held = this.count = 0;
  }
}

/** A canonical Huffman code: how many codes there are of each length, and the symbols in the order of their codes. */
function huffman(lengths) {
  const counts = new Uint16Array(CODE_BITS_MAX + 1);
  for (const length of lengths) counts[length]++;
  counts[0] = 0;
  const starts = new Uint16Array(CODE_BITS_MAX + 2);
  for (let bits = 1; bits <= CODE_BITS_MAX; bits++) starts[bits + 1] = starts[bits] + counts[bits];
  const symbols = new Uint16Array(lengths.length);
  lengths.forEach((length, symbol) => { if (length) symbols[starts[length]++] = symbol; });
  return { counts, symbols };
}

function symbolOf(reader, code) {
  let value = 0, first = 0, place = 0;
  for (let bits = 1; bits <= CODE_BITS_MAX; bits++) {
    value |= reader.take(1);
    const count = code.counts[bits];
    if (value - count < first) return code.symbols[place + value - first];
    place += count;
    first = (first + count) << 1;
    value <<= 1;
  }
  throw new Error("the page's data is damaged");
}

/** Bytes that grow as they come. */
class Output {
  constructor() {
    this.bytes = new Uint8Array(1 << 16);
    this.length = 0;
  }

  room(more) {
    if (this.length + more <= this.bytes.length) return;
    const larger = new Uint8Array(Math.max(this.bytes.length * 2, this.length + more));
    larger.set(this.bytes.subarray(0, this.length));
    this.bytes = larger;
  }

  repeat(distance, length) {
    this.room(length);
    for (let i = 0; i < length; i++, this.length++) this.bytes[this.length] = this.bytes[this.length - distance];
  }
}

const FIXED = (() => {
  const lengths = new Array(288);
  for (let symbol = 0; symbol < 288; symbol++) {
    lengths[symbol] = symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8;
  }
  return { literals: huffman(lengths), distances: huffman(new Array(30).fill(5)) };
})();

function codesOfBlock(reader) {
  const literals = reader.take(5) + 257, distances = reader.take(5) + 1, codes = reader.take(4) + 4;
  const short = new Array(19).fill(0);
  for (let i = 0; i < codes; i++) short[CODE_LENGTH_ORDER[i]] = reader.take(3);
  const code = huffman(short), lengths = [];
  while (lengths.length < literals + distances) {
    const symbol = symbolOf(reader, code);
    if (symbol < 16) lengths.push(symbol);
    else {
      const value = symbol === 16 ? lengths[lengths.length - 1] : 0;
      const times = symbol === 16 ? 3 + reader.take(2) : symbol === 17 ? 3 + reader.take(3) : 11 + reader.take(7);
      for (let i = 0; i < times; i++) lengths.push(value);
    }
  }
  return { literals: huffman(lengths.slice(0, literals)), distances: huffman(lengths.slice(literals)) };
}

function copyStored(reader, output) {
  reader.toByte();
  const length = reader.bytes[reader.position] | (reader.bytes[reader.position + 1] << 8);
  reader.position += 4;
  output.room(length);
  output.bytes.set(reader.bytes.subarray(reader.position, reader.position + length), output.length);
  output.length += length;
  reader.position += length;
}

function copyCoded(reader, output, { literals, distances }) {
  for (;;) {
    const symbol = symbolOf(reader, literals);
    if (symbol < 256) {
      output.room(1);
      output.bytes[output.length++] = symbol;
    } else if (symbol === 256) {
      return;
    } else {
      const length = LENGTH_BASE[symbol - 257] + reader.take(LENGTH_EXTRA[symbol - 257]);
      const far = symbolOf(reader, distances);
      output.repeat(DISTANCE_BASE[far] + reader.take(DISTANCE_EXTRA[far]), length);
    }
  }
}

/** The bytes that `bytes`, a zlib stream, hold. */
function inflate(bytes) {
  const reader = new BitReader(bytes, 2), output = new Output();
  for (let last = 0; !last;) {
    last = reader.take(1);
    const type = reader.take(2);
    if (type === 0) copyStored(reader, output);
    else copyCoded(reader, output, type === 1 ? FIXED : codesOfBlock(reader));
  }
  return output.bytes.subarray(0, output.length);
}
