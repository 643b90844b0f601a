/** The connection to the run: the stream of messages, and requests. The token never leaves this module. */

const PAUSES = [300, 600, 1200, 2500, 5000, 10000]; // milliseconds between attempts
const TOKEN_KEY = "devenv-token";

/**
 * The token of the address, moved to the storage of this tab, so that it is in no history.
 * @returns {string} empty without one
 */
function takeToken() {
  const given = location.hash.slice(1);
  if (given) {
    sessionStorage.setItem(TOKEN_KEY, given);
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN_KEY) ?? "";
}

/**
 * Splits chunks of text into lines. Pure.
 * @param {(line: string) => void} onLine
 * @returns {(chunk: string) => void}
 */
export function lineSplitter(onLine) {
  let rest = "";
  return (chunk) => {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) if (part) onLine(part);
  };
}

/** @typedef {"connecting" | "live" | "lost" | "refused" | "full" | "no-token"} ConnectionState */

/**
 * Connect, and connect again until `stop` of the answer is called.
 * @param {{onMessage: (message: any) => void, onState: (state: ConnectionState) => void}} handlers
 */
export function connect(handlers) {
  const token = takeToken();
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  let isStopped = false;
  let attempt = 0;
  let wake = () => {};

  async function follow() {
    if (!token) {
      handlers.onState("no-token");
      return;
    }
    while (!isStopped) {
      handlers.onState(attempt ? "lost" : "connecting");
      const outcome = await readStream();
      if (outcome !== "lost") {
        handlers.onState(outcome);
        return;
      }
      if (isStopped) return;
      handlers.onState("lost");
      const pause = PAUSES[Math.min(attempt, PAUSES.length - 1)];
      attempt += 1;
      await new Promise((resolve) => {
        wake = () => resolve(null);
        setTimeout(resolve, pause);
      });
    }
  }

  /** @returns {Promise<"lost" | "refused" | "full">} */
  async function readStream() {
    try {
      const response = await fetch("/api/stream", { method: "POST", headers, body: "{}", cache: "no-store" });
      if (response.status === 401 || response.status === 403) return "refused";
      if (response.status === 429) return "full";
      if (!response.ok || !response.body) return "lost";
      handlers.onState("live");
      attempt = 0;
      const split = lineSplitter((line) => handlers.onMessage(JSON.parse(line)));
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return "lost";
        split(decoder.decode(value, { stream: true }));
      }
    } catch (error) {
      if (error instanceof SyntaxError) console.warn("devenv: a message could not be read", error.message);
      return "lost";
    }
  }

  /**
   * The answer of a request. Throws an Error with `hint` if it was refused or could not be sent.
   * @param {string} path
   * @param {object} body
   */
  async function post(path, body) {
    let response;
    try {
      response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), cache: "no-store" });
    } catch {
      throw Object.assign(new Error("the run does not answer"), { hint: "is it still running? `devenv ps`" });
    }
    const answer = await response.json().catch(() => ({}));
    if (response.ok) return answer;
    throw Object.assign(new Error(answer.error || `the run answered ${response.status}`), { hint: answer.hint || "" });
  }

  follow();
  return {
    post,
    /** Try again at once. */
    retry: () => wake(),
    stop: () => {
      isStopped = true;
    },
  };
}
