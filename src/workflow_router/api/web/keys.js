// Owns the keyboard: going to pages with two keys, and to whatever an id belongs to. Refuses keys while somebody types.

import { PAGES } from "./pages.js";
import { Button, Dialog, html, may, useEffect, useState } from "./ui.js";

const GO = { h: "home", a: "approvals", e: "events", m: "mappings", r: "runs", o: "routes", s: "broker", i: "holds", t: "trace", u: "audit" };
const WITHIN_MS = 1_200; // the second key of two comes within this time

const typing = (target) => target.closest("input, textarea, select, dialog, [contenteditable]");

function Help({ onClose }) {
  const rows = Object.entries(GO).map(([key, name]) => [PAGES.find((one) => one.name === name), key]).filter(([page]) => may(page.needs));
  return html`<${Dialog} title="Keyboard" onClose=${onClose}><dl class="facts">
    ${rows.map(([page, key]) => html`<div key=${key}><dt><kbd>g</kbd> <kbd>${key}</kbd></dt><dd>${page.title}</dd></div>`)}
    <div><dt><kbd>/</kbd></dt><dd>find what an id belongs to</dd></div><div><dt><kbd>?</kbd></dt><dd>this list</dd></div></dl><//>`;
}

function Find({ onClose }) {
  const [id, setId] = useState("");
  const submit = (event) => {
    event.preventDefault();
    location.hash = `#/trace/${encodeURIComponent(id.trim())}`;
    onClose();
  };
  return html`<${Dialog} title="Find" onClose=${onClose}><form onSubmit=${submit}>
    <label>Id of an event, run, message, call or approval<input required autofocus value=${id} onInput=${(event) => setId(event.target.value)} /></label>
    <div class="row"><${Button} type="submit" kind="primary">Show what it belongs to<//></div></form><//>`;
}

export function Keys() {
  const [shows, setShows] = useState("");
  useEffect(() => {
    let first = -Infinity;
    const press = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
      const second = event.timeStamp - first < WITHIN_MS;
      first = event.key === "g" && !second ? event.timeStamp : -Infinity;
      if (second && GO[event.key]) location.hash = `#/${GO[event.key]}`;
      else if (event.key === "?" || event.key === "/") {
        event.preventDefault();
        setShows(event.key);
      }
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
  const close = () => setShows("");
  return html`${shows === "?" && html`<${Help} onClose=${close} />`}${shows === "/" && html`<${Find} onClose=${close} />`}`;
}
