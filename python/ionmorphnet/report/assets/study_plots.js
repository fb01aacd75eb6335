// Picks per section, distributions of scores, and mass drift.
const colourOfToken = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function onWidth(node, draw) {
  let width = 0;
  drawn(node, (w) => draw((width = w)));
  return () => { if (width) draw(width); };
}

// A plot that follows the shown sections; `pick(event)` names a section under the pointer.
function pointed(node, at, text, reveal) {
  const tip = element('div', { class: 'tip', hidden: true });
  node.addEventListener('pointermove', (event) => {
    const k = at(event);
    tip.hidden = k === null;
    if (k === null) return;
    tip.textContent = text(k);
    if (tip.parentNode !== node) node.append(tip);
    const box = node.getBoundingClientRect();
    tip.style.left = `${Math.max(0, Math.min(event.clientX - box.left + 10, box.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(0, event.clientY - box.top - 26)}px`;
  });
  node.addEventListener('pointerleave', () => { tip.hidden = true; at(null); });
  node.addEventListener('click', (event) => { const k = at(event); if (k !== null) reveal(k); });
}

function drawPicks(node, reveal) {
  let shown = [], bars = [], left = 46, step = 1;
  const redraw = onWidth(node, (width) => {
    const height = 190, top = 10, bottom = 8, right = 6;
    const rows = shown.filter((k) => finite(sections.picks[k]));
    const most = Math.max(1, ...rows.map((k) => sections.picks[k]));
    step = (width - left - right) / Math.max(rows.length, 1);
    const y = (n) => height - bottom - (n / most) * (height - top - bottom);
    const wide = Math.min(step, 60);
    bars = rows.map((k, i) => svg('rect', { class: 'bar', 'data-section': k, x: left + i * step + (step - wide) / 2 + (wide > 3 ? 0.5 : 0), width: Math.max(wide - (wide > 3 ? 1 : 0), 0.5),
      y: y(sections.picks[k]), height: Math.max(height - bottom - y(sections.picks[k]), 0.5) }));
    const values = rows.map((k) => sections.picks[k]).sort((a, b) => a - b);
    node.replaceChildren(svg('svg', { viewBox: `0 0 ${width} ${height}`, height, role: 'img',
      'aria-label': values.length ? `Picks of ${values.length} sections: from ${values[0]} to ${values[values.length - 1]}, median ${values[values.length >> 1]}` : 'No section has a result' },
      ...ticks(0, most, 4).filter(Number.isInteger).flatMap((n) => [
        svg('line', { class: 'axis', x1: left, x2: width - right, y1: y(n), y2: y(n) }),
        svg('text', { x: left - 6, y: y(n) + 4, 'text-anchor': 'end' }, count(n))]),
      ...bars));
  });
  pointed(node, (event) => {
    const bar = event && bars[Math.floor((event.clientX - node.getBoundingClientRect().left - left) / step)];
    bars.forEach((each) => each.classList.toggle('current', each === bar));
    return bar ? Number(bar.dataset.section) : null;
  }, (k) => `${sections.name[k]}: ${count(sections.picks[k])} picks`, reveal);
  listeners.push((rows) => { shown = rows; redraw(); });
}

function drawScores(node, reveal) {
  const { scores } = payload;
  if (!scores) return node.replaceChildren(element('p', { class: 'empty' }, 'No candidate has a score.'));
  let shown = [], high = 1;
  const redraw = onWidth(node, (width) => {
    const rows = shown.filter((k) => sections.status[k] === 'done');
    const bins = scores.all[0].length;
    high = Math.max(0.4, Math.min(22, 170 / Math.max(rows.length, 1)));
    if (high > 1) high = Math.floor(high);
    const canvas = element('canvas', { width: bins, height: Math.max(rows.length, 1), style: { height: `${Math.max(rows.length * high, 1)}px`, imageRendering: 'pixelated' },
      role: 'img', 'aria-label': `Distributions of the scores of ${rows.length} sections` });
    const context = canvas.getContext('2d');
    const base = colourOfToken('--ink');
    rows.forEach((k, i) => {
      const most = Math.log1p(Math.max(...scores.all[k], 1));
      scores.all[k].forEach((n, bin) => {
        context.globalAlpha = 0.85 * (Math.log1p(n) / most);
        context.fillStyle = base;
        context.fillRect(bin, i, 1, 1);
      });
    });
    const x = (score) => ((score - scores.low) / (scores.high - scores.low)) * width;
    const cuts = rows.map((k, i) => (finite(scores.cut[k]) ? `M${x(scores.cut[k]).toFixed(1)} ${i * high}v${high}` : '')).join('');
    const height = rows.length * high;
    node.replaceChildren(element('div', { style: { position: 'relative' } }, canvas,
      svg('svg', { viewBox: `0 0 ${width} ${height + 20}`, height: height + 20, 'aria-hidden': 'true', style: { position: 'absolute', left: '0', top: '0' } },
        svg('path', { d: cuts, stroke: 'var(--mark)', 'stroke-width': 2, fill: 'none' }),
        ...ticks(scores.low, scores.high, width / 70).map((v) => svg('text', { x: Math.min(Math.max(x(v), 8), width - 8), y: height + 14, 'text-anchor': 'middle' }, String(v)))),
      element('div', { style: { height: '18px' } })));
  });
  pointed(node, (event) => {
    const rows = shown.filter((k) => sections.status[k] === 'done');
    const i = event ? Math.floor((event.clientY - node.getBoundingClientRect().top) / high) : -1;
    return rows[i] ?? null;
  }, (k) => `${sections.name[k]}: ${count(sections.candidates[k])} candidates, lowest pick ${scoreText(scores.cut[k])}`, reveal);
  listeners.push((rows) => { shown = rows; redraw(); });
}

