// Owns forms made from a JSON Schema: one field per property, with what the schema says of it. Refuses to be the judge:
// the router checks the values. Deep or unusual schemas get a field of JSON.

import { html, useState } from "./ui.js";

/** The object schema itself, its `$ref` followed. */
export function objectOf(schema) {
  let found = schema || {};
  for (let depth = 0; found.$ref && depth < 8; depth += 1) {
    found = found.$ref.replace(/^#\//, "").split("/").reduce((at, part) => at?.[part], schema) || {};
  }
  return found;
}

/** The value of every field at the beginning. */
export function defaults(schema) {
  const values = {};
  for (const [name, one] of Object.entries(objectOf(schema).properties || {})) {
    const property = one.$ref ? objectOf({ ...schema, ...one }) : one;
    if (property.default !== undefined) values[name] = property.default;
    else if (property.type === "boolean") values[name] = false;
  }
  return values;
}

/** A name as a person would write it above a field. */
const titled = (name) => name.charAt(0).toUpperCase() + name.slice(1).replaceAll("_", " ");

function Field({ name, property, required, value, onChange }) {
  const title = property.title && property.title !== name ? property.title : titled(name);
  const shared = { id: `field-${name}`, required, "aria-describedby": property.description ? `about-${name}` : undefined };
  const about = property.description && html`<small id="about-${name}">${property.description}</small>`;
  const text = (event) => onChange(event.target.value);
  if (property.enum) {
    return html`<label>${title}<select ...${shared} value=${value ?? ""} onChange=${text}><option value="" disabled>choose</option>
      ${property.enum.map((one) => html`<option key=${one} value=${one}>${one}</option>`)}</select>${about}</label>`;
  }
  if (property.type === "boolean") {
    return html`<label class="inline"><input type="checkbox" ...${shared} required=${false} checked=${value === true} onChange=${(event) => onChange(event.target.checked)} />${title} ${about}</label>`;
  }
  if (property.type === "integer" || property.type === "number") {
    return html`<label>${title}<input type="number" ...${shared} step=${property.type === "integer" ? 1 : "any"} min=${property.minimum} max=${property.maximum} value=${value ?? ""}
      onInput=${(event) => onChange(event.target.value === "" ? undefined : Number(event.target.value))} />${about}</label>`;
  }
  if (property.type === "string") {
    const kind = { date: "date", email: "email", uri: "url" }[property.format] || "text";
    return html`<label>${title}<input type=${kind} ...${shared} maxlength=${property.maxLength} pattern=${property.pattern} value=${value ?? ""} onInput=${text} />${about}</label>`;
  }
  const parse = (event) => {
    try {
      onChange(JSON.parse(event.target.value));
      event.target.setCustomValidity("");
    } catch {
      event.target.setCustomValidity("This is not JSON yet.");
    }
  };
  return html`<label>${title} <small>JSON</small><textarea rows="3" ...${shared} onInput=${parse}>${value === undefined ? "" : JSON.stringify(value)}</textarea>${about}</label>`;
}

/** The fields of a schema; `onChange` gets all the values. */
export function Fields({ schema, values, onChange }) {
  const { properties = {}, required = [] } = objectOf(schema);
  return html`${Object.entries(properties).map(([name, one]) => html`<${Field} key=${name} name=${name} property=${one.$ref ? objectOf({ ...schema, ...one }) : one}
    required=${required.includes(name)} value=${values[name]} onChange=${(value) => onChange({ ...values, [name]: value })} />`)}`;
}

/** A text that is to be JSON: `value` is what it says; while it says nothing, `problem` tells why. */
export function useJson(first) {
  const [text, setText] = useState(JSON.stringify(first, null, 2));
  try {
    return { text, setText, value: JSON.parse(text), problem: null };
  } catch (error) {
    return { text, setText, value: undefined, problem: `This is not JSON yet: ${error.message}` };
  }
}

/** The field of a `useJson`. */
export const JsonField = ({ label, hint, of, rows = 8 }) => html`<label>${label}${hint && html` <small>${hint}</small>`}
  <textarea rows=${rows} spellcheck=${false} aria-invalid=${of.problem !== null} value=${of.text} onInput=${(event) => of.setText(event.target.value)}></textarea>
  ${of.problem && html`<small class="problem" role="alert">${of.problem}</small>`}</label>`;
