// Owns the frame: navigation, which page a path is, signing in, light and dark. Refuses to know what pages show.

import { connection, listen, start } from "./live.js";
import { signIn, signOut, waysToSignIn } from "./api.js";
import { useHere } from "./here.js";
import { Icon } from "./icons.js";
import { Keys } from "./keys.js";
import { learn, signedIn } from "./me.js";
import { Asking, Button, html, may, Notices, useData, useEffect, useMe, useState } from "./ui.js";
import { render, useErrorBoundary } from "./vendor/preact-htm.js";
import { NotFound, PAGES } from "./pages.js";

function useConnection() {
  const [state, setState] = useState(connection.state);
  useEffect(() => listen((one) => one === null && setState(connection.state)), []);
  return state;
}

const THEMES = ["system", "light", "dark"];

function Theme() {
  const [theme, setTheme] = useState(localStorage.getItem("theme") || "system");
  const next = () => {
    const chosen = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    if (chosen === "system") {
      localStorage.removeItem("theme");
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem("theme", chosen);
      document.documentElement.dataset.theme = chosen;
    }
    setTheme(chosen);
  };
  return html`<button type="button" class="link" onClick=${next}>Theme: ${theme}</button>`;
}

/** The page for those who have not said who they are. */
function SignIn({ onDone, gone }) {
  const [key, setKey] = useState("");
  const [refused, setRefused] = useState(gone ? "The sign-in at your organisation did not succeed." : "");
  const [issuer, setIssuer] = useState(false);
  useEffect(() => {
    waysToSignIn().then((ways) => setIssuer(ways.issuer), () => {});
  }, []);
  const submit = async (event) => {
    event.preventDefault();
    try {
      await signIn(key.trim());
      onDone();
    } catch (problem) {
      setRefused(`${problem.message} ${problem.remedy}`);
    }
  };
  useEffect(() => {
    document.title = "Sign in · Workflow Router";
  }, []);
  return html`<main class="door"><form class="panel" onSubmit=${submit}>
    <h1><img src="/web/mark.svg" alt="" />Workflow Router</h1>
    <p class="quiet-text">This router asks who you are. Whoever runs it makes API keys with <code>wr access keys create</code>.</p>
    ${issuer && html`<a class="button primary" href="/api/session/oidc">Sign in with your organisation</a>`}
    ${refused && html`<p class="notice bad" role="alert">${refused}</p>`}
    <label>API key <input type="password" autocomplete="current-password" required autofocus value=${key} onInput=${(event) => setKey(event.target.value)} /></label>
    <${Button} kind=${issuer ? "" : "primary"} type="submit">Sign in<//>
    <p class="quiet-text">The key is sent to this router only, once. You stay signed in for twelve hours at most.</p></form></main>`;
}

const STATES = { live: ["good", "live"], away: ["bad", "no answer; trying again"], connecting: ["busy", "connecting"], "signed out": ["warn", "signed out"] };

function Side({ page, asking }) {
  const [open, setOpen] = useState(false);
  const state = useConnection();
  const me = useMe();
  const waiting = useData(may("approvals:read") ? "/api/approvals?status=open&limit=100" : null, ["approval."]);
  useEffect(() => setOpen(false), [page]);
  const [tone, words] = STATES[state];
  return html`<aside class="side ${open ? "open" : ""}">
    <a class="brand" href="#/"><img src="/web/mark.svg" alt="" />Workflow Router</a>
    <button type="button" class="button menu" aria-expanded=${open} onClick=${() => setOpen(!open)}>Menu</button>
    <nav aria-label="Pages">${PAGES.filter((one) => may(one.needs)).map((one) => html`<a key=${one.name} href="#/${one.name}" aria-current=${one.name === page ? "page" : null}>
      <${Icon} of=${one.icon} />${one.title}
      ${one.name === "approvals" && waiting.data?.length > 0 && html`<span class="count">${waiting.data.length}<span class="visually-hidden"> open</span></span>`}</a>`)}</nav>
    <div class="foot">
      ${me && me.kind !== "local" && html`<span class="who" title=${me.roles.join(", ")}><b>${me.name}</b>${me.tenant ? ` of ${me.tenant}` : ""}</span>`}
      <span class="status ${tone}" role="status"><i aria-hidden="true"></i>${words}</span>
      <div class="row"><${Theme} />${signedIn() && html`<button type="button" class="link" onClick=${asking}>Sign out</button>`}</div>
    </div></aside>`;
}

/** A page that cannot be drawn says so, and the others go on. */
function Guarded({ children }) {
  const [error, again] = useErrorBoundary((one) => reportError(one));
  return error ? html`<div class="head"><h1>This page cannot be shown</h1></div><p class="notice bad" role="alert"><b>${error.message}</b> What it shows is in the API, too. <button type="button" class="link" onClick=${again}>Try again</button></p>` : children;
}

function App() {
  const { name, rest, parameters } = useHere();
  const [asks, setAsks] = useState(false);
  const [session, setSession] = useState(0);
  const page = PAGES.find((one) => one.name === name);
  useEffect(() => {
    const ask = () => setAsks(true);
    addEventListener("signed-out", ask);
    void learn();
    start();
    return () => removeEventListener("signed-out", ask);
  }, []);
  useEffect(() => {
    document.title = `${page ? page.title : "Not found"} · Workflow Router`;
  }, [page]);
  const again = () => {
    setAsks(false);
    setSession(session + 1);
    void learn();
    start();
  };
  const leave = async () => {
    try {
      await signOut();
    } finally {
      again();
    }
  };
  if (asks) return html`<${SignIn} onDone=${again} gone=${parameters.refused === "issuer"} />`;
  const Page = page ? page.show : NotFound;
  return html`<div class="frame" key=${session}>
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>Skip to the page</a>
    <${Side} page=${name} asking=${leave} />
    <main id="main" tabindex="-1"><${Guarded} key=${[name, ...rest].join("/")}><${Page} rest=${rest} parameters=${parameters} /><//></main>
    <${Notices} /><${Asking} /><${Keys} />
  </div>`;
}

const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
