// Owns the choice of light or dark, before the first paint. Loaded as a classic script for that reason alone.
"use strict";
(() => {
  const kept = localStorage.getItem("theme");
  if (kept === "light" || kept === "dark") document.documentElement.dataset.theme = kept;
})();
