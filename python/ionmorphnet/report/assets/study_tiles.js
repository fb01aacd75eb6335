// Thumbnails: levels of a colour map, unpacked once and drawn on canvases.
const UNMEASURED = payload.palette.length;
const colours = payload.palette.map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
const { sections } = payload;
const nSections = sections.name.length;

async function inflated(text) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('deflate'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Draws the tile at a place. `gain` brightens or darkens it: 1 for its own scale.
function drawTile(canvas, levels, [width, height, at], gain = 1) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d'), image = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    const level = levels[at + i];
    if (level === UNMEASURED) continue;  // stays transparent
    const colour = colours[Math.min(UNMEASURED - 1, Math.round(level * gain))];
    image.data.set(colour, 4 * i);
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// Size on the screen of a tile that fits a square.
function fitted([, , , ratio], side) {
  const width = ratio >= 1 ? side : side * ratio;
  const whole = Math.max(4, Math.round(width));
  return { width: whole, height: Math.max(4, Math.round(whole / ratio)) };
}

function tile(levels, place, side, label, gain) {
  const canvas = element('canvas', label ? { role: 'img', 'aria-label': label } : { 'aria-hidden': 'true' });
  drawTile(canvas, levels, place, gain);
  const { width, height } = fitted(place, side);
  return element('span', { class: 'tile', style: { width: `${width}px`, aspectRatio: `${width} / ${height}` } }, canvas);
}

// Calls draw() once when the node comes near the view, and at the latest for printing.
const waiting = new Map();
function drawWaiting(node) {
  const draw = waiting.get(node);
  waiting.delete(node);
  nearby.unobserve(node);
  if (draw) draw();
}
const nearby = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting) drawWaiting(entry.target);
}, { rootMargin: '600px' });
function whenNear(node, draw) {
  waiting.set(node, draw);
  nearby.observe(node);
}

// The images of channels, unpacked one after the other; drawing never waits for a channel that is there.
const imageOf = new Map((payload.pictures?.channels || []).map((channel, k) => [channel, k]));
const unpacked = new Map();
async function channelLevels(channel) {
  if (!unpacked.has(channel)) unpacked.set(channel, await inflated(payload.pictures.data[imageOf.get(channel)]));
  return unpacked.get(channel);
}

const finite = (value) => value !== null && value !== undefined;
const fixed = (value, digits) => (finite(value) ? value.toFixed(digits) : '–');
const signed = (value, digits) => (finite(value) ? `${value > 0 ? '+' : value < 0 ? '−' : ''}${Math.abs(value).toFixed(digits)}` : '–');
