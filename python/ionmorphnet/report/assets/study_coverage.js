// Heat map of sections and channels: absent, a candidate, or picked.
function shortened(context, text, width) {
  if (context.measureText(text).width <= width) return text;
  let n = text.length;
  while (n > 1 && context.measureText(`…${text.slice(-n)}`).width > width) n--;
  return `…${text.slice(-n)}`;  // the end of a path tells more than its start
}

function drawCoverage(node, levels, reveal) {
  const { channels } = payload, C = channels.mz.length;
  const [TOP, SIDE, GAP] = [44, 64, 4];
  let left = 0;  // room for names, where rows are tall enough
  let rows = [], columns = [], cell = [1, 1], at = null, canvas = null;
  const state = (k, c) => levels[k * C + c];
  const words = ['absent', 'a candidate, not picked', 'picked'];

  function order() {
    const by = byId('coverage-order').value, values = channels[by];
    columns = [...Array(C).keys()].sort((a, b) => (by === 'mz' ? values[a] - values[b] : values[b] - values[a]) || a - b);
  }

  function draw(width) {
    if (!rows.length) return node.replaceChildren(element('p', { class: 'empty' }, 'None of the shown sections has a result.'));
    const tall = Math.max(2, Math.min(18, Math.floor(520 / rows.length)));
    left = tall >= 11 ? Math.min(110, Math.floor(width / 4)) : 0;
    cell = [Math.max(2, Math.min(26, Math.floor((width - left - SIDE - GAP) / C))), tall];
    const [w, h] = [C * cell[0], rows.length * cell[1]], ratio = window.devicePixelRatio || 1;
    canvas = element('canvas', { width: Math.round((left + w + SIDE + GAP) * ratio), height: Math.round((h + TOP + GAP) * ratio),
      style: { width: `${left + w + SIDE + GAP}px`, height: `${h + TOP + GAP}px` }, 'aria-hidden': 'true' });
    const context = canvas.getContext('2d');
    context.scale(ratio, ratio);
    const paint = ['--absent', '--present', '--accent'].map(colourOfToken);
    const rgb = paint.map((text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16)));
    const gap = [cell[0] > 4 ? 1 : 0, cell[1] > 4 ? 1 : 0];
    const had = new Array(C).fill(0), took = new Array(C).fill(0);
    // One pixel per cell, enlarged: a rectangle each would take seconds for a million cells.
    const small = element('canvas', { width: C, height: rows.length }), pixels = small.getContext('2d').createImageData(C, rows.length);
    context.font = `11px ${getComputedStyle(node).fontFamily}`;
    context.textBaseline = 'middle';
    rows.forEach((k, i) => {
      if (left) {
        context.fillStyle = colourOfToken('--soft');
        context.fillText(shortened(context, sections.name[k], left - 6), 0, TOP + (i + 0.5) * cell[1]);
      }
      let has = 0, picked = 0;
      columns.forEach((c, j) => {
        const value = state(k, c), at = 4 * (i * C + j);
        has += value > 0;
        picked += value === 2;
        had[j] += value > 0;
        took[j] += value === 2;
        pixels.data[at] = rgb[value][0];
        pixels.data[at + 1] = rgb[value][1];
        pixels.data[at + 2] = rgb[value][2];
        pixels.data[at + 3] = 255;
      });
      for (const [n, colour] of [[has, paint[1]], [picked, paint[2]]]) {
        context.fillStyle = colour;
        context.fillRect(left + w + GAP, TOP + i * cell[1], (n / C) * SIDE, cell[1] - gap[1]);
      }
    });
    small.getContext('2d').putImageData(pixels, 0, 0);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, left, TOP, w, h);
    for (let j = 1; gap[0] && j <= C; j++) context.clearRect(left + j * cell[0] - 1, TOP, 1, h);
    for (let i = 1; gap[1] && i <= rows.length; i++) context.clearRect(left, TOP + i * cell[1] - 1, w, 1);
    columns.forEach((_, j) => {
      for (const [n, colour] of [[had[j], paint[1]], [took[j], paint[2]]]) {
        const high = (n / rows.length) * (TOP - GAP);
        context.fillStyle = colour;
        context.fillRect(left + j * cell[0], TOP - GAP - high, cell[0] - gap[0], high);
      }
    });
    node.replaceChildren(canvas, marker);
    say();
  }

  const marker = element('div', { class: 'marker', hidden: true, style: { position: 'absolute', pointerEvents: 'none', border: '2px solid var(--mark)' } });
  const redraw = onWidth(node, draw);

  function say() {
    const valid = at && at[0] < rows.length && at[1] < columns.length;
    marker.hidden = !valid;
    if (!valid) { byId('coverage-text').textContent = 'Point at a cell, or use the arrow keys, to read it; a click shows the channel.'; return; }
    const [k, c] = [rows[at[0]], columns[at[1]]];
    Object.assign(marker.style, { left: `${left + at[1] * cell[0] - 2}px`, top: `${TOP + at[0] * cell[1] - 2}px`, width: `${cell[0] + 4}px`, height: `${cell[1] + 4}px` });
    byId('coverage-text').textContent = `${sections.name[k]}, m/z ${mzText(channels.mz[c])}${channels.name?.[c] ? ` (${channels.name[c]})` : ''}: ${words[state(k, c)]}. `
      + `The channel is in ${channels.n_present[c]} sections and picked in ${channels.n_picked[c]}.`;
  }

  function under(event) {
    if (!canvas) return null;
    const box = canvas.getBoundingClientRect();
    const found = [Math.floor((event.clientY - box.top - TOP) / cell[1]), Math.floor((event.clientX - box.left - left) / cell[0])];
    return found[0] >= 0 && found[0] < rows.length && found[1] >= 0 && found[1] < C ? found : null;
  }
  node.addEventListener('pointermove', (event) => { const found = under(event); if (found) { at = found; say(); } });
  node.addEventListener('click', (event) => { const found = under(event); if (found) { at = found; say(); reveal(columns[at[1]]); } });
  node.addEventListener('keydown', (event) => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (event.key === 'Enter' && at) { event.preventDefault(); return reveal(columns[at[1]]); }
    if (!step || !rows.length) return;
    event.preventDefault();
    at = at ? [Math.min(Math.max(at[0] + step[0], 0), rows.length - 1), Math.min(Math.max(at[1] + step[1], 0), C - 1)] : [0, 0];
    say();
    const x = left + at[1] * cell[0];
    if (x < node.scrollLeft || x + cell[0] > node.scrollLeft + node.clientWidth) node.scrollLeft = x - node.clientWidth / 2;
  });
  byId('coverage-order').addEventListener('change', () => { order(); redraw(); });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  order();
  listeners.push((shown) => { rows = shown.filter((k) => channels.covered[k]); at = null; redraw(); });
}
