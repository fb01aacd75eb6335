// Short forms for the document.

export const $ = (id) => document.getElementById(id);

// Element with attributes and children; texts become text nodes, never markup.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "colour") element.style.setProperty("--colour", value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export const words = (name) => name.replaceAll("_", " ");

// Three digits: 44,200; 0.0123; 1.20e+9.
export function intensity(value) {
  if (value === 0) return "0";
  if (value >= 1e6 || value < 0.01) return value.toExponential(2);
  return Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 });
}