function drawDrift(node, reveal) {
  let shown = [], lines = new Map(), place = null;
  const redraw = onWidth(node, (width) => {
    const rows = shown.filter((k) => sections.drift[k] && sections.drift[k].matched > 0);
    lines = new Map();
    place = null;
    if (!rows.length) return node.replaceChildren(element('p', { class: 'empty' }, 'No section could be aligned.'));
    const height = 190, left = 46, right = 8, top = 10, bottom = 34;
    const low = Math.min(...rows.map((k) => sections.drift[k].mz[0])), most_mz = Math.max(...rows.map((k) => sections.drift[k].mz.at(-1)));
    let least = Math.min(0, ...rows.flatMap((k) => sections.drift[k].ppm)), most = Math.max(0, ...rows.flatMap((k) => sections.drift[k].ppm));
    if (most - least < 1) [least, most] = [least - 0.5, most + 0.5];
    const x = (mz) => left + (Math.log(mz / low) / Math.log(most_mz / low)) * (width - left - right);
    const y = (ppm) => top + ((most - ppm) / (most - least)) * (height - top - bottom);
    place = { y, invert: (px) => low * Math.exp(((px - left) / (width - left - right)) * Math.log(most_mz / low)) };
    for (const k of rows) {
      const { mz, ppm } = sections.drift[k];
      lines.set(k, svg('path', { class: 'line', d: mz.map((value, i) => `${i ? 'L' : 'M'}${x(value).toFixed(1)} ${y(ppm[i]).toFixed(1)}`).join('') }));
    }
    // Many lines upon each other would be one black band.
    const opacity = Math.max(0.08, Math.min(0.5, 20 / rows.length));
    for (const line of lines.values()) line.style.opacity = opacity;
    const wanted = ticks(low, most_mz, width / 90).filter((v) => v >= low && v <= most_mz);
    node.replaceChildren(svg('svg', { viewBox: `0 0 ${width} ${height}`, height, role: 'img',
      'aria-label': `Mass drift of ${rows.length} sections, from ${signed(least, 1)} to ${signed(most, 1)} ppm` },
      ...ticks(least, most, 4).flatMap((v) => [
        svg('line', { class: v === 0 ? 'zero' : 'axis', x1: left, x2: width - right, y1: y(v), y2: y(v) }),
        svg('text', { x: left - 6, y: y(v) + 4, 'text-anchor': 'end' }, signed(v, v % 1 ? 1 : 0))]),
      ...wanted.map((v) => svg('text', { x: x(v), y: height - bottom + 15, 'text-anchor': 'middle' }, String(v))),
      svg('text', { x: left, y: height - 3 }, 'ppm over m/z'), ...lines.values()));
  });
  pointed(node, (event) => {
    let best = null, distance = 8;
    if (event && place) {
      const box = node.getBoundingClientRect(), mz = place.invert(event.clientX - box.left), py = event.clientY - box.top;
      for (const k of lines.keys()) {
        const d = Math.abs(place.y(driftAt(k, mz)) - py);
        if (d < distance) [best, distance] = [k, d];
      }
    }
    for (const [k, line] of lines) line.classList.toggle('current', k === best);
    return best;
  }, (k) => `${sections.name[k]}: ${signed(offsets[k], 2)} ppm, slope ${signed(slopes[k], 2)}, ${sections.drift[k].matched} matched`, reveal);
  listeners.push((rows) => { shown = rows; redraw(); });
}
