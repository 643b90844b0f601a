/** Small helpers for elements. Text is always set as text, never as HTML. */

import { cleanText } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Make an element: `class`, `text`, `on` (listeners by event) and attributes; true and false set or omit an attribute.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Node | string | null)} children
 * @returns {any}
 */
export function make(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

/**
 * Make an element of SVG.
 * @param {string} tag
 * @param {Record<string, any>} [props]
 * @param {...(Node | string | null)} children
 * @returns {any}
 */
export function makeSvg(tag, props = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

/** @param {Element} element @param {Record<string, any>} props @param {(Node | string | null)[]} children */
function filled(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "text") element.textContent = cleanText(value);
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null).map((child) => (typeof child === "string" ? cleanText(child) : child)));
  return element;
}

/** Set the text if it differs. @param {Element} element @param {string} text */
export function setText(element, text) {
  const clean = cleanText(text);
  if (element.textContent !== clean) element.textContent = clean;
}

/** Set or remove an attribute if it differs. @param {Element} element @param {string} name @param {string | boolean | null} value */
export function setAttribute(element, name, value) {
  if (value === null || value === false) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : value;
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/** The element of an id, which the page always has. @param {string} id @returns {any} */
export function byId(id) {
  return document.getElementById(id);
}

const ICONS = /** @type {Record<string, string>} */ ({
  restart: "M13 8a5 5 0 1 1-1.6-3.7M13 2v3h-3",
  rebuild: "M8 1.8 13.5 4.9v6.2L8 14.2 2.5 11.1V4.9zM2.6 5 8 8l5.4-3M8 8v6",
  stop: "M4 4h8v8H4z",
  start: "M5 3.2v9.6L12.5 8z",
});

/** A small drawing of an action. @param {string} name */
export function icon(name) {
  return makeSvg("svg", { class: "icon", viewBox: "0 0 16 16", "aria-hidden": "true" }, makeSvg("path", { d: ICONS[name] }));
}
