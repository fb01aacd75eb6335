// Distribution of all scores with the cut.
function drawHistogram(node, data) {
  const most = Math.max(...data.all);
  const least = Math.min(...data.all.filter((n) => n > 0));
  // Thousands of rejected candidates would hide a few picks on a linear scale.
  const logarithmic = most / least > 50;
  const scale = (n) => (logarithmic ? Math.log10(1 + n) / Math.log10(1 + most) : n / most);
  drawn(node, (width) => {
    const height = 170, left = 40, right = 8, top = 18, bottom = 34;
    const x = (score) => left + ((score - data.low) / (data.high - data.low)) * (width - left - right);
    const y = (n) => height - bottom - scale(n) * (height - top - bottom);
    const step = (width - left - right) / data.all.length;
    const bars = (counts, name) => counts.map((n, i) => n === 0 ? null : svg('rect', {
      class: name, x: left + i * step + 0.5, width: Math.max(step - 1, 1), y: Math.min(y(n), height - bottom - 1),
      height: Math.max(height - bottom - y(n), 1),
    }));
    const levels = logarithmic
      ? [1, 10, 100, 1000, 10000, 100000].filter((n) => n <= most)
      : ticks(0, most, 4).filter(Number.isInteger);
    const total = data.all.reduce((a, b) => a + b, 0);
    const picked = data.picked.reduce((a, b) => a + b, 0);
    const drawing = svg('svg', { viewBox: `0 0 ${width} ${height}`, height, role: 'img',
      'aria-label': `Scores of ${total} candidates, ${picked} of them picked` },
      ...levels.flatMap((n) => [
        svg('line', { class: 'axis', x1: left, x2: width - right, y1: y(n), y2: y(n) }),
        svg('text', { x: left - 5, y: y(n) + 4, 'text-anchor': 'end' }, count(n)),
      ]),
      ...bars(data.all, 'all'), ...bars(data.picked, 'picked'),
      svg('line', { class: 'axis', x1: left, x2: width - right, y1: height - bottom, y2: height - bottom }),
      ...ticks(data.low, data.high, width / 80).map((score) =>
        svg('text', { x: x(score), y: height - bottom + 14, 'text-anchor': 'middle' }, String(score))),
      svg('text', { x: (left + width - right) / 2, y: height - 4, 'text-anchor': 'middle' },
        `score (bars: candidates per bin${logarithmic ? ', logarithmic' : ''}; blue: picks)`));
    if (data.cut !== null) {
      const at = x(data.cut), beyond = at > width / 2;
      drawing.append(
        svg('line', { class: 'cut', x1: at, x2: at, y1: top - 14, y2: height - bottom }),
        svg('text', { class: 'cut-text', x: at + (beyond ? -5 : 5), y: top - 6, 'text-anchor': beyond ? 'end' : 'start' },
          `${data.cutName} ${+data.cut.toPrecision(6)}`));
    }
    node.replaceChildren(drawing);
  });
}
