/** The colours that a container printed, as classes that can be read in both schemes. Pure. */

/** @typedef {[number, number, string]} Codes begin and end in code points, and the numbers of an SGR sequence */

const DISTINCT = 48; // the least difference of the parts of a colour that is no grey
const LEVELS_OF_CUBE = [0, 95, 135, 175, 215, 255];
const HUES = [1, 3, 2, 6, 4, 5]; // red, yellow, green, cyan, blue, magenta: each 60 degrees

/**
 * The pieces of a text, each with its classes, or "" for plain text.
 * @param {string} text
 * @param {Codes[]} codes
 * @returns {{text: string, classes: string}[]}
 */
export function colouredPieces(text, codes) {
  const isPlain = !/[\ud800-\udbff]/.test(text);
  const characters = isPlain ? null : [...text];
  const part = (/** @type {number} */ begin, /** @type {number} */ end) => (characters ? characters.slice(begin, end).join("") : text.slice(begin, end));
  const length = characters ? characters.length : text.length;
  const pieces = [];
  let at = 0;
  for (const [begin, end, numbers] of codes) {
    if (begin < at || begin >= length) continue;
    if (begin > at) pieces.push({ text: part(at, begin), classes: "" });
    pieces.push({ text: part(begin, end), classes: colourClasses(numbers) });
    at = Math.min(end, length);
  }
  if (at < length) pieces.push({ text: part(at, length), classes: "" });
  return pieces;
}

/**
 * The classes for the numbers of an SGR sequence: `1;31` is bold and red. Backgrounds are left out.
 * @param {string} numbers
 */
export function colourClasses(numbers) {
  const classes = new Set(/** @type {string[]} */ ([]));
  const values = numbers.split(";").map(Number);
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index];
    if (value === 1) classes.add("ansi-bold");
    else if (value === 2) classes.add("ansi-0");
    else if (value === 4) classes.add("ansi-underlined");
    else if ((value >= 30 && value <= 37) || (value >= 90 && value <= 97)) classes.add(`ansi-${value % 10}`);
    else if (value === 38 || value === 48) {
      const isIndexed = values[index + 1] === 5;
      const given = values.slice(index + 2, index + (isIndexed ? 3 : 5));
      index += isIndexed ? 2 : 4;
      if (value === 38) classes.add(`ansi-${isIndexed ? ofIndex(given[0]) : nearest(given)}`);
    }
  }
  return [...classes].join(" ");
}

/** The number of the nearest of the eight colours for one of 256. @param {number} index */
function ofIndex(index) {
  if (!(index >= 0)) return 7;
  if (index < 16) return index % 8;
  if (index >= 232) return index < 244 ? 0 : 7;
  const cube = index - 16;
  return nearest([Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((part) => LEVELS_OF_CUBE[part]));
}

/** The number of the nearest of the eight colours by hue. @param {number[]} parts red, green and blue */
function nearest([red, green, blue]) {
  const most = Math.max(red, green, blue);
  const span = most - Math.min(red, green, blue);
  if (!(span >= DISTINCT)) return most < 128 ? 0 : 7;
  const sixth = most === red ? (green - blue) / span : most === green ? 2 + (blue - red) / span : 4 + (red - green) / span;
  return HUES[(Math.round(sixth) + 6) % 6];
}
