// Owns the list of pages, in the order of the navigation, and the scope that each needs.

import { Approvals } from "./pages/approvals.js";
import { Audit } from "./pages/audit.js";
import { Broker } from "./pages/broker.js";
import { Events } from "./pages/events.js";
import { Holds } from "./pages/holds.js";
import { Home } from "./pages/home.js";
import { Mappings } from "./pages/mappings.js";
import { Routes } from "./pages/routes.js";
import { Runs } from "./pages/runs.js";
import { Trace } from "./pages/trace.js";
import { Empty, html } from "./ui.js";

export const PAGES = [
  { name: "home", needs: "state:read", title: "Home", icon: "home", show: Home },
  { name: "approvals", needs: "approvals:read", title: "Approvals", icon: "approval", show: Approvals },
  { name: "events", needs: "events:read", title: "Events", icon: "event", show: Events },
  { name: "mappings", needs: "mappings:read", title: "Mappings", icon: "mapping", show: Mappings },
  { name: "runs", needs: "runs:read", title: "Runs", icon: "run", show: Runs },
  { name: "routes", needs: "routes:read", title: "Routes", icon: "dispatch", show: Routes },
  { name: "broker", needs: "broker:read", title: "Messages", icon: "message", show: Broker },
  { name: "holds", needs: "interceptors:read", title: "Interceptors", icon: "hold", show: Holds },
  { name: "trace", needs: "state:read", title: "Trace", icon: "trace", show: Trace },
  { name: "audit", needs: "audit:read", title: "Audit", icon: "audit", show: Audit },
];

export const NotFound = () => html`<${Empty} title="There is no such page"><a href="#/">Go to the first page</a><//>`;
