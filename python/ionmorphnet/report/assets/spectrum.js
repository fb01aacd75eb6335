// Mean spectrum with the picks marked; drag to zoom. Clicking a mark calls `choose(row)`.
function drawSpectrum(node, data, pickMz, choose) {
  const floats = (text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
  const mz = floats(data.mz), intensity = floats(data.intensity);
  // In order of m/z, because the arrow keys step along the axis.
  const marks = pickMz.map((value, row) => ({ value, row, height: data.picks[row] }))
    .filter((mark) => mark.value !== null).sort((a, b) => a.value - b.value);
  const ends = [mz[0], mz[mz.length - 1], ...(marks.length ? [marks[0].value, marks[marks.length - 1].value] : [])];
  const margin = (Math.max(...ends) - Math.min(...ends)) * 0.01 || 1;
  const full = [Math.min(...ends) - margin, Math.max(...ends) + margin];
  const height = 240, left = 58, right = 10, top = 22, bottom = 36;
  let [low, high] = full, width = 0, root = false, current = -1, dragFrom = null;
  const tip = element('div', { class: 'tip', hidden: true });
  const brush = svg('rect', { class: 'brush', y: top, height: height - top - bottom, width: 0 });
  const guide = svg('line', { class: 'current', y1: top - 10, y2: height - bottom, visibility: 'hidden' });
  const reset = byId('spectrum-reset');

  const firstAt = (value) => {
    let a = 0, b = mz.length;
    while (a < b) { const m = (a + b) >> 1; if (mz[m] < value) a = m + 1; else b = m; }
    return a;
  };
  const x = (value) => left + ((value - low) / (high - low)) * (width - left - right);
  const valueAt = (px) => low + ((px - left) / (width - left - right)) * (high - low);
  const inView = () => marks.filter((mark) => mark.value >= low && mark.value <= high);

  function redraw() {
    if (!width) return;
    const shown = inView();
    const from = firstAt(low), to = firstAt(high);
    // One point beyond each edge, so the line continues to the border.
    const a = data.sticks ? from : Math.max(from - 1, 0), b = data.sticks ? to : Math.min(to + 1, mz.length);
    let most = 0;
    for (let i = from; i < to; i++) most = Math.max(most, intensity[i]);
    for (const mark of shown) most = Math.max(most, mark.height);
    most = most || 1;
    const scale = (v) => (root ? Math.sqrt(Math.max(v, 0) / most) : Math.max(v, 0) / most);
    const y = (v) => height - bottom - scale(v) * (height - top - bottom);
    const base = height - bottom;

    // The lowest and the highest point of each pixel column draw the same curve.
    const parts = [];
    for (let i = a; i < b;) {
      const column = Math.round(x(mz[i]));
      let lowest = i, highest = i;
      for (; i < b && Math.round(x(mz[i])) === column; i++) {
        if (intensity[i] < intensity[lowest]) lowest = i;
        if (intensity[i] > intensity[highest]) highest = i;
      }
      if (data.sticks) {
        parts.push(`M${x(mz[highest]).toFixed(1)} ${base}V${y(intensity[highest]).toFixed(1)}`);
      } else {
        for (const k of lowest === highest ? [lowest] : [Math.min(lowest, highest), Math.max(lowest, highest)])
          parts.push(`${parts.length ? 'L' : 'M'}${x(mz[k]).toFixed(1)} ${y(intensity[k]).toFixed(1)}`);
      }
    }
    const stems = shown.map((mark) => `M${x(mark.value).toFixed(1)} ${base}V${y(mark.height).toFixed(1)}`);
    // Many triangles would merge into a bar.
    const flag = shown.length > 300 ? 'h.6v-8h-.6z' : 'l-4 -8h8z';
    const flags = shown.map((mark) => `M${x(mark.value).toFixed(1)} ${top - 4}${flag}`);
    const levels = ticks(0, most, 4);
    const digits = Math.max(0, Math.ceil(-Math.log10((high - low) / 10)));
    const clip = svg('clipPath', { id: 'spectrum-clip' },
      svg('rect', { x: left, y: 0, width: Math.max(width - left - right, 1), height: base + 1 }));
    const drawing = svg('svg', { viewBox: `0 0 ${width} ${height}`, height, 'aria-hidden': 'true' }, clip,
      ...levels.flatMap((v) => [
        svg('line', { class: 'axis', x1: left, x2: width - right, y1: y(v), y2: y(v) }),
        svg('text', { x: left - 6, y: y(v) + 4, 'text-anchor': 'end' }, intensityText(v)),
      ]),
      ...ticks(low, high, width / 110).flatMap((v) => [
        svg('line', { class: 'axis', x1: x(v), x2: x(v), y1: base, y2: base + 4 }),
        svg('text', { x: x(v), y: base + 16, 'text-anchor': 'middle' }, v.toFixed(digits)),
      ]),
      svg('text', { x: (left + width) / 2, y: height - 3, 'text-anchor': 'middle' }, 'm/z'),
      svg('g', { 'clip-path': 'url(#spectrum-clip)' },
        svg('path', { class: 'curve', d: parts.join('') }),
        svg('path', { class: 'stems', d: stems.join('') }), brush, guide),
      svg('path', { class: 'marks', d: flags.join('') }));
    node.replaceChildren(drawing, tip);
    reset.disabled = low === full[0] && high === full[1];
    point(current);
  }

  function point(index) {
    current = index;
    const mark = marks[index];
    const visible = mark && mark.value >= low && mark.value <= high;
    guide.setAttribute('visibility', visible ? 'visible' : 'hidden');
    if (!visible) return;
    guide.setAttribute('x1', x(mark.value));
    guide.setAttribute('x2', x(mark.value));
    say(x(mark.value), `pick #${payload.table.rank[mark.row]} · m/z ${mzText(mark.value)} · mean intensity ${intensityText(mark.height)}`);
  }

  function say(px, text) {
    tip.textContent = text;
    tip.hidden = false;
    const room = width - tip.offsetWidth - 4;
    tip.style.left = `${Math.max(0, Math.min(px + 10, room))}px`;
  }

  function view(a, b) {
    const least = (full[1] - full[0]) * 1e-6;
    low = Math.max(a, full[0]);
    high = Math.min(b, full[1]);
    if (high - low < least) [low, high] = full;
    tip.hidden = true;
    redraw();
  }

  function nearestMark(px) {
    let best = -1, distance = 6;
    marks.forEach((mark, i) => {
      if (mark.value < low || mark.value > high) return;
      const d = Math.abs(x(mark.value) - px);
      if (d < distance) [best, distance] = [i, d];
    });
    return best;
  }

  const pixel = (event) => event.clientX - node.getBoundingClientRect().left;
  node.addEventListener('pointermove', (event) => {
    const px = pixel(event);
    if (dragFrom !== null) {
      const [a, b] = [Math.min(px, dragFrom), Math.max(px, dragFrom)];
      brush.setAttribute('x', a);
      brush.setAttribute('width', b - a);
      return say(b, `m/z ${mzText(valueAt(a))} – ${mzText(valueAt(b))}`);
    }
    const mark = nearestMark(px);
    node.classList.toggle('on-mark', mark >= 0);
    if (mark >= 0) return point(mark);
    guide.setAttribute('visibility', 'hidden');
    let best = -1;
    for (let i = firstAt(valueAt(px - 3)); i < mz.length && mz[i] <= valueAt(px + 3); i++)
      if (best < 0 || intensity[i] > intensity[best]) best = i;
    if (best < 0) tip.hidden = true;
    else say(px, `m/z ${mz[best].toFixed(3)} · mean intensity ${intensityText(intensity[best])}`);
  });
  node.addEventListener('pointerleave', () => { if (dragFrom === null) { tip.hidden = true; point(-1); } });
  node.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    dragFrom = pixel(event);
    node.setPointerCapture(event.pointerId);
  });
  const release = (event, finished) => {
    if (dragFrom === null) return;
    const [a, b] = [Math.min(pixel(event), dragFrom), Math.max(pixel(event), dragFrom)];
    dragFrom = null;
    brush.setAttribute('width', 0);
    if (!finished) return;
    if (b - a > 5) return view(valueAt(a), valueAt(b));
    const mark = nearestMark(b);
    if (mark >= 0) choose(marks[mark].row);
  };
  node.addEventListener('pointerup', (event) => release(event, true));
  node.addEventListener('pointercancel', (event) => release(event, false));
  node.addEventListener('dblclick', () => view(...full));
  node.addEventListener('keydown', (event) => {
    const middle = current >= 0 ? marks[current].value : (low + high) / 2, half = (high - low) / 2;
    if (event.key === 'ArrowRight' || event.key === 'ArrowLeft') {
      if (!marks.length) return;
      const step = event.key === 'ArrowRight' ? 1 : -1;
      const next = current < 0 ? (step > 0 ? 0 : marks.length - 1) : Math.min(Math.max(current + step, 0), marks.length - 1);
      const { value } = marks[next];
      if (value < low || value > high) view(value - half, value + half);
      point(next);
    } else if (event.key === 'Enter' && current >= 0) choose(marks[current].row);
    else if (event.key === '+') view(middle - half / 2, middle + half / 2);
    else if (event.key === '-') view(middle - half * 2, middle + half * 2);
    else if (event.key === '0') view(...full);
    else return;
    event.preventDefault();
  });
  reset.addEventListener('click', () => view(...full));
  byId('spectrum-root').addEventListener('change', (event) => { root = event.target.checked; redraw(); });
  drawn(node, (w) => { width = w; redraw(); });

  // Zooms to the surroundings of one pick.
  return (row) => {
    const index = marks.findIndex((mark) => mark.row === row);
    if (index < 0) return;
    const half = Math.max((full[1] - full[0]) / 100, 1);
    view(marks[index].value - half, marks[index].value + half);
    node.scrollIntoView({ block: 'center' });
    node.focus({ preventScroll: true });
    point(index);
  };
}
