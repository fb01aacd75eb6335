// The table of sections: filter and order, which the other parts follow.
const listeners = [];  // called with the shown sections after each change
const driftAt = (k, mz) => {
  const drift = sections.drift[k];
  if (!drift) return null;
  const x = Math.log(mz), knots = drift.mz.map(Math.log);
  let i = 0;
  while (i < knots.length - 2 && x > knots[i + 1]) i++;
  return drift.ppm[i] + ((drift.ppm[i + 1] - drift.ppm[i]) * (x - knots[i])) / (knots[i + 1] - knots[i]);
};
const spanOf = (k) => { const { mz } = sections.drift[k]; return [mz[0], Math.sqrt(mz[0] * mz[mz.length - 1]), mz[mz.length - 1]]; };
const offsets = sections.name.map((_, k) => (sections.drift[k] ? driftAt(k, spanOf(k)[1]) : null));
const slopes = sections.name.map((_, k) => (sections.drift[k] ? driftAt(k, spanOf(k)[2]) - driftAt(k, spanOf(k)[0]) : null));

function sparkline(k) {
  const { scores } = payload;
  if (!scores || sections.status[k] !== 'done') return null;
  const all = scores.all[k], picked = scores.picked[k], most = Math.max(...all, 1), height = 22, step = 2;
  const scale = (n) => (n === 0 ? 0 : Math.max(1, (Math.log1p(n) / Math.log1p(most)) * height));
  const bars = (counts, name) => svg('path', { class: name,
    d: counts.map((n, i) => (n === 0 ? '' : `M${i * step} ${height}v${-scale(n).toFixed(1)}h${step - 0.4}v${scale(n).toFixed(1)}z`)).join('') });
  return svg('svg', { class: 'spark', width: all.length * step, height, role: 'img',
    'aria-label': `scores from ${scores.low} to ${scores.high}, lowest pick ${scoreText(scores.cut[k])}` }, bars(all, 'all'), bars(picked, 'picked'));
}

function warningList(k) {
  const found = [...sections.warnings[k], ...(sections.blind[k] ? [`no pictures: ${sections.blind[k]}`] : [])];
  if (!found.length) return element('span', { class: 'soft' }, '–');
  return element('details', {}, element('summary', {}, String(found.length)),
    element('ul', {}, ...found.map((text) => element('li', {}, text))));
}

const nameCell = (k) => (sections.link[k]
  ? element('a', { href: sections.link[k], title: sections.hasReport[k] ? 'report of the section' : 'table of its picks' }, sections.name[k])
  : element('span', {}, sections.name[k]));

