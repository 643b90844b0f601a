/** The filter of the log, typed as in the live view: `text`, `/regex/`, `@service` and `level:error`. Pure. */

export const LEVELS = ["", "warn", "error"];
const MOST_PLACES = 50; // matches marked in a line

/**
 * What lines must fulfil. `fault`: why the filter is invalid, or "".
 * @typedef {object} Filter
 * @property {string[]} words in small letters; all must be in the line
 * @property {RegExp | null} pattern
 * @property {string[]} services beginnings of names; any of them
 * @property {string} only the name of a single service, or ""
 * @property {number} level index in LEVELS: the lowest that is shown
 * @property {[number, number] | null} range times in milliseconds
 * @property {string} fault
 */

/**
 * Parse what was typed; the other conditions come from buttons of the page.
 * @param {string} typed
 * @param {{only?: string, level?: number, range?: [number, number] | null}} [chosen]
 * @returns {Filter}
 */
export function parseFilter(typed, chosen = {}) {
  /** @type {Filter} */
  const filter = {
    words: [], pattern: null, services: [], fault: "",
    only: chosen.only ?? "", level: chosen.level ?? 0, range: chosen.range ?? null,
  };
  let rest = typed;
  const expression = /(?:^|\s)\/(.+)\/([ims]*)(?=\s|$)/.exec(typed);
  if (expression) {
    rest = `${typed.slice(0, expression.index)} ${typed.slice(expression.index + expression[0].length)}`;
    try {
      filter.pattern = new RegExp(expression[1], expression[2].includes("i") ? expression[2] : `${expression[2]}i`);
    } catch (error) {
      filter.fault = `not a regular expression: ${String(/** @type {Error} */ (error).message).replace(/^.*?: (?=[^:]*$)/, "")}`;
    }
  }
  for (const word of rest.split(/\s+/).filter(Boolean)) readWord(filter, word);
  return filter;
}

/** @param {Filter} filter @param {string} word */
function readWord(filter, word) {
  if (word.startsWith("@")) {
    if (word.length > 1) filter.services.push(word.slice(1));
  } else if (word.startsWith("level:")) {
    const asked = word.slice("level:".length).toLowerCase().slice(0, 4);
    const level = LEVELS.findIndex((name) => name !== "" && asked !== "" && name.startsWith(asked));
    if (level > 0) filter.level = level;
    else filter.fault = filter.fault || "level: must be error or warn";
  } else {
    filter.words.push(word.toLowerCase());
  }
}

/** Whether the filter looks for a text. @param {Filter} filter */
export function seeksText(filter) {
  return filter.words.length > 0 || filter.pattern !== null;
}

/** Whether the filter shows all lines. @param {Filter} filter */
export function isOpen(filter) {
  return !seeksText(filter) && !filter.services.length && !filter.only && !filter.level && !filter.range;
}

/**
 * Whether a text is shown, apart from service, level and time.
 * @param {Filter} filter
 * @param {string} text
 * @param {string} low the text in small letters
 */
export function matchesText(filter, text, low) {
  for (const word of filter.words) if (!low.includes(word)) return false;
  return filter.pattern === null || filter.pattern.test(text);
}

/**
 * Whether a service is shown.
 * @param {Filter} filter
 * @param {string} service
 */
export function matchesService(filter, service) {
  if (filter.only && service !== filter.only) return false;
  return !filter.services.length || filter.services.some((name) => service.startsWith(name));
}

/**
 * The places of all matches in a text, in order and without overlaps: `[begin, end]`.
 * @param {Filter} filter
 * @param {string} text
 * @returns {[number, number][]}
 */
export function matchPlaces(filter, text) {
  /** @type {[number, number][]} */
  const places = [];
  const low = text.toLowerCase();
  if (low.length === text.length) {
    for (const word of filter.words) {
      for (let at = low.indexOf(word); at >= 0 && places.length < MOST_PLACES; at = low.indexOf(word, at + word.length)) {
        places.push([at, at + word.length]);
      }
    }
  }
  if (filter.pattern) {
    for (const match of text.matchAll(new RegExp(filter.pattern.source, `${filter.pattern.flags}g`))) {
      if (match[0] && places.length < MOST_PLACES) places.push([match.index, match.index + match[0].length]);
    }
  }
  places.sort((one, other) => one[0] - other[0] || one[1] - other[1]);
  let end = 0;
  return places.filter((place) => {
    const isFree = place[0] >= end;
    if (isFree) end = place[1];
    return isFree;
  });
}
