// Keeps a page as it is on the server: hears of changes (server-sent events), fetches the page's main part as the server
// renders it, and replaces what is another now. Without it the page works; one reloads.
"use strict";
(() => {
  const kinds = (document.body.dataset.events || "").split(" ").filter(Boolean);
  const sign = document.getElementById("live");
  if (!kinds.length || !sign || !window.EventSource) return;
  const GATHER = 150, APART = 700, AGES = 15000, PATIENCE = 10000, AGAIN = 3000, SILENCE = 35000;
  let source, timer, silence, heardOf = document.body.dataset.after, drawnAt = 0, busy = false, again = false;

  function say(state, words) {
    if (sign.dataset.state === state) return;
    sign.dataset.state = state;
    sign.textContent = words;
  }
  const lost = () => say("lost", "connection lost, trying again: what you see may be old");
  const live = () => say("on", "live");

  // A row is known by its key, or by where its first link leads.
  const key = (row) => row.dataset.key || row.querySelector("a")?.getAttribute("href");

  function mergeRows(old, fresh) {
    const known = new Map([...old.children].map((row) => [key(row), row]));
    const rows = [...fresh.children].map((row) => {
      const before = known.get(key(row));
      if (before && before.isEqualNode(row)) return before;
      const state = (one) => one.querySelector(".chip")?.textContent;
      if (!before || state(before) !== state(row)) row.classList.add("changed");
      return row;
    });
    old.replaceChildren(...rows);
  }

  function merge(text) {
    const fresh = document.createElement("template");
    fresh.innerHTML = text;
    const active = document.activeElement, link = active && active.getAttribute("href");
    for (const region of fresh.content.querySelectorAll("[data-region]")) {
      const old = document.getElementById(region.id);
      if (!old || old.isEqualNode(region)) continue;
      if (region.dataset.region === "rows") mergeRows(old, region);
      else old.replaceWith(region);
    }
    if (active && !active.isConnected && link) {
      document.querySelector(`main a[href="${CSS.escape(link)}"]`)?.focus({ preventScroll: true });
    }
  }

  async function draw() {
    if (busy) { again = true; return; }
    busy = true;
    try {
      const answer = await fetch(location.href, { headers: { "X-Fragment": "main" }, signal: AbortSignal.timeout(PATIENCE) });
      if (answer.status === 401 || answer.status === 404) { location.reload(); return; }
      if (!answer.ok) throw new Error(answer.status);
      merge(await answer.text());
    } catch {
      relisten();
    } finally {
      busy = false;
      drawnAt = Date.now();
      if (again) { again = false; soon(); }
    }
  }

  // Many changes in one moment are one drawing, and one drawing leaves the server its breath before the next.
  function soon() {
    timer ||= setTimeout(() => { timer = 0; draw(); }, Math.max(GATHER, drawnAt + APART - Date.now()));
  }

  // A connection that died on its way looks open for ever: what counts is what is heard, the beat every 15 s at least.
  function heard() {
    clearTimeout(silence);
    silence = setTimeout(relisten, SILENCE);
    live();
  }

  function relisten() {
    lost();
    source.close();
    clearTimeout(silence);
    silence = setTimeout(listen, AGAIN);
  }

  function listen() {
    source = new EventSource(`/api/events?beats=true&after=${encodeURIComponent(heardOf)}`);
    clearTimeout(silence);
    silence = setTimeout(relisten, SILENCE);
    source.onopen = () => { if (sign.dataset.state === "lost") soon(); heard(); };
    source.onerror = () => { relisten(); soon(); };
    source.addEventListener("beat", heard);
    for (const kind of kinds) {
      source.addEventListener(kind, (event) => { heardOf = event.lastEventId || heardOf; heard(); soon(); });
    }
  }

  listen();
  setInterval(() => { if (!document.hidden) soon(); }, AGES);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
})();