function makeSections(tic) {
  const most = Math.max(1, ...sections.picks.filter(finite));
  const number = (values, digits, mark) => ({ number: true, values, cell: (k) => (mark || fixed)(values[k], digits) });
  const hasDrift = sections.drift.some(Boolean);
  const columns = [
    { name: 'TIC', thumb: true, cell: (k) => tic && payload.tic.places[k]
      ? tile(tic, payload.tic.places[k], 46, `Total ion current of ${sections.name[k]}`) : element('span', { class: 'soft' }, '–') },
    { name: 'section', text: true, values: sections.name, cell: nameCell },
    { name: 'status', values: sections.status, cell: (k) => element('span', { class: `status ${sections.status[k]}`, title: sections.reason[k] || null }, sections.status[k]) },
    ...sections.columns.map(([name, values]) => ({ name, user: true, values, cell: (k) => element('span', { title: values[k] || null }, values[k]) })),
    { name: 'picks', number: true, values: sections.picks, cell: (k) => (finite(sections.picks[k])
      ? element('span', {}, count(sections.picks[k]), element('span', { class: 'bar' }, element('i', { style: { width: `${(sections.picks[k] / most) * 100}%` } }))) : '–') },
    { name: 'candidates', number: true, values: sections.candidates, cell: (k) => (finite(sections.candidates[k]) ? count(sections.candidates[k]) : '–') },
    { name: 'scores', cell: sparkline },
    ...(hasDrift ? [
      { name: 'drift, ppm', title: 'mass drift in the middle of the m/z range', ...number(offsets, 2, signed) },
      { name: 'slope, ppm', title: 'change of the drift from the lowest to the highest m/z', ...number(slopes, 2, signed) },
      { name: 'spread, ppm', title: 'spread of the matched peaks around the drift', ...number(sections.drift.map((d) => d && d.residual), 2) },
      { name: 'matched', title: 'peaks from which the drift was found', ...number(sections.drift.map((d) => d && d.matched), 0) },
    ] : []),
    { name: 'seconds', ...number(sections.seconds, 1) },
    { name: 'warnings', number: true, values: sections.warnings.map((w) => w.length), cell: warningList },
  ];
  const state = { by: null, down: false, groups: new Map() };
  const host = byId('section-table');
  const natural = new Intl.Collator('en', { numeric: true });
  let shown = [];

  function compare(a, b) {
    const column = columns.find((c) => c.name === state.by);
    if (!column) return a - b;
    const u = column.values[a], v = column.values[b], none = (w) => !finite(w) || w === '';
    if (none(u) || none(v)) return none(u) - none(v) || a - b;
    const sign = typeof u === 'string' ? natural.compare(u, v) : u - v;
    return (state.down ? -sign : sign) || a - b;
  }

  function matches(k) {
    const status = byId('status').value, words = byId('find').value.toLowerCase().split(/\s+/).filter(Boolean);
    if (status === 'warnings' ? !sections.warnings[k].length : status && sections.status[k] !== status) return false;
    for (const [values, wanted] of state.groups) if (wanted !== '' && values[k] !== wanted.slice(1)) return false;
    const text = [sections.name[k], sections.path[k], sections.reason[k], ...sections.columns.map(([, values]) => values[k])].join('\n').toLowerCase();
    return words.every((word) => text.includes(word));
  }

  function update() {
    shown = [...Array(nSections).keys()].filter(matches).sort(compare);
    byId('shown').textContent = shown.length === nSections ? `all ${count(nSections)} shown` : `${count(shown.length)} of ${count(nSections)} shown`;
    byId('nothing').hidden = shown.length > 0;
    byId('clear').hidden = !byId('find').value.trim() && !byId('status').value && ![...state.groups.values()].some(Boolean);
    const heads = columns.map((c) => element('th', { scope: 'col', class: c.number ? 'number' : null, title: c.title,
      'aria-sort': c.values && c.name === state.by ? (state.down ? 'descending' : 'ascending') : null },
      c.values ? element('button', { type: 'button', onclick: () => orderBy(c.name) }, c.name + (c.name === state.by ? (state.down ? ' ↓' : ' ↑') : '')) : c.name));
    host.replaceChildren(element('table', { class: 'list' }, element('thead', {}, element('tr', {}, ...heads)),
      element('tbody', {}, ...shown.map((k) => element('tr', { 'data-section': k },
        ...columns.map((c) => element('td', { class: c.number ? 'number' : c.text ? 'text' : c.user ? 'user' : c.thumb ? 'thumb' : null }, c.cell(k))))))));
    for (const listen of listeners) listen(shown);
  }

  function orderBy(name) {
    // Up, down, and back to the order of the study.
    if (state.by !== name) Object.assign(state, { by: name, down: false });
    else if (!state.down) state.down = true;
    else Object.assign(state, { by: null, down: false });
    update();
    [...host.querySelectorAll('th button')].find((b) => b.textContent.replace(/ [↓↑]$/, '') === name)?.focus({ preventScroll: true });
  }

  const statuses = [['', 'all'], ...['done', 'failed', 'missing'].filter((s) => sections.status.includes(s)).map((s) => [s, s])];
  if (sections.warnings.some((w) => w.length)) statuses.push(['warnings', 'with warnings']);
  byId('status').append(...statuses.map(([value, text]) => element('option', { value }, text)));
  for (const [name, values] of sections.columns) {
    const different = [...new Set(values)].sort(natural.compare);
    if (different.length < 2 || different.length > 40 || different.length === nSections) continue;
    state.groups.set(values, '');
    byId('groups').append(element('label', {}, `${name} `, element('select', { onchange: (event) => { state.groups.set(values, event.target.value); update(); } },
      element('option', { value: '' }, 'all'), ...different.map((value) => element('option', { value: `=${value}` }, value === '' ? '(none)' : value)))));
  }
  byId('find').addEventListener('input', update);
  byId('status').addEventListener('change', update);
  byId('clear').addEventListener('click', () => {
    byId('find').value = byId('status').value = '';
    for (const select of byId('groups').querySelectorAll('select')) select.value = '';
    for (const values of state.groups.keys()) state.groups.set(values, '');
    update();
    byId('find').focus();
  });
  update();

  // Scrolls to a section in the table and marks it briefly.
  return (k) => {
    const row = host.querySelector(`[data-section="${k}"]`);
    if (!row) return;
    row.scrollIntoView({ block: 'center' });
    row.querySelector('a')?.focus({ preventScroll: true });
    row.classList.add('found');
    setTimeout(() => row.classList.remove('found'), 2500);
  };
}
