/** The list of services: state, error, address, load, last sync, actions. */

import { lastFailure } from "./causes.js";
import { byId, icon, make, makeSvg, setAttribute, setText } from "./dom.js";
import { counted, formatAge, formatBytes, formatClock, formatDuration, formatPercent, isSafeUrl, pathEnd, someOf } from "./format.js";
import { addressLink } from "./header.js";
import { errorsFirst, isBroken } from "./model.js";
import { sparkline } from "./sparkline.js";

const MANY = 12; // services; more are shown in one line each
const CHART = { width: 64, height: 18, span: 300000, leastSpan: 60000, least: 5 };
const UP = new Set(["healthy", "started", "completed"]);
const STOPPED = new Set(["stopped", "exited", "absent", "created", "completed", "removed"]);

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./model.js").Service} Service */
/** @typedef {{act: (verb: string, service: string) => void, selectItem: (id: string | number) => void, showOnly: (service: string) => void}} Actions */

/** The colour of a service's name: one of twelve. @param {Model} model @param {string} name */
export function colourClass(model, name) {
  const index = model.services.findIndex((service) => service.name === name);
  return index < 0 ? "" : `c${index % 12}`;
}

export class ServiceList {
  /** @param {Model} model @param {Actions} actions */
  constructor(model, actions) {
    this.model = model;
    this.actions = actions;
    /** @type {Map<string, ServiceCard>} */
    this.cards = new Map();
    this.chosen = ""; // by j and k
    this.only = ""; // whose log alone is shown
    this.typed = "";
    this.list = byId("services");
    const field = byId("service-filter");
    field.addEventListener("input", () => {
      this.typed = field.value.toLowerCase();
      this.render(Date.now());
    });
    this.list.addEventListener("focusin", (/** @type {FocusEvent} */ event) => {
      const card = /** @type {Element} */ (event.target).closest("[data-service]");
      if (card) this.choose(/** @type {HTMLElement} */ (card).dataset.service ?? "", false);
    });
  }

  /** @param {number} now */
  render(now) {
    const services = errorsFirst(this.model.services);
    const names = new Set(services.map((service) => service.name));
    for (const [name, card] of this.cards) {
      if (names.has(name)) continue;
      card.element.remove();
      this.cards.delete(name);
    }
    for (const service of services) {
      let card = this.cards.get(service.name);
      if (!card) {
        card = new ServiceCard(service.name, this.actions);
        this.cards.set(service.name, card);
      }
      card.render(service, this.model, now, this.only === service.name);
      card.element.hidden = this.typed !== "" && !service.name.toLowerCase().includes(this.typed);
    }
    this.arrange(services);
    const isMany = services.length > MANY;
    setAttribute(this.list, "class", `service-list${isMany ? " is-compact" : ""}`);
    byId("service-filter").hidden = !isMany;
    byId("services-empty").hidden = services.length > 0;
    this.renderProblems(now);
  }

  /** Put the cards into their order; the focus stays. @param {Service[]} services */
  arrange(services) {
    const wanted = services.map((service) => this.cards.get(service.name)?.element);
    const isInOrder = wanted.length === this.list.children.length && wanted.every((element, index) => element === this.list.children[index]);
    if (isInOrder) return;
    const focused = /** @type {HTMLElement | null} */ (document.activeElement);
    const isInside = focused && this.list.contains(focused);
    this.list.replaceChildren(...wanted);
    if (isInside) focused.focus({ preventScroll: true });
  }

  /** Show the load of a service. @param {string} name @param {number} now */
  renderLoad(name, now) {
    this.cards.get(name)?.renderLoad(this.model.loads.get(name) ?? [], now);
  }

  /** @param {number} now */
  renderProblems(now) {
    const place = byId("problems");
    const key = JSON.stringify(this.model.problems.map((problem) => [problem, formatAge(now - problem.since)]));
    if (place.dataset.key === key) return;
    place.dataset.key = key;
    place.hidden = !this.model.problems.length;
    place.replaceChildren(...this.model.problems.map((problem) => make(
      "li", { class: "problem" },
      make("p", {}, problem.service ? make("b", { text: `${problem.service} ` }) : null, problem.message),
      problem.hint ? make("p", { class: "hint" }, "hint: ", make("code", { text: problem.hint })) : null,
      make("p", { class: "note", text: [problem.path, formatAge(now - problem.since)].filter(Boolean).join(" · ") }),
    )));
  }

