/** The start of the run as a waterfall. */

import { byId, make } from "./dom.js";
import { counted, formatDuration } from "./format.js";
import { criticalPath, waterfallRows } from "./waterfall.js";

/** @param {import("./model.js").Model} model */
export function renderStartup(model) {
  const place = byId("startup");
  const { startup, step } = model;
  if (!startup) {
    const text = step ? `Under way: ${step.name}${step.detail ? `: ${step.detail}` : ""}. The waterfall is drawn once everything is up.` : "The times of the start are not known.";
    place.replaceChildren(make("p", { class: "note", text }));
    return;
  }
  const path = criticalPath(startup);
  const rows = waterfallRows(startup).map((row) => {
    const bar = make("span", { class: `fall-bar${row.critical ? " is-critical" : ""}`, "aria-hidden": "true" });
    bar.style.setProperty("--begin", `${(row.begin * 100).toFixed(2)}%`);
    bar.style.setProperty("--share", `${(row.share * 100).toFixed(2)}%`);
    return make(
      "li", { class: `fall-row${row.isPart ? " is-part" : ""}`, title: row.text },
      make("span", { class: "fall-name", text: row.name }),
      make("span", { class: "fall-space" }, bar),
      make("span", { class: "fall-time", text: row.duration }),
      make("span", { class: "unseen", text: `${row.critical ? "on the critical path" : ""}${row.after ? `, after ${row.after}` : ""}` }),
    );
  });
  const left = startup.spans.length - rows.length;
  place.replaceChildren(
    make("p", { class: "fall-title" }, make("b", { text: `Up after ${formatDuration(startup.seconds * 1000)}.` }), path ? " Critical path: " : null, path ? make("span", { class: "critical-path", text: path }) : null),
    make("ol", { class: "fall" }, ...rows),
    ...(left ? [make("p", { class: "note", text: `${counted(left, "short part")} left out` })] : []),
  );
}
