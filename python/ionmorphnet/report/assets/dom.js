// Elements, axes and number formats for the other scripts. Text is always inserted as text nodes, never as markup.
const payload = JSON.parse(document.getElementById('payload').textContent);
const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === 'style') Object.assign(node.style, value);
    else if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}
const element = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS('http://www.w3.org/2000/svg', tag), attributes, children);

const count = (n) => n.toLocaleString('en-US');
const mzText = (value) => (value === null ? '–' : value.toFixed(4));
const scoreText = (value) => {
  if (value === null) return '–';
  return Math.abs(value) >= 1000 || (value !== 0 && Math.abs(value) < 0.0005) ? value.toExponential(2) : value.toFixed(3);
};
const intensityText = (value) => {
  const rounded = +value.toPrecision(3);
  return rounded === 0 || (rounded >= 0.01 && rounded < 1e6) ? rounded.toLocaleString('en-US', { maximumFractionDigits: 6 }) : value.toExponential(2);
};
const className = (name) => name.replaceAll('_', ' ');

function ticks(low, high, about) {
  const rough = (high - low) / Math.max(about, 1);
  const decade = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * decade).find((s) => s >= rough) || decade;
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + step * 1e-9; k++) found.push(+(k * step).toPrecision(12));
  return found;
}

// Calls draw(width) now and whenever the width of the node changes.
function drawn(node, draw) {
  let last = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width > 0 && width !== last) draw((last = width));
  }).observe(node);
}