  /** Choose the next or previous service. @param {1 | -1} step */
  move(step) {
    const names = [...this.list.querySelectorAll("[data-service]:not([hidden])")].map((card) => card.dataset.service);
    const at = names.indexOf(this.chosen);
    const next = names[at < 0 ? (step > 0 ? 0 : names.length - 1) : Math.min(Math.max(at + step, 0), names.length - 1)];
    if (next) this.choose(next, true);
  }

  /** @param {string} name @param {boolean} takesFocus */
  choose(name, takesFocus) {
    if (this.chosen !== name) this.cards.get(this.chosen)?.element.classList.remove("is-chosen");
    this.chosen = name;
    const card = this.cards.get(name);
    card?.element.classList.add("is-chosen");
    if (takesFocus) card?.name.focus();
  }

  /** The chosen service, or null. @returns {Service | null} */
  service() {
    return this.model.services.find((service) => service.name === this.chosen) ?? null;
  }
}

/** The verb that stops or starts a service. @param {Service} service */
export function stopOrStart(service) {
  return STOPPED.has(service.phase) ? "start" : "stop";
}

/** What was synced last: `main.py in 8 ms, 5 s ago`. @param {{at: number, ms: number, files: number, deleted: number, paths: string[]}} sync @param {number} now */
function syncText({ at, ms, files, deleted, paths }, now) {
  const what = paths.length === 1 && files + deleted === 1 ? pathEnd(paths[0], 1) : counted(files + deleted, "file");
  return `${what} in ${formatDuration(ms)}, ${formatAge(now - at)}`;
}

/** One service. */
class ServiceCard {
  /** @param {string} name @param {Actions} actions */
  constructor(name, actions) {
    this.actions = actions;
    this.name = make("button", { type: "button", class: "service-name", text: name, title: `Show the log of ${name} alone`, on: { click: () => actions.showOnly(name) } });
    this.word = make("span", { class: "word" });
    this.line = makeSvg("path", { class: "load-line" });
    this.area = makeSvg("path", { class: "load-area" });
    this.chart = makeSvg("svg", { class: "chart", viewBox: `0 0 ${CHART.width} ${CHART.height}`, role: "img", preserveAspectRatio: "none" }, this.area, this.line);
    this.cpu = make("span", { class: "cpu" });
    this.memory = make("span", { class: "memory" });
    this.error = make("div", { class: "service-error", hidden: true });
    this.facts = make("p", { class: "facts" });
    this.buttons = /** @type {Record<string, HTMLButtonElement>} */ ({});
    for (const verb of ["restart", "rebuild", "stop", "start"]) {
      const label = `${verb[0].toUpperCase()}${verb.slice(1)} ${name}`;
      this.buttons[verb] = make("button", { type: "button", class: "action", title: label, "aria-label": label, on: { click: () => actions.act(verb, name) } }, icon(verb));
    }
    this.element = make(
      "li", { class: "service", "data-service": name },
      make("div", { class: "service-head" }, make("span", { class: "dot", "aria-hidden": "true" }), this.name, this.word, make("span", { class: "load" }, this.chart, this.cpu, this.memory)),
      this.error,
      make("div", { class: "service-foot" }, this.facts, make("span", { class: "actions" }, ...Object.values(this.buttons))),
    );
  }

  /** @param {Service} service @param {Model} model @param {number} now @param {boolean} isOnly */
  render(service, model, now, isOnly) {
    const chosen = this.element.classList.contains("is-chosen") ? " is-chosen" : "";
    const tone = isBroken(service) ? "bad" : service.busy ? "busy" : service.tone;
    setAttribute(this.element, "class", `service tone-${tone}${isBroken(service) ? " is-broken" : ""}${chosen}`);
    setAttribute(this.name, "class", `service-name ${colourClass(model, service.name)}`);
    setAttribute(this.name, "aria-pressed", String(isOnly));
    const word = service.busy || (service.error && UP.has(service.phase) ? "error" : service.word);
    const since = service.since && tone === "busy" && !service.busy ? ` · ${formatDuration(Math.floor((now - service.since) / 1000) * 1000)}` : "";
    setText(this.word, word + since);
    setText(this.cpu, service.cpu === null ? "" : formatPercent(service.cpu));
    setText(this.memory, service.memory === null ? "" : formatBytes(service.memory));
    this.renderError(service, model, now);
    this.renderFacts(service, now);
    const canAct = model.hello !== null && !model.hello.readOnly && model.ended === null;
    const other = stopOrStart(service) === "stop" ? "start" : "stop";
    for (const [verb, button] of Object.entries(this.buttons)) {
      button.hidden = !canAct || verb === other || (verb === "rebuild" && !service.built) || (verb === "restart" && other === "stop");
      button.disabled = service.busy !== "";
    }
  }

  /** @param {Service} service @param {Model} model @param {number} now */
  renderError(service, model, now) {
    const failure = isBroken(service) ? lastFailure(model.items, service.name) : null;
    const text = service.error || (isBroken(service) ? service.check || service.detail || service.word : "");
    const save = failure?.save ?? null;
    const key = JSON.stringify([text, service.place, save?.id, save && formatAge(now - save.start), failure?.item.id]);
    if (this.error.dataset.key === key) return;
    this.error.dataset.key = key;
    this.error.hidden = text === "";
    const rest = service.place && text.startsWith(service.place) ? text.slice(service.place.length).replace(/^:\s*/, "") : text;
    this.error.replaceChildren(
      make("p", { class: "error-text" }, service.place ? make("code", { class: "place", text: service.place }) : null, service.place ? " " : null, rest),
    );
    if (!failure) return;
    const target = failure.item;
    const label = save
      ? `after the ${save.kind === "save" ? "save" : "edit"} of ${someOf(save.files.map((file) => pathEnd(file)), 2) || save.title}, ${formatAge(now - save.start)}`
      : `since ${formatClock(target.start)}`;
    this.error.append(make("button", { type: "button", class: "cause", text: label, title: save ? `${save.files.join("\n")}\nShow cause and effect on the timeline` : "Show cause and effect on the timeline", on: { click: () => this.actions.selectItem(target.id) } }));
  }

  /** @param {Service} service @param {number} now */
  renderFacts(service, now) {
    const texts = [];
    if (service.waiting) texts.push(`waiting: ${service.waiting.detail}${service.waiting.holdsUp?.length ? `; holds up ${someOf(service.waiting.holdsUp)}` : ""}`);
    else if (service.detail && !service.error && !isBroken(service)) texts.push(service.detail);
    if (service.pending) texts.push(`${counted(service.pending, "file")} pending`);
    if (service.restarts) texts.push(counted(service.restarts, "restart"));
    const synced = service.sync ? syncText(service.sync, now) : "";
    const key = JSON.stringify([service.urls, texts, synced]);
    if (this.facts.dataset.key === key) return;
    this.facts.dataset.key = key;
    const links = service.urls.filter(isSafeUrl).map(addressLink);
    const sync = synced ? [make("span", { title: service.sync?.paths.join("\n") }, make("span", { class: "swatch ink-sync", "aria-hidden": "true" }), make("span", { class: "unseen", text: "synced " }), synced)] : [];
    this.facts.replaceChildren(...links, ...texts.map((text) => make("span", { text })), ...sync);
  }

  /** @param {import("./model.js").Point[]} points @param {number} now */
  renderLoad(points, now) {
    const span = points.length ? Math.min(Math.max(now - points[0][0], CHART.leastSpan), CHART.span) : CHART.span;
    const { line, area } = sparkline(points, 1, { ...CHART, span, now });
    setAttribute(this.line, "d", line);
    setAttribute(this.area, "d", area);
    const last = points[points.length - 1];
    const known = last && last[1] !== null ? `Processor ${formatPercent(last[1])} of a core` : "No load known";
    setAttribute(this.chart, "aria-label", `${known}; the last 5 minutes`);
  }
}
